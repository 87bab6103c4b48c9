"""What names mean: the tables of the DNS specification for Services."""

from typing import Any

import pytest
from lightkube.models.core_v1 import Service, ServicePort, ServiceSpec
from lightkube.models.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.cluster_dns.zone import Answer, Record, RecordType, Zone

PODS = {("default", "10.1.0.7"), ("default", "fd00::7")}
NXDOMAIN, NODATA = Answer(exists=False), Answer()


def service(name: str, **spec: Any) -> Service:
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(**spec))


def endpoints(service_name: str, *items: Endpoint, kind: str = "IPv4", name: str = "") -> EndpointSlice:
    labels = {"kubernetes.io/service-name": service_name}
    metadata = ObjectMeta(name=name or f"{service_name}-{kind}", namespace="default", labels=labels)
    ports = [EndpointPort(name="http", port=8080, protocol="TCP")]
    return EndpointSlice(metadata=metadata, addressType=kind, endpoints=list(items), ports=ports)


@pytest.fixture
def zone() -> Zone:
    return Zone("cluster.local", lambda namespace, address: (namespace, address) in PODS)


def test_a_cluster_ip_answers_by_family_port_and_reverse(zone: Zone) -> None:
    """2.3: A and AAAA are the cluster IPs, a named port has an SRV, each address a PTR."""
    ports = [ServicePort(name="http", port=80), ServicePort(port=81, name="dns", protocol="UDP"), ServicePort(port=82)]
    zone.service_changed(None, service("web", clusterIP="10.2.0.1", clusterIPs=["10.2.0.1", "fd01::1"], ports=ports))
    name = "web.default.svc.cluster.local"
    assert zone.answer(name, "A") == Answer((Record(RecordType.A, "10.2.0.1"),))
    assert zone.answer(name, "AAAA") == Answer((Record(RecordType.AAAA, "fd01::1"),))
    assert zone.answer(f"_http._tcp.{name}", "SRV") == Answer((Record(RecordType.SRV, name, 80, 100),))
    assert zone.answer(f"_dns._udp.{name}", "SRV") == Answer((Record(RecordType.SRV, name, 81, 100),))
    assert zone.answer("1.0.2.10.in-addr.arpa", "PTR") == Answer((Record(RecordType.PTR, name),))
    assert zone.answer(name, "MX") == NODATA


def test_what_lies_above_a_name_exists(zone: Zone) -> None:
    """A name with names below it and no records is NODATA, not NXDOMAIN: resolvers stop at NXDOMAIN (RFC 8020)."""
    zone.service_changed(None, service("web", clusterIP="10.2.0.1", ports=[ServicePort(name="http", port=80)]))
    above = ("_tcp.web.default.svc", "default.svc", "svc")
    assert [zone.answer(f"{name}.cluster.local", "A") for name in above] == [NODATA] * 3
    assert zone.answer("cluster.local", "A") == NODATA
    assert zone.answer("other.default.svc.cluster.local", "A") == NXDOMAIN
    zone.service_changed(service("web"), None)
    assert [zone.answer(f"{name}.cluster.local", "A") for name in above] == [NXDOMAIN] * 3


def test_a_headless_service_answers_with_its_ready_endpoints(zone: Zone) -> None:
    """2.4: addresses of those that are ready or say nothing, a name for each, SRV to these names, PTR for hostnames."""
    zone.service_changed(None, service("db", clusterIP="None"))
    ready, not_ready = EndpointConditions(ready=True), EndpointConditions(ready=False)
    zone.slice_changed(
        None,
        endpoints(
            "db",
            Endpoint(addresses=["10.1.0.7"], hostname="db-0", conditions=ready),
            Endpoint(addresses=["10.1.0.8"]),
            Endpoint(addresses=["10.1.0.9"], conditions=not_ready),
        ),
    )
    zone.slice_changed(None, endpoints("db", Endpoint(addresses=["fd00::7"]), kind="IPv6"))
    name = "db.default.svc.cluster.local"
    assert {record.value for record in zone.answer(name, "A").records} == {"10.1.0.7", "10.1.0.8"}
    assert zone.answer(name, "AAAA").records == (Record(RecordType.AAAA, "fd00::7"),)
    assert zone.answer(f"db-0.{name}", "A") == Answer((Record(RecordType.A, "10.1.0.7"),))
    assert zone.answer(f"10-1-0-8.{name}", "A") == Answer((Record(RecordType.A, "10.1.0.8"),))
    targets = {(record.value, record.port) for record in zone.answer(f"_http._tcp.{name}", "SRV").records}
    assert targets == {(f"db-0.{name}", 8080), (f"10-1-0-8.{name}", 8080), (f"fd00--7.{name}", 8080)}
    assert zone.answer("7.0.1.10.in-addr.arpa", "PTR").records == (Record(RecordType.PTR, f"db-0.{name}"),)
    assert not zone.holds("8.0.1.10.in-addr.arpa")


