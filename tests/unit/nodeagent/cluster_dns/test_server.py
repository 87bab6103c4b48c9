"""The sockets, on loopback."""

import asyncio
import ipaddress

import pytest
from dnslib import DNSRecord
from lightkube.models.core_v1 import Service, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.cluster_dns.resolver import Resolver
from nodeagent.cluster_dns.server import CONNECTIONS, QUERIES, DNSServer
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


class Hanging(asyncio.DatagramProtocol):
    """A name server that counts and says nothing."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.asked.put_nowait(data)


async def test_who_floods_starves_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all under way that one asker may have, his next question is not taken; another asker's is answered."""
    monkeypatch.setattr("nodeagent.cluster_dns.server.DRAIN_SECONDS", 0.0)
    loop = asyncio.get_running_loop()
    transport, upstream = await loop.create_datagram_endpoint(Hanging, local_addr=("127.0.0.1", 0))
    slow = Upstream(lambda: ["127.0.0.1"], port=transport.get_extra_info("sockname")[1], try_seconds=60)
    zone = Zone("cluster.local", lambda _namespace, _address: False)
    resolver = Resolver(zone, slow)
    async with DNSServer(resolver, "127.0.0.1", [ipaddress.ip_network("127.0.0.0/8")], port=0).running() as port:
        flood, _ = await loop.create_datagram_endpoint(Hanging, remote_addr=("127.0.0.1", port))
        for _ in range(QUERIES.of_one_at_once):
            flood.sendto(DNSRecord.question("example.org").pack())
        for _ in range(QUERIES.of_one_at_once):
            await upstream.asked.get()
        other, answers = await loop.create_datagram_endpoint(
            Hanging, local_addr=("127.0.0.2", 0), remote_addr=("127.0.0.1", port)
        )
        flood.sendto(DNSRecord.question("late.example.org").pack())
        other.sendto(DNSRecord.question("cluster.local", "SOA").pack())
        assert await answers.asked.get()
        other.sendto(DNSRecord.question("other.example.org").pack())
        assert b"other" in await upstream.asked.get()
        for each in (flood, other, transport):
            each.close()


async def test_idle_connections_of_one_asker_leave_room() -> None:
    """As many as one may have, saying nothing: his next one is closed, that of another is served."""
    async with server("127.0.0.0/8").running() as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS.of_one_at_once)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        other_reader, other = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        query = DNSRecord.question(NAME).pack()
        other.write(len(query).to_bytes(2) + query)
        assert await other_reader.readexactly(2)
        for _, each in (*idle, (reader, writer), (other_reader, other)):
            each.close()


async def test_connections_end_with_the_server() -> None:
    """Nobody who is idle keeps anything of an agent that stops."""
    async with server("127.0.0.0/8").running() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        query = DNSRecord.question(NAME).pack()
        writer.write(len(query).to_bytes(2) + query)
        assert await reader.readexactly(2)
    async with asyncio.timeout(20):
        await reader.read()
    writer.close()


async def test_the_address_may_come_later() -> None:
    """The bridge is made by the first pod; the resolver is there before."""
    async with server("127.0.0.0/8", address="192.0.2.99").running() as port:
        assert port
