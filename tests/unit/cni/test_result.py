"""Results of every version, read and written."""

import ipaddress
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import version
from cni.errors import BadOutput, NotSupported
from cni.result import DNS, Interface, IPConfig, Result, Route, decode

LEGACY = {
    "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
    "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
    "dns": {"nameservers": ["10.1.0.1"], "domain": "d", "search": ["s"], "options": ["o"]},
}
DECODED = Result(
    cni_version="0.2.0",
    ips=(IPConfig(address="10.1.0.5/16", gateway="10.1.0.1"), IPConfig(address="fd00::5/64")),
    routes=(Route(dst="0.0.0.0/0"), Route(dst="::/0", gw="fd00::1")),
    dns=DNS(nameservers=("10.1.0.1",), domain="d", search=("s",), options=("o",)),
)
FULL = Result(
    cni_version="1.1.0",
    interfaces=(
        Interface(name="br0", mac="aa:bb:cc:dd:ee:ff", mtu=1500),
        Interface(name="eth0", sandbox="/run/netns/x", socket_path="/run/s", pci_id="0000:04:00.5"),
    ),
    ips=(
        IPConfig(address="10.1.0.5/16", gateway="10.1.0.1", interface=1),
        IPConfig(address="10.1.0.6/16"),
        IPConfig(address="fd00::5/64", interface=1),
    ),
    routes=(Route(dst="0.0.0.0/0", mtu=1400, priority=5), Route(dst="::/0", gw="fd00::1", table=7, scope=0, advmss=9)),
    dns=DNS(nameservers=("10.1.0.1",)),
)


def as_json(document: dict[str, Any]) -> Any:
    return json.loads(json.dumps(document))


def wire(text_version: str) -> dict[str, Any]:
    """FULL as that version says it."""
    newest, family = text_version == "1.1.0", text_version in ("0.3.0", "0.3.1", "0.4.0")
    ips: list[dict[str, Any]] = [
        {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1},
        {"address": "10.1.0.6/16"},
        {"address": "fd00::5/64", "interface": 1},
    ]
    if family:
        for ip, number in zip(ips, "446", strict=True):
            ip["version"] = number
    new = {"socketPath": "/run/s", "pciID": "0000:04:00.5"} if newest else {}
    return {
        "cniVersion": text_version,
        "interfaces": [
            {"name": "br0", "mac": "aa:bb:cc:dd:ee:ff", **({"mtu": 1500} if newest else {})},
            {"name": "eth0", "sandbox": "/run/netns/x", **new},
        ],
        "ips": ips,
        "routes": [
            {"dst": "0.0.0.0/0", **({"mtu": 1400, "priority": 5} if newest else {})},
            {"dst": "::/0", "gw": "fd00::1", **({"table": 7, "scope": 0, "advmss": 9} if newest else {})},
        ],
        "dns": {"nameservers": ["10.1.0.1"]},
    }


