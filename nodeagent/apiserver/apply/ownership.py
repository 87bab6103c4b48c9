"""Who owns which field of the stored objects: kept up to date by every write, asked by every apply."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nodeagent.apiserver.apply import last_applied, managers, sets, updating
from nodeagent.apiserver.apply.checking import faults
from nodeagent.apiserver.apply.conflicts import Conflict
from nodeagent.apiserver.apply.managers import BadEntries, Manager, Owned
from nodeagent.apiserver.apply.merging import settled
from nodeagent.apiserver.apply.resets import filter_of
from nodeagent.apiserver.apply.shapes import Shape, shape_of
from nodeagent.apiserver.apply.updating import Form, Versions
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apitypes.schema import struct_for
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

Entries = list[JsonObject]

BEFORE_FIRST_APPLY = "before-first-apply"
# of the metadata: what the server writes, or what names the object
_NEVER_OWNED = sets.of_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """One request: who, through which resource (its form is that of the request) and subresource ("" for none), when."""

    manager: str
    resource: Resource
    subresource: str
    time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The object with the configuration in force, in the form of the request."""

    object: JsonObject
    entries: Entries


class Ownership:
    """Objects are given in their stored form without `metadata.managedFields`; entries as stored there."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._versions: dict[tuple[str, str], Versions | None] = {}

    def created(self, new: JsonObject, stated: Any, writer: Writer) -> Entries:
        """The entries of a new object; `stated`: those it was sent with."""
        return self._tracked({}, new, _stated_or(stated, None), writer, [])

    def updated(self, old: JsonObject, new: JsonObject, entries: Any, stated: Any, writer: Writer) -> Entries:
        """The entries after `new` was written over `old`, which has `entries`; `stated`: those that `new` was
        sent with. Nobody's fields are tracked until the first apply, or the creation, said who owns them."""
        if stated == entries or writer.subresource:
            before = _decoded(entries, trusted=True)
        else:
            before = _stated_or(stated, entries)
        return self._tracked(old, new, before, writer, entries or []) if before else []

    def _tracked(
        self, old: JsonObject, new: JsonObject, before: Mapping[Manager, Owned], writer: Writer, entries: Entries
    ) -> Entries:
        versions = self._of(writer)
        if versions is None:
            return entries
        try:
            owners = _updated(self._form(old, writer), self._form(new, writer), before, writer, versions)
            return managers.encode(managers.capped(owners))
        except Exception:
            # who owns what is a matter of the next apply; the write itself is none the worse
            log.exception("cannot tell who owns the fields of a %s", writer.resource.kind)
            return entries

    def apply(
        self, live: JsonObject | None, entries: Any, config: JsonObject, writer: Writer, *, force: bool
    ) -> Applied:
        """`config` in force on `live` (None: nothing there yet), both in the form of the request.

        Raises `ApiError`: 400 of another kind, 409 with conflicts, 500 for a configuration that is not of its type.
        """
        versions = self._of(writer)
        _check(config, writer.resource)
        if versions is None:
            raise ApiError.bad_request(f"invalid object type: {_gvk(config)}")
        if wrong := faults(config, versions.shape):
            raise ApiError(500, "", f"failed to create typed patch object ({_named(config)}): {wrong}")
        base = live if live is not None else _unmade(writer.resource)
        owners = _decoded(entries, trusted=True)
        if live is not None and not owners:
            owners = _updated({}, live, {}, replace(writer, manager=BEFORE_FIRST_APPLY), versions)
        manager = managers.applier(writer.manager, writer.subresource)
        try:
            result, kept = updating.apply(base, config, owners, manager, versions, force=force)
        except Conflict as conflict:
            if not _forgiven(conflict, base, writer, versions):
                raise conflict.as_error() from None
            result, kept = updating.apply(base, config, owners, manager, versions, force=True)
        if result != base and manager in kept:
            kept[manager] = replace(kept[manager], time=writer.time)
        if manager in kept:
            kept[manager] = kept[manager].with_fields(sets.difference(kept[manager].fields, _NEVER_OWNED))
            if not kept[manager].fields:
                del kept[manager]
        if writer.manager == last_applied.KUBECTL:
            last_applied.renew(result, config)
        return Applied(object=settled(result), entries=managers.encode(kept))

    def _form(self, obj: JsonObject, writer: Writer) -> JsonObject:
        view = writer.resource.view
        return obj if view is None else view.show(obj)

    def _of(self, writer: Writer) -> Versions | None:
        """The forms of a kind as the resource of `writer` sees them; None for a kind without types."""
        resource = writer.resource
        key = (f"{resource.id}/{resource.version}", writer.subresource)
        if key not in self._versions:
            shape = _shape(resource)
            others = {
                other.group_version: Form(shape=found, of=_between(resource, other))
                for other in self._registry.resources
                if other.storage == resource.storage
                and other.group_version != resource.group_version
                and (found := _shape(other)) is not None
            }
            keep = filter_of(resource, writer.subresource)
            self._versions[key] = (
                None
                if shape is None
                else Versions(current=resource.group_version, shape=shape, others=others, keep=keep)
            )
        return self._versions[key]


