"""The sockets, on loopback."""

import asyncio
import ipaddress

from dnslib import DNSRecord
from lightkube.models.core_v1 import Service, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.cluster_dns.resolver import Resolver
from nodeagent.cluster_dns.server import DNSServer
from nodeagent.cluster_dns.upstream import NoAnswer, Upstream
from nodeagent.cluster_dns.zone import Zone

NAME = "web.default.svc.cluster.local"


def server(*networks: str, address: str = "127.0.0.1") -> DNSServer:
    zone = Zone("cluster.local", lambda _namespace, _address: False)
    web = Service(metadata=ObjectMeta(name="web", namespace="default"), spec=ServiceSpec(clusterIP="10.2.0.1"))
    zone.service_changed(None, web)
    return DNSServer(
        Resolver(zone, Upstream(lambda: ())), address, [ipaddress.ip_network(item) for item in networks], port=0
    )


async def ask(port: int, *, tcp: bool) -> str:
    wire = await Upstream(lambda: ["127.0.0.1"], port=port, try_seconds=1).ask(DNSRecord.question(NAME).pack(), tcp=tcp)
    return str(DNSRecord.parse(wire).rr[0].rdata)


async def test_both_transports_answer_at_one_port() -> None:
    """What was cut over UDP is asked for again over TCP, at the same port."""
    async with server("127.0.0.0/8").running() as port:
        assert [await ask(port, tcp=tcp) for tcp in (False, True)] == ["10.2.0.1"] * 2


async def test_several_questions_share_a_connection() -> None:
    """RFC 7766: a connection lives until its asker is done."""
    async with server("127.0.0.0/8").running() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        query = DNSRecord.question(NAME).pack()
        for _ in range(3):
            writer.write(len(query).to_bytes(2) + query)
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            assert str(DNSRecord.parse(wire).rr[0].rdata) == "10.2.0.1"
        writer.close()


async def test_strangers_are_not_served() -> None:
    """Who is in none of the networks gets nothing, over neither transport: nobody borrows this resolver for an attack."""
    async with server("10.0.0.0/8").running() as port:
        for tcp in (False, True):
            try:
                await Upstream(lambda: ["127.0.0.1"], port=port, try_seconds=0.1).ask(
                    DNSRecord.question(NAME).pack(), tcp=tcp
                )
            except NoAnswer:
                continue
            raise AssertionError("a stranger was answered")


async def test_the_address_may_come_later() -> None:
    """The bridge is made by the first pod; the resolver is there before."""
    async with server("127.0.0.0/8", address="192.0.2.99").running() as port:
        assert port
