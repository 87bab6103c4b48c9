"""The rules of structured-merge-diff: how a write changes who owns what. Pure.

An update takes what it changes from everybody else. An apply states all that its manager wants: what it leaves out and had
before is taken out of the object where nobody else owns it, and what others own it changes only by force.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.apply.comparing import Comparison, Filter, compare
from nodeagent.apiserver.apply.conflicts import Conflict
from nodeagent.apiserver.apply.managers import Manager, Owned, Owners
from nodeagent.apiserver.apply.merging import fields_of, merge, remove, with_structs
from nodeagent.apiserver.apply.sets import Fields
from nodeagent.apiserver.apply.shapes import Shape
from runtimes.kube.json_object import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A version of a kind. `of`: an object of the form that is written, in this one."""

    shape: Shape
    of: Callable[[JsonObject], JsonObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """`current`: the form that is written. `others`: by apiVersion; owners in none of them are forgotten."""

    current: str
    shape: Shape
    others: Mapping[str, Form]
    keep: Filter

    def compare(self, old: JsonObject, new: JsonObject, version: str, *, literal: bool) -> Comparison | None:
        if version == self.current:
            return compare(old, new, self.shape, literal=literal).filtered(self.keep)
        form = self.others.get(version)
        if form is None:
            return None
        return compare(form.of(old), form.of(new), form.shape, literal=literal).filtered(self.keep)


def update(old: JsonObject, new: JsonObject, owners: Owners, versions: Versions) -> tuple[dict[Manager, Owned], Fields]:
    """Who owns what after `new` was written over `old`, and what the writer owns by it."""
    comparison = compare(old, new, versions.shape)
    mine = versions.keep(comparison.changed)
    comparisons: dict[str, Comparison | None] = {versions.current: comparison.filtered(versions.keep)}
    rest: dict[Manager, Owned] = {}
    for manager, owned in owners.items():
        if owned.version not in comparisons:
            comparisons[owned.version] = versions.compare(old, new, owned.version, literal=False)
        theirs = comparisons[owned.version]
        if theirs is not None and (left := _left(owned, theirs)) is not None:
            rest[manager] = left
    return rest, mine


def _left(owned: Owned, changes: Comparison) -> Owned | None:
    """What a manager still owns after changes by another."""
    fields = owned.fields
    for gone in (changes.added, changes.modified, changes.removed):
        fields = sets.difference(fields, gone) if gone else fields
    return owned.with_fields(fields) if fields else None


def apply(
    live: JsonObject, config: JsonObject, owners: Owners, manager: Manager, versions: Versions, *, force: bool
) -> tuple[JsonObject, dict[Manager, Owned]]:
    """The object with `config` in force, and who owns what then; the time of `manager` is the caller's to set.

    Raises `Conflict`.
    """
    shape = versions.shape
    merged: JsonObject = merge(live, config, shape)
    before = owners.get(manager)
    mine = versions.keep(fields_of(config, shape))
    result = dict(owners)
    result[manager] = Owned(fields=mine, version=versions.current, time=before.time if before else "")
    if before is not None and before.fields:
        merged = _pruned(merged, before, result, versions)
    rest = {other: owned for other, owned in result.items() if other != manager}
    kept = _others(live, merged, rest, versions, force=force)
    if mine:
        kept[manager] = result[manager]
    return merged, kept


def _others(
    live: JsonObject, merged: JsonObject, others: Owners, versions: Versions, *, force: bool
) -> dict[Manager, Owned]:
    lost: dict[Manager, Fields] = {}
    kept: dict[Manager, Owned] = {}
    comparisons: dict[str, Comparison | None] = {}
    for manager, owned in others.items():
        if owned.version not in comparisons:
            comparisons[owned.version] = versions.compare(live, merged, owned.version, literal=True)
        changes = comparisons[owned.version]
        if changes is None:
            continue
        if conflict := sets.intersection(owned.fields, changes.changed):
            lost[manager] = conflict
        if (left := _left(owned, changes)) is not None:
            kept[manager] = left
    if lost and not force:
        raise Conflict(lost)
    return kept


def _pruned(merged: JsonObject, before: Owned, owners: Owners, versions: Versions) -> JsonObject:
    """`merged` without what only the applying manager had, and has no more."""
    shape = versions.shape
    if before.version != versions.current:
        return merged
    last = with_structs(before.fields, shape)
    everything = with_structs(fields_of(merged, shape), shape)
    pruned = remove(merged, last, shape)
    managed: Fields = {}
    for owned in owners.values():
        if owned.version == versions.current:
            managed = sets.union(managed, owned.fields)
    kept = sets.union(with_structs(fields_of(pruned, shape), shape), with_structs(managed, shape))
    pruned = remove(merged, sets.difference(everything, kept), shape)
    gone = sets.difference(everything, with_structs(fields_of(pruned, shape), shape))
    result: JsonObject = remove(merged, sets.intersection(gone, last), shape)
    return result