def _shape(resource: Resource) -> Shape | None:
    struct = struct_for(resource.group_version, resource.kind)
    return shape_of(struct) if struct else None


def _between(resource: Resource, other: Resource) -> Callable[[JsonObject], JsonObject]:
    """Convert from the form of `resource` to that of `other`, by way of the stored one."""

    def convert(obj: JsonObject) -> JsonObject:
        stored = resource.view.store(obj) if resource.view else obj
        return other.view.show(stored) if other.view else stored

    return convert


def _updated(
    old: JsonObject, new: JsonObject, before: Mapping[Manager, Owned], writer: Writer, versions: Versions
) -> dict[Manager, Owned]:
    owners, mine = updating.update(old, new, before, versions)
    mine = sets.difference(mine, _NEVER_OWNED)
    if mine:
        manager = managers.updater(writer.manager, versions.current, writer.subresource)
        left, stored = owners.get(manager), before.get(manager)
        fields = sets.union(left.fields, mine) if left else mine
        if stored is not None and stored.fields == fields:
            # the same fields again, as a status has them: what is stored is in order
            owners[manager] = replace(stored, version=versions.current, time=writer.time)
        else:
            owners[manager] = Owned(fields=fields, version=versions.current, time=writer.time)
    return owners


def _decoded(entries: Any, *, trusted: bool) -> dict[Manager, Owned]:
    try:
        return managers.decode(entries, trusted=trusted)
    except BadEntries:
        return {}


def _stated_or(stated: Any, entries: Any) -> dict[Manager, Owned]:
    """The owners that a client states; those there were where it states none, or nonsense."""
    if managers.is_reset(stated):
        return {}
    return _decoded(stated, trusted=False) or _decoded(entries, trusted=True)


def _unmade(resource: Resource) -> JsonObject:
    return {"kind": resource.kind, "apiVersion": resource.group_version}


def _check(config: JsonObject, resource: Resource) -> None:
    if (config.get("kind"), config.get("apiVersion")) != (resource.kind, resource.group_version):
        raise ApiError.bad_request(f"invalid object type: {_gvk(config)}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("managedFields"), list):
        raise ApiError.bad_request("metadata.managedFields must be nil")


def _gvk(config: JsonObject) -> str:
    group, _, version = str(config.get("apiVersion") or "").rpartition("/")
    return f"{group}/{version}, Kind={config.get('kind') or ''}"


def _named(config: JsonObject) -> str:
    metadata = config.get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    return f"{found.get('namespace') or ''}/{found.get('name') or ''}; {_gvk(config)}"


def _forgiven(conflict: Conflict, live: JsonObject, writer: Writer, versions: Versions) -> bool:
    """Whether all conflicts are with what `kubectl apply` itself set before; if not, only the others are left in
    `conflict`."""
    if writer.manager != last_applied.KUBECTL:
        return False
    allowed = last_applied.unchanged_since(live, versions.current, versions.shape)
    if allowed is None:
        return False
    rest = {manager: sets.difference(fields, allowed) for manager, fields in conflict.fields.items()}
    conflict.fields = {manager: fields for manager, fields in rest.items() if fields}
    return not conflict.fields