@pytest.mark.parametrize("text_version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_what_each_version_looks_like(text_version: str) -> None:
    """1.1.0's attributes are dropped below it, ips[].version is there from 0.3.0 to 0.4.0 only; and back."""
    assert as_json(FULL.to_wire(text_version)) == wire(text_version)
    again = decode(wire(text_version), "0.1.0")
    assert as_json(again.to_wire()) == wire(text_version)
    assert again.cni_version == text_version


@pytest.mark.parametrize("text_version", ["0.1.0", "0.2.0"])
def test_old_versions(text_version: str) -> None:
    """ip4 and ip6 become ips and routes without interfaces; back again only the first address of a family is left."""
    document = {"cniVersion": text_version, **LEGACY}
    found = decode(document, "1.0.0")
    assert found == msgspec.structs.replace(DECODED, cni_version=text_version)
    assert as_json(found.to_wire()) == document
    assert as_json(FULL.to_wire(text_version)) == {
        "cniVersion": text_version,
        "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
        "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        "dns": {"nameservers": ["10.1.0.1"]},
    }


def test_no_address_has_no_old_form() -> None:
    """A newer result without an address cannot become 0.2.0."""
    with pytest.raises(NotSupported):
        Result(cni_version="1.0.0").to_wire("0.2.0")


@pytest.mark.parametrize("given_version", [{}, {"cniVersion": ""}, {"cniVersion": None}])
def test_a_missing_version_is_the_requests(given_version: dict[str, Any]) -> None:
    """A result without a version is read as the configuration's."""
    assert decode({**given_version, "ips": []}, "0.4.0") == Result(cni_version="0.4.0")


@pytest.mark.parametrize(
    "document",
    [
        "text",
        [],
        {"cniVersion": "9.9.9"},
        {"cniVersion": 1},
        {"ips": "x"},
        {"ips": ["x"]},
        {"ips": [{}]},
        {"ips": [{"address": "10.1.0.5"}]},
        {"ips": [{"address": "10.1.0/16"}]},
        {"ips": [{"address": "10.1.0.5/33"}]},
        {"ips": [{"address": "10.1.0.5/16", "gateway": "here"}]},
        {"ips": [{"address": "10.1.0.5/16", "interface": "0"}]},
        {"interfaces": [{}]},
        {"routes": [{"dst": "default"}]},
        {"routes": [{"gw": "10.0.0.1"}]},
        {"dns": []},
        {"dns": {"nameservers": "x"}},
    ],
)
def test_rubbish_is_refused(document: Any) -> None:
    """What breaks the format is BadOutput and never another error."""
    for data in (document, json.dumps(document).encode()):
        with pytest.raises(BadOutput):
            decode(data, "1.0.0")


def test_broken_json_is_refused() -> None:
    """So is what is not JSON at all."""
    for data in (b"", b"{", b"\xff"):
        with pytest.raises(BadOutput):
            decode(data, "1.0.0")


def test_the_pods_addresses() -> None:
    """Those of the container's own interface, or of none; not those of the host's side."""
    assert FULL.pod_ips() == ("10.1.0.5", "10.1.0.6", "fd00::5")
    host = msgspec.structs.replace(FULL, ips=(IPConfig(address="10.1.0.1/16", interface=0),))
    assert host.pod_ips() == ()
    named_alike = msgspec.structs.replace(host, interfaces=(Interface(name="eth0"),))
    assert named_alike.pod_ips() == (), "the host has an eth0 as well"
    assert DECODED.pod_ips() == ("10.1.0.5", "fd00::5")


addresses = st.one_of(
    st.builds(lambda ip, bits: f"{ip}/{bits}", st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds(lambda ip, bits: f"{ip}/{bits}", st.ip_addresses(v=6), st.integers(0, 128)),
)
gateways = st.one_of(st.just(""), st.ip_addresses().map(str))
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
results = st.builds(
    Result,
    cni_version=st.just("1.1.0"),
    interfaces=st.lists(
        st.builds(Interface, name=words, mac=words, sandbox=words, mtu=st.integers(0, 9000), pci_id=words), max_size=3
    ).map(tuple),
    ips=st.lists(
        st.builds(IPConfig, address=addresses, gateway=gateways, interface=st.none() | st.integers(0, 3)),
        min_size=1,
        max_size=4,
    ).map(tuple),
    routes=st.lists(
        st.builds(Route, dst=addresses, gw=gateways, table=st.none() | st.integers(0, 9), priority=st.integers(0, 9)),
        max_size=3,
    ).map(tuple),
    dns=st.builds(DNS, nameservers=st.lists(words, max_size=2).map(tuple), domain=words),
)


def without(result: Result, text_version: str) -> Result:
    """What is left of a result that went through a version."""
    if text_version == "1.1.0":
        return result
    bare = msgspec.structs.replace(
        result,
        cni_version=text_version,
        interfaces=tuple(Interface(name=item.name, mac=item.mac, sandbox=item.sandbox) for item in result.interfaces),
        routes=tuple(Route(dst=item.dst, gw=item.gw) for item in result.routes),
    )
    if text_version not in ("0.1.0", "0.2.0"):
        return bare
    families = [4, 6]
    firsts = [next((ip for ip in result.ips if family(ip.address) == number), None) for number in families]
    kept = [number for number, first in zip(families, firsts, strict=True) if first is not None]
    return msgspec.structs.replace(
        bare,
        interfaces=(),
        ips=tuple(IPConfig(address=ip.address, gateway=ip.gateway) for ip in firsts if ip is not None),
        routes=tuple(route for number in kept for route in bare.routes if family(route.dst) == number),
    )


def family(address: str) -> int:
    return ipaddress.ip_interface(address).version


@given(results, st.sampled_from(version.KNOWN))
def test_round_trip(result: Result, text_version: str) -> None:
    """Written in any version and read again, only what the version cannot say is gone; a second time nothing is."""
    once = decode(json.dumps(result.to_wire(text_version)).encode(), "")
    assert once == without(result, text_version)
    assert decode(once.to_wire(), "") == once
