"""The messages of nf_tables, from values to bytes and back (linux/netfilter/nf_tables.h).

All tables here are of the family inet: one table for IPv4 and IPv6.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cni.native.attributes import attribute, each, nest, number, parse, string, text
from cni.native.nftables.expressions import Expressions, decide, random_below
from cni.native.nftables.sets import NUMBER, VERDICT, Element, Set, layout

_NFTABLES = 10 << 8  # NFNL_SUBSYS_NFTABLES
NEW_TABLE, GET_TABLE, DELETE_TABLE, NEW_CHAIN, GET_CHAIN = (_NFTABLES | kind for kind in range(5))
NEW_RULE, GET_RULE = _NFTABLES | 6, _NFTABLES | 7
NEW_SET, GET_SET, NEW_ELEMENT, GET_ELEMENT, DELETE_ELEMENT = (_NFTABLES | kind for kind in (9, 10, 12, 13, 14))
GET_GENERATION = _NFTABLES | 16

CREATE, EXCLUSIVE, APPEND = 0x400, 0x200, 0x800
MAX_COMMENT_BYTES = 253  # 256 bytes of user data, less the two of its header and the NUL

_SET_ANONYMOUS, _SET_CONSTANT, _SET_MAP, _SET_TIMEOUT, _SET_EVAL = 1, 2, 1 << 3, 1 << 4, 1 << 5
_ANY_MAP = "__map%d"  # the kernel puts a number in
_DYNAMIC_SIZE = 1 << 16
_KEY_BYTE_ORDER = 0
_TABLE_COMMENT = _RULE_COMMENT = _ELEMENT_COMMENT = 0
_ELEMENTS_A_MESSAGE = 128  # an attribute ends at 64 KiB

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = 0, 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Message:
    """One command of nfnetlink, without its headers. `about` says in words what it is about, for errors."""

    kind: int
    flags: int
    body: bytes
    about: str
    family: int = 1  # NFPROTO_INET


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where a base chain is called: `kind` is "nat" or "filter"."""

    kind: str
    number: int
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    name: str
    hook: Hook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule; by its comment, which is unlike those of other rules, it is found again."""

    chain: str
    comment: str
    expressions: Expressions


def new_table(table: str, comment: str) -> Message:
    """Fails with EEXIST if there is one."""
    body = text(1, table) + attribute(6, _comment(_TABLE_COMMENT, comment))
    return Message(NEW_TABLE, CREATE | EXCLUSIVE, body, f"table {table}")


def delete_table(table: str) -> Message:
    """With all that is in it."""
    return Message(DELETE_TABLE, 0, text(1, table), f"table {table}")


def new_chain(table: str, chain: Chain) -> Message:
    body = text(1, table) + text(3, chain.name)
    if (hook := chain.hook) is not None:
        body += text(7, hook.kind) + nest(4, number(1, hook.number), number(2, hook.priority))
    return Message(NEW_CHAIN, CREATE, body, f"chain {chain.name} of table {table}")


def new_rule(table: str, rule: Rule) -> Message:
    """Behind the rules that the chain has."""
    body = text(1, table) + text(2, rule.chain) + nest(4, *rule.expressions)
    body += attribute(7, _comment(_RULE_COMMENT, rule.comment))
    return Message(NEW_RULE, CREATE | APPEND, body, f"rule “{rule.comment}” of chain {rule.chain} of table {table}")


def new_set(table: str, made: Set, number_in_batch: int) -> Message:
    flags = (0 if made.value is None else _SET_MAP) | (_SET_TIMEOUT | _SET_EVAL if made.dynamic else 0)
    body = text(1, table) + text(2, made.name) + number(3, flags)
    body += number(4, made.key.type_id) + number(5, made.key.length)
    if made.value is not None:
        body += number(6, made.value.type_id) + number(7, made.value.length)
    if made.dynamic:
        body += nest(9, number(1, _DYNAMIC_SIZE))
    body += number(10, number_in_batch)
    body += attribute(13, bytes([_KEY_BYTE_ORDER, 4]) + made.key.byte_order.to_bytes(4, sys.byteorder))
    return Message(NEW_SET, CREATE, body, f"set {made.name} of table {table}")


def new_choice(table: str, chain: str, comment: str, targets: Sequence[str], number_in_batch: int) -> list[Message]:
    """A rule that goes to one of the target chains, whichever, and the map without a name that it has for that.

    `number_in_batch` is the map's alone among those of `new_set` and `new_choice`.
    """
    about = f"choice of {len(targets)} in chain {chain} of table {table}"
    flags = _SET_ANONYMOUS | _SET_CONSTANT | _SET_MAP
    made = text(1, table) + text(2, _ANY_MAP) + number(3, flags) + number(4, NUMBER.type_id) + number(5, NUMBER.length)
    made += number(6, VERDICT.type_id) + number(7, VERDICT.length) + number(10, number_in_batch)
    made += attribute(13, bytes([_KEY_BYTE_ORDER, 4]) + layout(NUMBER).byte_order.to_bytes(4, sys.byteorder))
    choices = Set(_ANY_MAP, layout(NUMBER), VERDICT)
    elements = [Element(key=(index,), value=("goto", target)) for index, target in enumerate(targets)]
    filled = [
        Message(one.kind, one.flags, one.body + number(4, number_in_batch), about)
        for one in new_elements(table, choices, elements)
    ]
    body = (random_below(len(targets), 0), decide(_ANY_MAP, number_in_batch=number_in_batch))
    rule = new_rule(table, Rule(chain=chain, comment=comment, expressions=body))
    return [Message(NEW_SET, CREATE, made, about), *filled, rule]


def new_elements(table: str, of: Set, elements: Sequence[Element]) -> list[Message]:
    """Fails with EEXIST where a key is taken."""
    return _element_messages(NEW_ELEMENT, CREATE | EXCLUSIVE, table, of, elements)


def delete_elements(table: str, of: Set, elements: Sequence[Element]) -> list[Message]:
    """Fails with ENOENT where a key is not there."""
    return _element_messages(DELETE_ELEMENT, 0, table, of, elements)


def get_elements(table: str, of: Set) -> Message:
    """Ask for all elements of a set."""
    return Message(GET_ELEMENT, 0, text(1, table) + text(2, of.name), f"set {of.name} of table {table}")


def get_table(table: str) -> Message:
    return Message(GET_TABLE, 0, text(1, table), f"table {table}")


def get_rules(table: str) -> Message:
    return Message(GET_RULE, 0, text(1, table), f"rules of table {table}")


def get_sets(table: str) -> Message:
    return Message(GET_SET, 0, text(1, table), f"sets of table {table}")


def get_chains() -> Message:
    """Ask for the chains of all tables."""
    return Message(GET_CHAIN, 0, b"", "chains", family=0)


def read_elements(of: Set, bodies: Sequence[bytes], comment: bytes = b"") -> Iterator[Element]:
    """The elements in the answers to `get_elements`; with `comment` only those that contain these bytes somewhere."""
    for body in bodies:
        if comment not in body:
            continue
        for raw in (item for kind, items in each(body) if kind == 3 for _, item in each(items)):
            if comment in raw:
                yield _read_element(of, raw)


def read_table_comment(body: bytes) -> str:
    """The comment of a table, from the answer to `get_table`; empty where it has none."""
    return _read_comment(parse(body).get(6, b""))


def read_rule(body: bytes) -> tuple[str, str]:
    """(chain, comment) of one rule, from an answer to `get_rules`."""
    found = parse(body)
    return string(found.get(2, b"")), _read_comment(found.get(7, b""))


def read_set(body: bytes) -> tuple[str, str]:
    """(table, set), from an answer to `get_sets`."""
    found = parse(body)
    return string(found.get(1, b"")), string(found.get(2, b""))


def read_chain(body: bytes) -> tuple[str, str]:
    """(table, chain), from an answer to `get_chains`."""
    found = parse(body)
    return string(found.get(1, b"")), string(found.get(3, b""))


def read_base_chain(body: bytes) -> tuple[str, str, int, int] | None:
    """(table, chain, hook's number, policy) of one base chain, from an answer to `get_chains`; None for any other."""
    found = parse(body)
    if 4 not in found or 5 not in found:
        return None
    hook = parse(found[4])
    return string(found[1]), string(found[3]), int.from_bytes(hook[1], "big"), int.from_bytes(found[5], "big")


def _element_messages(kind: int, flags: int, table: str, of: Set, elements: Sequence[Element]) -> list[Message]:
    messages = []
    for first in range(0, len(elements), _ELEMENTS_A_MESSAGE):
        some = elements[first : first + _ELEMENTS_A_MESSAGE]
        body = text(1, table) + text(2, of.name) + nest(3, *(_element(of, element) for element in some))
        about = f"element {', '.join(map(str, some[:4]))}{', …' if some[4:] else ''} of set {of.name} of table {table}"
        messages.append(Message(kind, flags, body, about))
    return messages


def _element(of: Set, element: Element) -> bytes:
    parts = [nest(1, of.key.as_data(element.key))]
    if of.value is not None and element.value is not None:
        parts.append(nest(2, of.value.as_data(element.value)))
    if element.comment:
        parts.append(attribute(6, _comment(_ELEMENT_COMMENT, element.comment)))
    return nest(1, *parts)


def _read_element(of: Set, raw: bytes) -> Element:
    found = parse(raw)
    value = None
    if of.value is not None and 2 in found:
        value = of.value.of_data(found[2])
    return Element(key=of.key.of_data(found[1]), value=value, comment=_read_comment(found.get(6, b"")))


def _comment(kind: int, comment: str) -> bytes:
    """User data as `nft` writes it: type, length, text ended by NUL."""
    raw = comment.encode() + b"\0"
    return bytes([kind, len(raw)]) + raw


def _read_comment(userdata: bytes) -> str:
    while len(userdata) > 2:
        kind, length = userdata[:2]
        if kind == _ELEMENT_COMMENT:
            return string(userdata[2 : 2 + length])
        userdata = userdata[2 + length :]
    return ""
