"""The expressions that rules are made of, as netlink attributes (linux/netfilter/nf_tables.h).

An expression reads registers and writes them, or stops the rule. A register is one of sixteen with four bytes; an IPv6
address takes four of them, an interface name as well. `at` is the first register, from 0.
"""

import sys

from cni.native.attributes import attribute, nest, number, text

_FIRST_REGISTER = 8  # NFT_REG32_00
_VERDICT_REGISTER = 0
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_META_OIFNAME, _META_IIFNAME, _META_NFPROTO, _META_L4PROTO = 7, 6, 15, 16
_CT_STATE, _CT_STATUS = 0, 2
_STATE_NEW = 1 << 3
_STATUS_DST_NAT = 1 << 5  # IPS_DST_NAT
_FIB_DADDR, _FIB_RESULT_ADDRTYPE = 1 << 1, 3
_RTN_LOCAL = 2
_EQUAL, _NOT_EQUAL = 0, 1
_DNAT = 1
_RANDOM = 1  # NFT_NG_RANDOM
_UPDATE = 1  # NFT_DYNSET_OP_UPDATE
_ICMPX_UNREACHABLE, _PORT_UNREACHABLE = 2, 1
_RANDOM_FULLY = 1 << 4

IPV4, IPV6 = 2, 10
DROP, ACCEPT, JUMP, GOTO, RETURN = 0, 1, -3, -4, -5
VERDICTS = {"drop": DROP, "accept": ACCEPT, "jump": JUMP, "goto": GOTO, "return": RETURN}

Expressions = tuple[bytes, ...]


def expression(name: str, *attributes: bytes) -> bytes:
    """One expression by its kernel name."""
    return nest(1, text(1, name), nest(2, *attributes))


def _register(kind: int, at: int) -> bytes:
    return number(kind, _FIRST_REGISTER + at)


def compare(value: bytes, *, at: int = 0, equal: bool = True) -> bytes:
    """Go on if the register begins with `value`, or if it does not."""
    operation = _EQUAL if equal else _NOT_EQUAL
    return expression("cmp", _register(1, at), number(2, operation), nest(3, attribute(1, value)))


def masked(mask: bytes, at: int = 0) -> bytes:
    """Keep of the register what is set in the mask."""
    values = nest(4, attribute(1, mask)), nest(5, attribute(1, bytes(len(mask))))
    return expression("bitwise", _register(1, at), _register(2, at), number(3, len(mask)), *values)


def meta(key: int, at: int = 0) -> bytes:
    """Load something about the packet."""
    return expression("meta", number(2, key), _register(1, at))


def payload(base: int, offset: int, length: int, at: int = 0) -> bytes:
    """Load bytes of a header."""
    return expression("payload", _register(1, at), number(2, base), number(3, offset), number(4, length))


def family(number_of: int) -> Expressions:
    """Go on for IPv4 or for IPv6."""
    return meta(_META_NFPROTO), compare(bytes([number_of]))


def source(number_of: int, at: int = 0, length: int = 0) -> bytes:
    """Load the source address, or the first `length` bytes of it."""
    return payload(_NETWORK_HEADER, *((12, length or 4) if number_of == IPV4 else (8, length or 16)), at)


def destination(number_of: int, at: int = 0, length: int = 0) -> bytes:
    """Load the destination address, or the first `length` bytes of it."""
    return payload(_NETWORK_HEADER, *((16, length or 4) if number_of == IPV4 else (24, length or 16)), at)


def transport(at: int) -> bytes:
    """Load the transport protocol's number."""
    return meta(_META_L4PROTO, at)


def destination_port(at: int) -> bytes:
    """Load the destination port: at the same place for TCP, UDP and SCTP."""
    return payload(_TRANSPORT_HEADER, 2, 2, at)


def out_interface(at: int) -> bytes:
    """Load the name of the interface that the packet leaves by."""
    return meta(_META_OIFNAME, at)


def in_interface(at: int) -> bytes:
    """Load the name of the interface that the packet came by."""
    return meta(_META_IIFNAME, at)


def is_local() -> Expressions:
    """Go on if the destination is an address of this machine."""
    load = expression("fib", _register(1, 0), number(2, _FIB_RESULT_ADDRTYPE), number(3, _FIB_DADDR))
    return load, compare(_RTN_LOCAL.to_bytes(4, sys.byteorder))


def is_new() -> Expressions:
    """Go on for the first packet of a connection (`ct state new`)."""
    load = expression("ct", number(2, _CT_STATE), _register(1, 0))
    return load, masked(_STATE_NEW.to_bytes(4, sys.byteorder)), compare(bytes(4), equal=False)


def was_redirected() -> Expressions:
    """Go on if the connection's destination was changed (`ct status dnat`)."""
    load = expression("ct", number(2, _CT_STATUS), _register(1, 0))
    return load, masked(_STATUS_DST_NAT.to_bytes(4, sys.byteorder)), compare(bytes(4), equal=False)


def lookup(name: str, *, at: int = 0, into: int | None = None) -> bytes:
    """Go on if the registers from `at` are in the set; load what the map says to the registers from `into`."""
    return expression("lookup", _register(2, at), text(1, name), *(() if into is None else (_register(3, into),)))


def decide(name: str, *, at: int = 0, number_in_batch: int = 0) -> bytes:
    """Do what the verdict map says of the registers from `at`; go on if it says nothing.

    `number_in_batch`: of a map that is made in the same batch and has no name of its own.
    """
    by_number = (number(4, number_in_batch),) if number_in_batch else ()
    return expression("lookup", _register(2, at), text(1, name), number(3, _VERDICT_REGISTER), *by_number)


def random_below(bound: int, at: int) -> bytes:
    """Load a number from 0 to below `bound`, another for each packet."""
    return expression("numgen", _register(1, at), number(2, bound), number(3, _RANDOM))


def remember(name: str, *, at: int, seconds: int) -> bytes:
    """Put the registers into a dynamic set, to be there for `seconds` from now."""
    milliseconds = attribute(6, (seconds * 1000).to_bytes(8, "big"))
    return expression("dynset", text(1, name), number(3, _UPDATE), _register(4, at), milliseconds)


def reject() -> bytes:
    """Answer that there is nobody at the port, and be done with the packet."""
    return expression("reject", number(1, _ICMPX_UNREACHABLE), attribute(2, bytes([_PORT_UNREACHABLE])))


def redirect(number_of: int, *, address_at: int, port_at: int) -> bytes:
    """Change the destination to the address and port in the registers, and be done with the hook."""
    return expression("nat", number(1, _DNAT), number(2, number_of), _register(3, address_at), _register(5, port_at))


def masquerade() -> bytes:
    """Change the source to the machine's own address, with a port that nobody can foretell or race for."""
    return expression("masq", number(1, _RANDOM_FULLY))


def verdict(code: int, chain: str = "") -> bytes:
    """End the rule: DROP, ACCEPT, RETURN; JUMP and GOTO with their chain."""
    what = nest(2, number(1, code), *((text(2, chain),) if chain else ()))
    return expression("immediate", number(1, _VERDICT_REGISTER), nest(2, what))
