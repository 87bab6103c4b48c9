"""Responses: built from a zone, relayed, cut, refused. Upstream is a small name server of the test on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from dnslib import CLASS, EDNS0, QTYPE, RCODE, RR, A, DNSQuestion, DNSRecord
from lightkube.models.core_v1 import Service, ServicePort, ServiceSpec
from lightkube.models.discovery_v1 import Endpoint, EndpointSlice
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.cluster_dns.resolver import Resolver
from nodeagent.cluster_dns.upstream import Upstream
from nodeagent.cluster_dns.zone import Zone

NOBODY = Upstream(lambda: ())


def zone_with(*services: Service) -> Zone:
    zone = Zone("cluster.local", lambda _namespace, _address: False)
    for service in services:
        zone.service_changed(None, service)
    return zone


def named(name: str, **spec: object) -> Service:
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(**spec))  # type: ignore[arg-type]


async def asked(resolver: Resolver, name: str, kind: str = "A", *, tcp: bool = False, edns: int = 0) -> DNSRecord:
    query = DNSRecord.question(name, kind)
    if edns:
        query.add_ar(EDNS0(udp_len=edns))
    wire = await resolver.respond(query.pack(), tcp=tcp)
    assert wire is not None
    response = DNSRecord.parse(wire)
    assert response.header.id == query.header.id
    return response


def answers(response: DNSRecord) -> set[tuple[str, str, str]]:
    return {(str(item.rname).rstrip("."), QTYPE[item.rtype], str(item.rdata).rstrip(".")) for item in response.rr}


@contextlib.asynccontextmanager
async def name_server(reply: Callable[[DNSRecord], bytes | None]) -> AsyncIterator[int]:
    """A name server on loopback over both transports; its port."""

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if answer := reply(DNSRecord.parse(data)):
                self.transport.sendto(answer, addr)  # type: ignore[attr-defined]

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        if answer := reply(DNSRecord.parse(data)):
            writer.write(len(answer).to_bytes(2) + answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", port))
    try:
        yield port
    finally:
        transport.close()
        server.close()


def says(address: str) -> Callable[[DNSRecord], bytes | None]:
    def reply(query: DNSRecord) -> bytes | None:
        response = query.reply()
        response.add_answer(RR(query.q.qname, QTYPE.A, rdata=A(address), ttl=60))
        wire: bytes = response.pack()
        return wire

    return reply


async def test_the_zone_is_answered_with_authority() -> None:
    """A name of a Service in any case of letters: its address, authoritative, recursion available."""
    resolver = Resolver(zone_with(named("web", clusterIP="10.2.0.1")), NOBODY)
    response = await asked(resolver, "WEB.default.svc.Cluster.local")
    assert (response.header.aa, response.header.ra, response.header.rcode) == (1, 1, RCODE.NOERROR)
    assert answers(response) == {("web.default.svc.cluster.local", "A", "10.2.0.1")}


async def test_what_is_not_there_is_told_with_the_time_it_may_be_kept() -> None:
    """NXDOMAIN, and NODATA for another type, each with the zone's SOA (RFC 2308)."""
    resolver = Resolver(zone_with(named("web", clusterIP="10.2.0.1")), NOBODY)
    absent = await asked(resolver, "no.default.svc.cluster.local")
    other = await asked(resolver, "web.default.svc.cluster.local", "AAAA")
    assert (absent.header.rcode, other.header.rcode) == (RCODE.NXDOMAIN, RCODE.NOERROR)
    assert [[item.rtype for item in response.auth] for response in (absent, other)] == [[QTYPE.SOA]] * 2


async def test_an_srv_brings_the_addresses_of_its_target() -> None:
    """The additional section spares a second question."""
    resolver = Resolver(
        zone_with(named("web", clusterIP="10.2.0.1", ports=[ServicePort(name="http", port=80)])), NOBODY
    )
    response = await asked(resolver, "_http._tcp.web.default.svc.cluster.local", "SRV")
    assert answers(response) == {
        ("_http._tcp.web.default.svc.cluster.local", "SRV", "0 100 80 web.default.svc.cluster.local")
    }
    assert [str(item.rdata) for item in response.ar] == ["10.2.0.1"]


async def test_the_rest_of_the_world_is_relayed_as_it_came() -> None:
    """A name outside the zone is asked of the node's name server, over the asker's transport."""
    async with name_server(says("192.0.2.7")) as port:
        resolver = Resolver(zone_with(), Upstream(lambda: ["127.0.0.1"], port=port))
        for tcp in (False, True):
            response = await asked(resolver, "example.org", tcp=tcp)
            assert answers(response) == {("example.org", "A", "192.0.2.7")}


async def test_an_alias_out_of_the_zone_is_followed() -> None:
    """Resolvers in pods do not follow a CNAME: the target's address comes with it; asked for the CNAME, it comes alone."""
    async with name_server(says("192.0.2.7")) as port:
        external = named("out", type="ExternalName", externalName="example.org")
        resolver = Resolver(zone_with(external), Upstream(lambda: ["127.0.0.1"], port=port))
        alias = ("out.default.svc.cluster.local", "CNAME", "example.org")
        assert answers(await asked(resolver, alias[0])) == {alias, ("example.org", "A", "192.0.2.7")}
        assert answers(await asked(resolver, alias[0], "CNAME")) == {alias}


