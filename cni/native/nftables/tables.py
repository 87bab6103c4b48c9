"""A table of ours, whole: made once, adopted if it is there, made anew in one transaction when its version is old."""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cni.native.nftables import messages
from cni.native.nftables.errors import NftablesError, NftablesForeign, NftablesUnavailable, is_lack
from cni.native.nftables.kernel import Netfilter
from cni.native.nftables.messages import Chain, Message, Rule
from cni.native.nftables.sets import Element, Set

_TRIES = 5
_MARK = "made by nodeagent, version "


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a table holds beside its elements. `version` grows with every change of it; it stands in its comment."""

    name: str
    version: int
    sets: tuple[Set, ...]
    chains: tuple[Chain, ...]
    rules: tuple[Rule, ...]

    @property
    def comment(self) -> str:
        return f"{_MARK}{self.version}"

    def create(self, elements: Mapping[Set, Sequence[Element]]) -> list[Message]:
        """The messages that make it; they fail with EEXIST if there is one of that name."""
        made = [messages.new_table(self.name, self.comment)]
        made += [messages.new_set(self.name, item, number) for number, item in enumerate(self.sets, 1)]
        made += [messages.new_chain(self.name, chain) for chain in self.chains]
        made += [messages.new_rule(self.name, rule) for rule in self.rules]
        for item in self.sets:
            made += messages.new_elements(self.name, item, elements.get(item, ()))
        return made


def ensure(kernel: Netfilter, table: Table) -> None:
    """Have the table there, in our version or a newer one, its elements kept.

    Raises NftablesUnavailable where this kernel cannot have it, NftablesError for whatever else.
    """
    for last in reversed(range(_TRIES)):
        try:
            if (found := version_there(kernel, table.name)) is not None and found >= table.version:
                return
            if found is None:
                kernel.commit(table.create({}))
            else:
                rebuild(kernel, table)
        except NftablesForeign:
            raise
        except NftablesError as error:
            if last and error.errno in (errno.EEXIST, errno.ERESTART, errno.ENOENT):
                continue  # somebody else has made it, or changed it, between our look and our work
            if is_lack(error):
                raise NftablesUnavailable(error) from error
            raise
        return


def rebuild(kernel: Netfilter, table: Table) -> None:
    """Put our version in the place of the table that is there, with its elements: those of sets that we know.

    One transaction; fails with ERESTART if anything changes meanwhile.
    """
    generation = kernel.generation()
    elements: dict[Set, Sequence[Element]] = {}
    for item in table.sets:
        try:
            elements[item] = tuple(dump_elements(kernel, table, item))
        except NftablesError as error:
            if error.errno != errno.ENOENT:
                raise
    kernel.commit([messages.delete_table(table.name), *table.create(elements)], generation=generation)


def dump_elements(kernel: Netfilter, table: Table, of: Set, comment: bytes = b"") -> list[Element]:
    """The elements of a set; with `comment` those that may have it. Raises NftablesError (ENOENT: no table or set)."""
    return list(messages.read_elements(of, kernel.dump(messages.get_elements(table.name, of)), comment))


def chains_there(kernel: Netfilter, table: Table) -> frozenset[str]:
    """The names of the chains that the table has."""
    found = [messages.read_chain(body) for body in kernel.dump(messages.get_chains())]
    return frozenset(name for where, name in found if where == table.name)


def sets_there(kernel: Netfilter, table: Table) -> frozenset[str]:
    """The names of the sets and maps that the table has."""
    found = [messages.read_set(body) for body in kernel.dump(messages.get_sets(table.name))]
    return frozenset(name for where, name in found if where == table.name)


def missing_rules(kernel: Netfilter, table: Table) -> list[str]:
    """What of the table's rules is not there, or not in its order, in words."""
    found: dict[str, list[str]] = {}
    for body in kernel.dump(messages.get_rules(table.name)):
        where, comment = messages.read_rule(body)
        found.setdefault(where, []).append(comment)
    wrong = []
    for name in (chain.name for chain in table.chains):
        wanted = [rule.comment for rule in table.rules if rule.chain == name]
        there = found.get(name, [])
        wrong += [f"rule “{comment}” of chain {name} is missing" for comment in wanted if comment not in there]
        wrong += [f"rule “{comment}” of chain {name} is not ours" for comment in there if comment not in wanted]
        if sorted(wanted) == sorted(there) and wanted != there:
            wrong.append(f"the rules of chain {name} are in another order")
    return wrong


def version_there(kernel: Netfilter, name: str) -> int | None:
    """The version of the table that is there, None for no table. Raises NftablesForeign for one that is not ours."""
    try:
        comment = messages.read_table_comment(kernel.get(messages.get_table(name)))
    except NftablesError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    version = comment.removeprefix(_MARK)
    if version == comment or not version.isdigit():
        reason = f"its comment is {comment!r}: somebody else has made it, or the kernel is older than 5.10"
        raise NftablesForeign(f"table {name}", errno.EEXIST, reason)
    return int(version)


def discard(kernel: Netfilter, name: str) -> bool:
    """Take a table of ours away; return whether there was one. A kernel that has no nf_tables has none."""
    try:
        if version_there(kernel, name) is None:
            return False
        kernel.commit([messages.delete_table(name)])
    except NftablesForeign:
        return False
    except NftablesError as error:
        if is_lack(error):
            return False
        raise
    return True
