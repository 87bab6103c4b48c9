"""Which endpoints take connections."""

from collections.abc import Callable
from typing import Any

import pytest
from lightkube.models.discovery_v1 import EndpointSlice

from nodeagent.services.balancing import Behind, Endpoint, Policy, behind

Make = Callable[..., EndpointSlice]
READY: dict[str, Any] = {"ready": True}
STARTING: dict[str, Any] = {"ready": False, "serving": False, "terminating": False}
ENDING: dict[str, Any] = {"ready": False, "serving": True, "terminating": True}
GONE: dict[str, Any] = {"ready": False, "serving": False, "terminating": True}


def one(address: str, conditions: dict[str, Any], node: str = "here") -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions, "nodeName": node}


def found(piece: EndpointSlice, policy: Policy = Policy.CLUSTER, **asked: Any) -> Behind:
    whole = {"port_name": "http", "protocol": "TCP", "version": 4, "policy": policy, "node_name": "here", **asked}
    return behind([piece], **whole)


def addresses(of: Behind) -> list[str]:
    return [endpoint.address for endpoint in of.endpoints]


@pytest.mark.parametrize(
    ("endpoints", "wanted"),
    [
        ([one("10.0.0.1", READY), one("10.0.0.2", STARTING)], ["10.0.0.1"]),
        ([one("10.0.0.1", READY), one("10.0.0.2", ENDING)], ["10.0.0.1"]),
        ([one("10.0.0.1", STARTING), one("10.0.0.2", ENDING), one("10.0.0.3", GONE)], ["10.0.0.2"]),
        ([one("10.0.0.3", {}), one("10.0.0.1", READY)], ["10.0.0.1", "10.0.0.3"]),
        ([one("10.0.0.1", {"terminating": True, "ready": False})], []),
        ([], []),
    ],
)
def test_cluster(piece: Make, endpoints: list[dict[str, Any]], wanted: list[str]) -> None:
    """The ready ones; if there are none, those that terminate and still serve. What nobody tells is taken for ready."""
    assert addresses(found(piece(*endpoints))) == wanted


@pytest.mark.parametrize(
    ("endpoints", "wanted", "elsewhere"),
    [
        ([one("10.0.0.1", READY), one("10.0.0.2", READY, "there")], ["10.0.0.1"], False),
        ([one("10.0.0.1", ENDING), one("10.0.0.2", READY, "there")], ["10.0.0.1"], False),
        ([one("10.0.0.2", READY, "there")], [], True),
        ([one("10.0.0.2", STARTING, "there")], [], False),
    ],
)
def test_local(piece: Make, endpoints: list[dict[str, Any]], wanted: list[str], elsewhere: bool) -> None:
    """Only this node's, by the same rule; and whether others would have taken it."""
    of = found(piece(*endpoints), Policy.LOCAL)
    assert (addresses(of), of.elsewhere) == (wanted, elsewhere)


def test_the_port_and_the_family_decide(piece: Make) -> None:
    """Another port's name, protocol or family has none of these endpoints."""
    here = piece("10.0.0.1")
    assert found(here).endpoints == (Endpoint("10.0.0.1", 8080, True),)
    for asked in ({"port_name": ""}, {"protocol": "UDP"}, {"version": 6}):
        assert found(here, **asked) == Behind(())
    assert addresses(found(piece("fd00::0:1", kind="IPv6"), version=6)) == ["fd00::1"]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "name.example"),
        *("::1", "fe80::1", "::ffff:127.0.0.1", "fd00::1%eth0"),
    ],
)
def test_no_way_into_the_node_itself(piece: Make, address: str) -> None:
    """Whoever may write a slice gets no connection of others led to the node's loopback, or to nobody's address."""
    for version in (4, 6):
        assert found(piece(address, kind=f"IPv{version}"), version=version) == Behind(())


@pytest.mark.parametrize("port", [0, -1, 65536, None])
def test_ports_that_are_none(piece: Make, port: int | None) -> None:
    """A slice's author may write any number."""
    assert found(piece("10.0.0.1", port=port)) == Behind(())