def test_a_slice_that_changes_or_goes_takes_its_names_along(zone: Zone) -> None:
    """Names follow the newest slice; that of a headless Service without endpoints is NXDOMAIN, its addresses are forgotten."""
    zone.service_changed(None, service("db", clusterIP="None"))
    before = endpoints("db", Endpoint(addresses=["10.1.0.7"], hostname="db-0"))
    after = endpoints("db", Endpoint(addresses=["10.1.0.8"], hostname="db-0"))
    zone.slice_changed(None, before)
    zone.slice_changed(before, after)
    name = "db.default.svc.cluster.local"
    assert [record.value for record in zone.answer(name, "A").records] == ["10.1.0.8"]
    zone.slice_changed(after, None)
    assert zone.answer(name, "A") == NXDOMAIN
    assert not zone.holds("8.0.1.10.in-addr.arpa")


def test_addresses_that_are_none_are_left_out(zone: Zone) -> None:
    """Whoever writes a slice by hand takes nothing from its other endpoints."""
    zone.service_changed(None, service("db", clusterIP="None"))
    zone.slice_changed(
        None, endpoints("db", Endpoint(addresses=["rubbish", "10.1.0.2", "fd00::1%lo"], hostname="db-0"))
    )
    assert zone.answer("db.default.svc.cluster.local", "A").records == (Record(RecordType.A, "10.1.0.2"),)


def test_a_slice_before_its_service_is_not_lost(zone: Zone) -> None:
    """Two informers have no order between them."""
    zone.slice_changed(None, endpoints("db", Endpoint(addresses=["10.1.0.7"])))
    assert zone.answer("db.default.svc.cluster.local", "A") == NXDOMAIN
    zone.service_changed(None, service("db", clusterIP="None"))
    assert zone.answer("db.default.svc.cluster.local", "A").records == (Record(RecordType.A, "10.1.0.7"),)


def test_an_external_name_is_an_alias(zone: Zone) -> None:
    """2.5: a CNAME, whatever type is asked for."""
    zone.service_changed(None, service("out", type="ExternalName", externalName="Example.org."))
    alias = (Record(RecordType.CNAME, "example.org"),)
    assert zone.answer("out.default.svc.cluster.local", "A").records == alias
    assert zone.answer("out.default.svc.cluster.local", "CNAME").records == alias


def test_the_version_of_the_schema_is_told(zone: Zone) -> None:
    """2.2."""
    assert zone.answer("dns-version.cluster.local", "TXT").records == (Record(RecordType.TXT, "1.1.0"),)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("10-1-0-7.default", Answer((Record(RecordType.A, "10.1.0.7"),))),
        ("fd00--7.default", NODATA),
        ("10-1-0-8.default", NXDOMAIN),
        ("10-1-0-7.other", NXDOMAIN),
        ("x.default", NXDOMAIN),
        ("10-1-0-7", NXDOMAIN),
        ("a.10-1-0-7.default", NXDOMAIN),
    ],
)
def test_a_pods_name_is_its_address_when_there_is_such_a_pod(zone: Zone, name: str, expected: Answer) -> None:
    """Names that spell an address mean it only where a pod of that namespace has it: nobody makes up names for others."""
    assert zone.answer(f"{name}.pod.cluster.local", "A") == expected


def test_one_address_of_two_services_is_both(zone: Zone) -> None:
    """A PTR that two headless Services give is kept when one of them goes."""
    for name in ("a", "b"):
        zone.service_changed(None, service(name, clusterIP="None"))
        zone.slice_changed(None, endpoints(name, Endpoint(addresses=["10.1.0.7"], hostname="x")))
    zone.service_changed(service("a"), None)
    assert [record.value for record in zone.answer("7.0.1.10.in-addr.arpa", "PTR").records] == [
        "x.b.default.svc.cluster.local"
    ]
