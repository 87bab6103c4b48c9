"""What a pod's rules are, as elements of the table; whose an element is."""

import hashlib
from ipaddress import ip_interface

import pytest

from cni.native.pod_table import UNSEEN, VERSION, elements, owner_comment, pod_table, reached_by, read_owner
from cni.native.rules import HostPort, Owner, PodRules, RulesRefused

OWNER = Owner("net", "a1", "eth0")
V4, V6 = ip_interface("10.1.0.5/16"), ip_interface("fd00::5/64")


def pod(*ports: HostPort, masquerade: bool = True, addresses: tuple[object, ...] = (V4, V6)) -> PodRules:
    return PodRules(
        network="net",
        container_id="a1",
        ifname="eth0",
        bridge="br0",
        addresses=addresses,  # type: ignore[arg-type]
        masquerade=masquerade,
        host_ports=ports,
    )


def tcp(host_ip: str = "", port: int = 80) -> HostPort:
    return HostPort(protocol="tcp", host_port=port, container_port=8080, host_ip=host_ip)


def in_words(rules: PodRules) -> list[str]:
    return [f"{item.name} {element}" for item, some in elements(rules).items() for element in some]


def test_addresses() -> None:
    """Each with the bridge by which it is reached; in `masquerade` only if the network wants that."""
    assert in_words(pod()) == [
        "pods4 10.1.0.5 . br0",
        "itself4 10.1.0.5 . 10.1.0.5",
        "masquerade4 10.1.0.5",
        "pods6 fd00::5 . br0",
        "itself6 fd00::5 . fd00::5",
        "masquerade6 fd00::5",
    ]
    without = in_words(pod(masquerade=False))
    assert without == [
        "pods4 10.1.0.5 . br0",
        "itself4 10.1.0.5 . 10.1.0.5",
        "pods6 fd00::5 . br0",
        "itself6 fd00::5 . fd00::5",
    ]


def test_bridges_whose_frames_nobody_sees() -> None:
    """Of the family for which that is so, the pods are told apart."""
    found = elements(pod(), {6})
    assert [str(element) for item in UNSEEN for element in found.get(item, ())] == ["fd00::5 . br0"]


@pytest.mark.parametrize(
    ("host_ip", "wanted"),
    [
        ("", ["host_ports4 tcp . 80 : 10.1.0.5 . 8080", "host_ports6 tcp . 80 : fd00::5 . 8080"]),
        ("0.0.0.0", ["host_ports4 tcp . 80 : 10.1.0.5 . 8080"]),
        ("::", ["host_ports6 tcp . 80 : fd00::5 . 8080"]),
        ("192.0.2.1", ["host_ports_at4 192.0.2.1 . tcp . 80 : 10.1.0.5 . 8080"]),
        ("2001:DB8::0:1", ["host_ports_at6 2001:db8::1 . tcp . 80 : fd00::5 . 8080"]),
    ],
)
def test_host_ports(host_ip: str, wanted: list[str]) -> None:
    """At all addresses of the host, at those of one family, or at one."""
    assert [line for line in in_words(pod(tcp(host_ip))) if line.startswith("host_ports")] == wanted


def test_the_first_address_of_a_family_has_the_ports() -> None:
    """A port has one target; a pod without the family has none."""
    second = ip_interface("10.1.0.6/16")
    assert reached_by(tcp(), (V4, second, V6)) == [V4, V6]
    assert reached_by(tcp("::1"), (V4, second)) == []


def test_a_port_that_is_named_twice() -> None:
    """The same mapping twice is one element: a batch with a key twice would be refused."""
    assert in_words(pod(tcp(), tcp())) == in_words(pod(tcp()))


def test_owners() -> None:
    """Network, container and interface, as one comment and back; names that would not come back are refused."""
    assert owner_comment(OWNER) == "net a1 eth0"
    assert read_owner("net a1 eth0") == OWNER
    assert read_owner("net") is None
    assert {element.comment for some in elements(pod(tcp())).values() for element in some} == {"net a1 eth0"}
    for bad in (Owner("a net", "a1", "eth0"), Owner("net", "", "eth0"), Owner("net", "a" * 250, "eth0")):
        with pytest.raises(RulesRefused):
            owner_comment(bad)


def test_the_version_belongs_to_the_rules() -> None:
    """Whoever changes a rule, chain or set changes VERSION: else an agent keeps the rules of the one before."""
    messages = [(message.kind, message.body) for message in pod_table().create({})[1:]]
    digest = hashlib.sha256(repr(messages).encode()).hexdigest()[:12]
    assert (VERSION, digest) == (2, "93f042fc8597")


def test_rules_can_be_told_apart() -> None:
    """CHECK goes by their comments."""
    comments = [rule.comment for rule in pod_table().rules]
    assert len(set(comments)) == len(comments)
