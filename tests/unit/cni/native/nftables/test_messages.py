"""Messages of nf_tables: the same bytes as `nft` 1.0.6 sends for the same statement; elements come back as they went."""

from hypothesis import given
from hypothesis import strategies as st

from cni.native.attributes import nest, parse
from cni.native.nftables import expressions as x
from cni.native.nftables import messages
from cni.native.nftables.messages import Chain, Hook, Rule
from cni.native.nftables.sets import INTERFACE, IPV4_ADDRESS, IPV6_ADDRESS, PORT, PROTOCOL, Element, Set, layout

PORTS = Set("m", layout(PROTOCOL, PORT), layout(IPV4_ADDRESS, PORT))


def test_table_and_chain() -> None:
    """`table inet t { comment "hello"; chain p { type nat hook prerouting priority dstnat; } }`."""
    assert messages.new_table("t", "hello").body == bytes.fromhex("0600010074000000 0c0006000006 68656c6c6f00")
    hook = Hook(kind="nat", number=messages.PREROUTING, priority=-100)
    assert messages.new_chain("t", Chain(name="p", hook=hook)).body == bytes.fromhex(
        "0600010074000000 0600030070000000 080007006e617400 14000480 0800010000000000 08000200ffffff9c"
    )
    assert messages.read_table_comment(messages.new_table("t", "hello").body) == "hello"


def test_map() -> None:
    """`map m { type inet_proto . inet_service : ipv4_addr . inet_service; }`: types and lengths of several fields as one."""
    found = parse(messages.new_set("t", PORTS, 2).body)
    wanted = {3: 8, 4: 0x30D, 5: 8, 6: 0x1CD, 7: 8, 10: 2}
    assert {kind: int.from_bytes(found[kind], "big") for kind in wanted} == wanted


def test_rules() -> None:
    """`fib daddr type local jump o`, `ct status dnat masquerade fully-random`, `dnat ip to meta l4proto . th dport map @m`."""
    jump = Rule(chain="p", comment="abc", expressions=(*x.is_local(), x.verdict(x.JUMP, "o")))
    body = parse(messages.new_rule("t", jump).body)
    assert body[7] == b"\x00\x04abc\x00"
    assert body[4] == bytes.fromhex(
        "28000180 08000100 66696200 1c000280 0800010000000008 0800020000000003 0800030000000002"
        "2c000180 08000100 636d7000 20000280 0800010000000008 0800020000000000 0c000380 0800010002000000"
        "38000180 0e000100 696d6d656469617465000000 24000280 0800010000000000 18000280 14000280 08000100fffffffd"
        "060002006f000000"
    )
    assert messages.read_rule(messages.new_rule("t", jump).body) == ("p", "abc")
    assert x.masquerade() == bytes.fromhex("1c000180 090001006d617371 00000000 0c000280 0800010000000010")
    assert x.lookup("m", at=0, into=0) == bytes.fromhex(
        "2c000180 0b000100 6c6f6f6b75700000 1c000280 0800020000000008 060001006d000000 0800030000000008"
    )


def test_elements_in_messages_of_bounded_size() -> None:
    """An attribute ends at 64 KiB: many elements are several messages; what they are about is told short."""
    some = [Element(key=("tcp", number), value=("10.0.0.1", 1), comment="n " + "c" * 64) for number in range(300)]
    made = messages.new_elements("t", PORTS, some)
    assert [len(message.body) < 1 << 16 for message in made] == [True] * 3
    assert made[0].about.startswith("element tcp . 0 : 10.0.0.1 . 1, tcp . 1 : 10.0.0.1 . 1, ")
    assert made[0].about.endswith(", … of set m of table t")
    assert list(messages.read_elements(PORTS, [message.body for message in made])) == some
    assert list(messages.read_elements(PORTS, [message.body for message in made], b"other")) == []


ADDRESSES4 = st.ip_addresses(v=4).map(str)
ADDRESSES6 = st.ip_addresses(v=6).map(str)
NUMBERS = st.integers(0, 65535)
NAMES = st.text("abcdefghij-.0123456789", min_size=1, max_size=15)


@given(address=ADDRESSES6, protocol=st.sampled_from(["tcp", "udp", "sctp"]), port=NUMBERS, comment=NAMES)
def test_what_goes_comes_back(address: str, protocol: str, port: int, comment: str) -> None:
    """Keys of several fields, values and comments."""
    item = Set("s", layout(IPV6_ADDRESS, PROTOCOL, PORT), layout(IPV6_ADDRESS, PORT))
    element = Element(key=(address, protocol, port), value=(address, port), comment=comment)
    (message,) = messages.new_elements("t", item, [element])
    assert list(messages.read_elements(item, [message.body], comment.encode())) == [element]


@given(address=ADDRESSES4, name=NAMES)
def test_names_of_interfaces(address: str, name: str) -> None:
    """Sixteen bytes, alone or behind an address."""
    for item, key in (
        (Set("s", layout(INTERFACE)), (name,)),
        (Set("s", layout(IPV4_ADDRESS, INTERFACE)), (address, name)),
    ):
        (message,) = messages.new_elements("t", item, [Element(key=key)])
        assert list(messages.read_elements(item, [message.body])) == [Element(key=key)]


def test_base_chains() -> None:
    """(table, chain, hook, policy) of a base chain; None of a chain that no hook calls."""
    hook = Hook(kind="filter", number=messages.FORWARD, priority=0)
    body = messages.new_chain("t", Chain(name="c", hook=hook)).body
    assert messages.read_base_chain(body) is None  # no policy told: not from the kernel
    assert messages.read_base_chain(body + b"\x08\x00\x05\x00\x00\x00\x00\x00") == ("t", "c", messages.FORWARD, 0)
    assert messages.read_base_chain(messages.new_chain("t", Chain(name="c")).body) is None
    assert nest(1) == b"\x04\x00\x01\x80"