async def test_an_alias_of_itself_ends() -> None:
    """A loop of ExternalName Services is followed a few times, not for ever."""
    own = "a.default.svc.cluster.local"
    resolver = Resolver(zone_with(named("a", type="ExternalName", externalName=own)), NOBODY)
    assert answers(await asked(resolver, own)) == {(own, "CNAME", own)}


async def test_a_silent_name_server_is_passed_over() -> None:
    """The first does not answer, the second does; where none does it is SERVFAIL, not silence."""
    async with name_server(lambda _query: None) as silent:
        alone = Resolver(zone_with(), Upstream(lambda: ["127.0.0.1"], port=silent, try_seconds=0.05))
        assert (await asked(alone, "example.org")).header.rcode == RCODE.SERVFAIL
    async with name_server(says("192.0.2.7")) as port:
        both = Resolver(zone_with(), Upstream(lambda: ["127.0.0.2", "127.0.0.1"], port=port, try_seconds=0.5))
        assert answers(await asked(both, "example.org")) == {("example.org", "A", "192.0.2.7")}


async def test_an_answer_to_another_question_is_not_taken() -> None:
    """An answer with another id is somebody else's (RFC 5452)."""

    def foreign(query: DNSRecord) -> bytes | None:
        query.header.id ^= 1
        return says("192.0.2.7")(query)

    async with name_server(foreign) as port:
        resolver = Resolver(zone_with(), Upstream(lambda: ["127.0.0.1"], port=port, try_seconds=0.05))
        for tcp in (False, True):
            assert (await asked(resolver, "example.org", tcp=tcp)).header.rcode == RCODE.SERVFAIL


async def test_a_response_fits_what_the_asker_can_take() -> None:
    """512 bytes without EDNS, at most 1232 with it, else cut with TC set; over TCP it is whole."""
    zone = zone_with(named("db", clusterIP="None"))
    labels = {"kubernetes.io/service-name": "db"}
    many = [Endpoint(addresses=[f"10.1.0.{number}"]) for number in range(1, 61)]
    metadata = ObjectMeta(name="db", namespace="default", labels=labels)
    zone.slice_changed(None, EndpointSlice(metadata=metadata, addressType="IPv4", endpoints=many))
    resolver, name = Resolver(zone, NOBODY), "db.default.svc.cluster.local"
    cut, roomy, whole = (
        await asked(resolver, name),
        await asked(resolver, name, edns=4096),
        await asked(resolver, name, tcp=True),
    )
    assert [(response.header.tc, len(response.rr)) for response in (cut, roomy, whole)] == [(1, 0), (0, 60), (0, 60)]


@pytest.mark.parametrize(
    "wire, rcode",
    [
        (b"", None),
        (b"\0" * 11, None),
        (b"ab\x80" + b"\0" * 9, None),
        (b"ab\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c", RCODE.FORMERR),
        (b"ab\x01\0\0\0\0\0\0\0\0\0", RCODE.FORMERR),
        (b"ab\x10\0\0\0\0\0\0\0\0\0", RCODE.NOTIMP),
    ],
)
async def test_what_is_no_query_harms_nobody(wire: bytes, rcode: int | None) -> None:
    """Responses and rubbish are not answered (two resolvers would play ping-pong), broken queries with their error."""
    response = await Resolver(zone_with(), NOBODY).respond(wire, tcp=False)
    assert (DNSRecord.parse(response).header.rcode if response else None) == rcode


@pytest.mark.parametrize("target", [f"{'x' * 64}.example", "a..example", ".".join(["x" * 60] * 5)])
async def test_a_name_that_no_response_can_hold(target: str, caplog: pytest.LogCaptureFixture) -> None:
    """An ExternalName is checked letter by letter, not for DNS's lengths: SERVFAIL for it, and the reason in the log, once."""
    resolver = Resolver(zone_with(named("a", type="ExternalName", externalName=target)), NOBODY)
    for _ in range(3):
        assert (await asked(resolver, "a.default.svc.cluster.local")).header.rcode == RCODE.SERVFAIL
    assert len(caplog.records) == 1


async def test_failures_are_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A pod that asks for what nobody answers does not fill the log; how often it was stands in the next line."""
    now = 100.0
    resolver = Resolver(zone_with(), NOBODY, clock=lambda: now)
    for _ in range(5):
        await asked(resolver, "example.org")
    now += 60
    await asked(resolver, "example.org")
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [1, 5]


async def test_another_class_is_refused() -> None:
    """CHAOS names of the zone are nobody's."""
    query = DNSRecord(q=DNSQuestion("cluster.local", QTYPE.A, CLASS.CH))
    response = await Resolver(zone_with(), NOBODY).respond(query.pack(), tcp=False)
    assert response is not None
    assert DNSRecord.parse(response).header.rcode == RCODE.REFUSED


async def test_before_all_names_are_known_none_is_denied() -> None:
    """At the start of an agent NXDOMAIN would be believed for a while: SERVFAIL makes who asks ask again."""
    known = False
    resolver = Resolver(zone_with(), NOBODY, lambda: known)
    name = "web.default.svc.cluster.local"
    assert (await asked(resolver, name)).header.rcode == RCODE.SERVFAIL
    known = True
    assert (await asked(resolver, name)).header.rcode == RCODE.NXDOMAIN
