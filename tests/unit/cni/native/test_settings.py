"""A configuration for `bridge` and `host-local`, read by the native plugin."""

from pathlib import Path
from typing import Any

import pytest

from cni.native import settings
from cni.native.failure import Code, Failure
from cni.native.request import Request, parse
from cni.native.rules import HostPort

IPAM = {
    "type": "host-local",
    "subnet": "10.1.0.0/24",
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9"}],
}


def request(**changes: Any) -> Request:
    environment = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/x", "CNI_IFNAME": "eth0"}
    config = {"cniVersion": "1.1.0", "name": "net", "type": "nodeagent-cni", "ipam": IPAM, **changes}
    return parse(environment, {key: value for key, value in config.items() if value is not ...})


def test_defaults_are_those_of_the_bridge_plugin() -> None:
    """What is not said is off; isDefaultGateway implies isGateway."""
    found = settings.bridge(request())
    assert (found.name, found.is_gateway, found.hairpin, found.promiscuous, found.mtu) == (
        "cni0",
        False,
        False,
        False,
        0,
    )
    assert found.addresses.data_dir == "/var/lib/cni/networks"
    assert [(str(route.to), str(route.gateway)) for route in found.addresses.routes] == [
        ("0.0.0.0/0", "None"),
        ("10.9.0.0/16", "10.1.0.9"),
    ]
    assert settings.bridge(request(isDefaultGateway=True)).is_gateway
    assert not settings.masquerades(request())


def test_who_comes_after_another_plugin() -> None:
    """Without ipam and bridge there is no interface to be made."""
    assert settings.makes_interface(request())
    assert not settings.makes_interface(request(ipam=...))


def test_what_is_not_done_is_refused() -> None:
    """By name and value, unless it is off."""
    for key, value in (("vlan", 5), ("macspoofchk", True), ("forceAddress", True), ("vlanTrunk", [{"id": 3}])):
        with pytest.raises(Failure, match=f"unsupported field: {key} = ") as caught:
            settings.bridge(request(**{key: value}))
        assert caught.value.code == Code.UNSUPPORTED_FIELD
    assert settings.bridge(request(vlan=0, macspoofchk=False))
    with pytest.raises(Failure, match="ipMasqBackend"):
        settings.masquerades(request(ipMasq=True, ipMasqBackend="iptables"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hairpinMode": True, "promiscMode": True}, "exclude each other"),
        ({"hairpinMode": "yes"}, "neither true nor false"),
        ({"bridge": "sixteen-letters-"}, "no interface name"),
        ({"mtu": 12}, "below 68"),
        ({"mtu": "1500"}, "not a number"),
        ({"ipam": {"type": "dhcp"}}, "asks no other"),
        ({"ipam": {"type": "host-local"}}, "no ranges"),
        ({"ipam": {**IPAM, "ranges": [[{"subnet": "x"}]]}}, "ipam: 'x'"),
        ({"ipam": {**IPAM, "routes": [{"dst": "x"}]}}, "ipam.routes.dst"),
        ({"ipam": {**IPAM, "routes": [{"dst": "0.0.0.0/0", "gw": "fd00::1"}]}}, "not of the family"),
        ({"runtimeConfig": {"ipRanges": 5}}, "ipam"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    """As an invalid configuration."""
    with pytest.raises(Failure, match=message) as caught:
        settings.bridge(request(**changes))
    assert caught.value.code == Code.INVALID_CONFIG


def test_ranges_of_the_runtime_come_first() -> None:
    """Before those of the file, and of the old flat form."""
    ranges = [[{"subnet": "10.2.0.0/24"}]]
    found = settings.bridge(request(runtimeConfig={"ipRanges": ranges})).addresses.sets
    assert [str(item[0].network) for item in found] == ["10.2.0.0/24", "10.1.0.0/24"]


def test_host_ports() -> None:
    """Protocols in any case, TCP where none is said; without a port on the host it is none."""
    mappings = [
        {"hostPort": 8080, "containerPort": 80, "protocol": "TCP"},
        {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.0.2.1"},
        {"hostPort": 0, "containerPort": 80},
    ]
    assert settings.host_ports(request(runtimeConfig={"portMappings": mappings})) == (
        HostPort(protocol="tcp", host_port=8080, container_port=80),
        HostPort(protocol="udp", host_port=53, container_port=53, host_ip="192.0.2.1"),
    )


@pytest.mark.parametrize(
    "mapping",
    [5, {"hostPort": 70000}, {"hostPort": 1, "protocol": "icmp"}, {"hostPort": 1, "hostIP": "x"}, {"hostPort": "1"}],
)
def test_host_ports_that_are_none(mapping: Any) -> None:
    """They fail before anything is made."""
    with pytest.raises(Failure) as caught:
        settings.host_ports(request(runtimeConfig={"portMappings": [mapping]}))
    assert caught.value.code == Code.INVALID_CONFIG


def test_dns(tmp_path: Path) -> None:
    """Of the capability, else of the configuration, else of the file that it names."""
    file = tmp_path / "resolv.conf"
    file.write_text("# mine\nnameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:5\n")
    assert settings.bridge(request(ipam={**IPAM, "resolvConf": str(file)})).addresses.dns == {
        "nameservers": ["192.0.2.53"],
        "search": ["a.example", "b.example"],
        "options": ["ndots:5"],
    }
    assert settings.bridge(request(dns={"nameservers": ["192.0.2.1"]})).addresses.dns == {"nameservers": ["192.0.2.1"]}
    given = {"dns": {"servers": ["192.0.2.2"], "searches": ["c.example"], "options": []}}
    assert settings.bridge(request(runtimeConfig=given)).addresses.dns == {
        "nameservers": ["192.0.2.2"],
        "search": ["c.example"],
    }
