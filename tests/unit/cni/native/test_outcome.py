"""What an ADD answers."""

import json
from ipaddress import ip_address
from typing import Any

import pytest

from cni.native import outcome, settings
from cni.native.failure import Code, Failure
from cni.native.ipam.allocator import Lease
from cni.native.request import Request, parse
from cni.native.rtnl import Link
from cni.native.veth import Pair

IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9", "mtu": 1300}],
}


def request(**changes: Any) -> Request:
    environment = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": "/x", "CNI_IFNAME": "eth0"}
    return parse(environment, {"cniVersion": "1.1.0", "name": "net", "type": "nodeagent-cni", "ipam": IPAM, **changes})


def link(name: str, mac: str) -> Link:
    return Link(
        index=1, name=name, flags=1, mac=mac, mtu=1500, master=0, peer=2, kind="", alias="", port_state=0, hairpin=False
    )


def leases(asked: Request) -> list[Lease]:
    sets = settings.bridge(asked).addresses.sets
    return [Lease(ip_address(text), item[0]) for text, item in zip(("10.1.0.5", "fd00::5"), sets, strict=True)]


def result(asked: Request) -> dict[str, Any]:
    pair = Pair(host=link("veth0", "02:02"), index=2, mac="02:03")
    previous = outcome.previous_result(asked)
    made = outcome.result(asked, settings.bridge(asked), link("cni0", "02:01"), pair, leases(asked), previous)
    found: dict[str, Any] = json.loads(json.dumps(made.to_wire(asked.version)))
    return found


def test_a_result() -> None:
    """Bridge, host's end and pod's end; addresses of the last; routes as they are configured."""
    assert result(request()) == {
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "cni0", "mac": "02:01", "mtu": 1500},
            {"name": "veth0", "mac": "02:02", "mtu": 1500},
            {"name": "eth0", "mac": "02:03", "mtu": 1500, "sandbox": "/x"},
        ],
        "ips": [
            {"address": "10.1.0.5/24", "gateway": "10.1.0.1", "interface": 2},
            {"address": "fd00::5/64", "gateway": "fd00::1", "interface": 2},
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9", "mtu": 1300}],
        "dns": {},
    }


def test_what_an_earlier_plugin_made_stays() -> None:
    """Ours comes behind it, its indexes count on."""
    before = {"cniVersion": "0.4.0", "interfaces": [{"name": "x"}], "ips": [{"version": "4", "address": "10.7.0.1/24"}]}
    found = result(request(prevResult=before))
    assert [item["name"] for item in found["interfaces"]] == ["x", "cni0", "veth0", "eth0"]
    assert [item.get("interface") for item in found["ips"]] == [None, 3, 3]
    with pytest.raises(Failure, match="prevResult") as caught:
        outcome.previous_result(request(prevResult={"ips": 5}))
    assert caught.value.code == Code.DECODING


def test_routes_go_through_the_gateway_of_their_family() -> None:
    """A default route of each family where the bridge is the default gateway, unless one is configured."""
    asked = request(isDefaultGateway=True)
    found = outcome.kernel_routes(settings.bridge(asked), leases(asked), 9)
    assert [(str(route.to), str(route.gateway), route.index) for route in found] == [
        ("0.0.0.0/0", "10.1.0.1", 9),
        ("10.9.0.0/16", "10.1.0.9", 9),
        ("::/0", "fd00::1", 9),
    ]
    only_ipv6 = leases(asked)[1:]
    assert [str(route.to) for route in outcome.kernel_routes(settings.bridge(asked), only_ipv6, 9)] == ["::/0"]
