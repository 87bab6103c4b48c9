"""The places where a Service is reached."""

from collections.abc import Callable
from typing import Any

import pytest
from lightkube.models.core_v1 import Service
from lightkube.models.discovery_v1 import EndpointSlice

from nodeagent.services.balancing import Endpoint
from nodeagent.services.frontends import View, cluster_addresses, frontends

VIEW = View(node_name="here")


def places(service: Service, *pieces: EndpointSlice, view: View = VIEW) -> list[tuple[str, str, int, list[str]]]:
    return [
        (place.address, place.protocol, place.port, [endpoint.address for endpoint in place.behind.endpoints])
        for place in frontends(service, pieces, view)
    ]


def test_all_ways_in(service: Callable[..., Service], piece: Callable[..., EndpointSlice]) -> None:
    """Cluster address, external addresses and node port, each with its policy's endpoints; nonsense is left out."""
    made = service(
        type="NodePort",
        externalIPs=["198.51.100.7", "2001:db8::7", "no address"],
        externalTrafficPolicy="Local",
        ports=[{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
    )
    there = {"addresses": ["10.0.0.2"], "nodeName": "there"}
    assert places(made, piece("10.0.0.1", there)) == [
        ("10.96.0.20", "tcp", 80, ["10.0.0.1", "10.0.0.2"]),
        ("198.51.100.7", "tcp", 80, ["10.0.0.1"]),
        ("", "tcp", 30080, ["10.0.0.1"]),
    ]


def test_both_families(service: Callable[..., Service], piece: Callable[..., EndpointSlice]) -> None:
    """Each has its own endpoints, and node ports of both are the same number."""
    made = service(
        type="NodePort",
        clusterIPs=["10.96.0.20", "fd96::20"],
        ports=[{"name": "http", "port": 80, "nodePort": 30080}],
    )
    assert places(made, piece("10.0.0.1"), piece("fd00::1", kind="IPv6")) == [
        ("10.96.0.20", "tcp", 80, ["10.0.0.1"]),
        ("", "tcp", 30080, ["10.0.0.1"]),
        ("fd96::20", "tcp", 80, ["fd00::1"]),
        ("", "tcp", 30080, ["fd00::1"]),
    ]


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None", "clusterIPs": ["None"]},
        {"type": "ExternalName", "externalName": "a.example"},
        {"clusterIP": "", "clusterIPs": []},
    ],
)
def test_services_without_addresses(service: Callable[..., Service], spec: dict[str, Any]) -> None:
    """Headless and external ones are DNS's business."""
    assert (places(service(**spec)), cluster_addresses(service(**spec))) == ([], ())


def test_what_another_proxy_leads(service: Callable[..., Service]) -> None:
    """The label says that there is one, for this Service."""
    made = service()
    assert made.metadata is not None
    made.metadata.labels = {"service.kubernetes.io/service-proxy-name": "mesh"}
    assert (places(made), cluster_addresses(made)) == ([], ())


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        ({"sessionAffinity": "ClientIP"}, 10800),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}, 5),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1 << 62}}}, 86400),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": -5}}}, 1),
    ],
)
def test_affinity(service: Callable[..., Service], spec: dict[str, Any], seconds: int) -> None:
    """For as long as the Service says, three hours by default, a day at most."""
    (place,) = frontends(service(**spec), (), VIEW)
    assert place.sticky_seconds == seconds


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"externalIPs": ["127.0.0.1", "fe80::1", "rubbish", "0.0.0.0", "192.0.2.1"]}, ["10.96.0.20", "192.0.2.1"]),
        ({"internalTrafficPolicy": "PreferClose"}, ["10.96.0.20"]),
        ({"clusterIP": "rubbish", "clusterIPs": ["rubbish"]}, []),
        ({"ports": [{"name": "http", "port": 65_536}]}, []),
    ],
)
def test_rubbish(service: Callable[..., Service], spec: dict[str, Any], wanted: list[str]) -> None:
    """What no packet can have is left out, and the rest is led: one Service must not end the others, or the agent."""
    assert [place.address for place in frontends(service(**spec), (), VIEW)] == wanted


def test_the_apis_own(service: Callable[..., Service], piece: Callable[..., EndpointSlice]) -> None:
    """`kubernetes` in `default` leads to the node's own API, not where a slice says."""
    view = View(node_name="here", api=Endpoint("10.88.0.1", 6443, True))
    assert places(service("kubernetes"), piece("10.0.0.66"), view=view) == [("10.96.0.20", "tcp", 80, ["10.88.0.1"])]
    assert places(service("web"), piece("10.0.0.66"), view=view) == [("10.96.0.20", "tcp", 80, ["10.0.0.66"])]
