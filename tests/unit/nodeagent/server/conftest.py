"""A real endpoint over real sockets and TLS, with a scripted runtime behind it; and the clients of the tests."""

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import uvloop
from agent_pods import agent_pod
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nodeagent.pods.manager import PodOnNode
from nodeagent.pods.rules.model import PodStage
from nodeagent.podspec.pod import AgentPod
from nodeagent.server.auth import Guard
from nodeagent.server.server import NodeServer, ServerSettings
from proto import cri_pb2 as cri
from runtimes.errors import NotFound, Unavailable
from runtimes.kube.spdy.headers import DICTIONARY

DEADLINE_SECONDS = 60.0


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """The agent runs on uvloop, whose transports are not asyncio's own: both must carry a connection that is taken over."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


# -- certificates ------------------------------------------------------------------------------------------------------


class Authority:
    """A CA of the test's own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.folder = folder
        self.certificate = self._sign(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None), None)
        self.file = folder / f"{name}.crt"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, file: str, common_name: str, groups: tuple[str, ...] = (), usage: Any = ExtendedKeyUsageOID.CLIENT_AUTH
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        parts += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        certificate = self._sign(x509.Name(parts), key, x509.BasicConstraints(ca=False, path_length=None), usage)
        paths = self.folder / f"{file}.crt", self.folder / f"{file}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths

    def _sign(self, subject: x509.Name, key: Any, constraints: x509.BasicConstraints, usage: Any) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(constraints, critical=True)
            # Python 3.13's clients ask for these
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(_key_usage(authority=constraints.ca), critical=True)
        )
        if usage is not None:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    others = (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=authority, crl_sign=authority, **dict.fromkeys(others, False)
    )


# -- a runtime that does what the test says ----------------------------------------------------------------------------


class ScriptedSession:
    """A process: `script(session)` is an async generator of (stream, data) that may read `stdin` and set `code`."""

    def __init__(self, script: Callable[["ScriptedSession"], AsyncIterator[tuple[int, bytes]]]) -> None:
        self._script = script
        self.stdin: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=4)
        self.sizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        self.code = 0
        self.fault: Exception | None = None
        self.closed = asyncio.Event()
        self.produced = 0

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        async for stream, data in self._script(self):
            self.produced += len(data)
            yield stream, data

    async def write_stdin(self, data: bytes) -> None:
        await self.stdin.put(data)

    async def close_stdin(self) -> None:
        await self.stdin.put(None)

    async def resize(self, width: int, height: int) -> None:
        self.sizes.put_nowait((width, height))

    async def wait(self) -> int:
        if self.fault is not None:
            raise self.fault
        return self.code

    async def close(self) -> None:
        self.closed.set()


class PipePort:
    """A connection to a pod's port: what is written comes back, as from an echo server.

    `stubborn`: a server that goes on when its client has said its last. `hangs_up`: one that ends before anybody has spoken.
    """

    def __init__(self, *, stubborn: bool = False, hangs_up: bool = False) -> None:
        self._stubborn = stubborn
        self._hangs_up = hangs_up
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=4)
        self._ended = False
        self.closed = asyncio.Event()

    async def read(self, max_bytes: int) -> bytes:
        return b"" if self._hangs_up or (self._ended and self._queue.empty()) else await self._queue.get()

    async def write(self, data: bytes) -> None:
        await self._queue.put(data)

    async def write_eof(self) -> None:
        if self._stubborn:
            return
        await self._queue.put(b"")
        self._ended = True

    async def close(self) -> None:
        self.closed.set()


@dataclass
class FakeRuntime:
    """RuntimeService and LocalStreaming, as far as the endpoint asks."""

    script: Callable[[ScriptedSession], AsyncIterator[tuple[int, bytes]]] | None = None
    requests: list[Any] = field(default_factory=list)
    sessions: list[ScriptedSession] = field(default_factory=list)
    ports: list[PipePort] = field(default_factory=list)
    statuses: dict[str, cri.ContainerStatus] = field(default_factory=dict)
    url: str = ""
    fault: Exception | None = None

    async def open_exec(self, request: cri.ExecRequest) -> ScriptedSession:
        self.requests.append(request)
        if self.fault is not None:
            raise self.fault
        assert self.script is not None
        session = ScriptedSession(self.script)
        self.sessions.append(session)
        return session

    async def open_attach(self, request: cri.AttachRequest) -> ScriptedSession:
        return await self.open_exec(request)

    async def open_port(self, pod_sandbox_id: str, port: int) -> PipePort:
        self.requests.append((pod_sandbox_id, port))
        if port == 1:
            raise Unavailable("dial tcp 127.0.0.1:1: connection refused")
        connection = PipePort(stubborn=port == 2, hangs_up=port == 3)
        self.ports.append(connection)
        return connection

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        assert dict(request.filter.label_selector) == {"io.kubernetes.pod.uid": "uid-1"}
        return cri.ListPodSandboxResponse(
            items=[cri.PodSandbox(id="old", created_at=1), cri.PodSandbox(id="sandbox", created_at=2)]
        )

    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        labels = {
            "io.kubernetes.pod.name": "web",
            "io.kubernetes.pod.namespace": "default",
            "io.kubernetes.pod.uid": "uid-1",
            "io.kubernetes.container.name": "main",
        }
        item = cri.Container(id="c1", labels=labels, image=cri.ImageSpec(image="img"))
        return cri.ListContainersResponse(containers=[item])

    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
        if request.container_id not in self.statuses:
            raise NotFound(f"container {request.container_id} not found")
        return cri.ContainerStatusResponse(status=self.statuses[request.container_id])

    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        self.requests.append(request)
        code = 3 if "fail" in request.cmd else 0
        return cri.ExecSyncResponse(stdout=b"out\n", stderr=b"err\n", exit_code=code)

    async def exec(self, request: cri.ExecRequest) -> cri.ExecResponse:
        return cri.ExecResponse(url=self.url)


class FakePods:
    """One pod, `default/web`, with a running container `main`."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime = SimpleNamespace(
            handler="fake", service=runtime, streaming=runtime, cri_handler="fake", display_name="fake"
        )
        self.document: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default", "uid": "uid-1"},
            "spec": {"containers": [{"name": "main", "image": "img"}, {"name": "idle", "image": "img"}]},
            "status": {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "name": "main",
                        "image": "img",
                        "imageID": "",
                        "ready": True,
                        "restartCount": 0,
                        "containerID": "fake://c1",
                        "state": {"running": {}},
                    }
                ],
            },
        }

    @property
    def one(self) -> PodOnNode:
        pod = agent_pod(self.document)
        return PodOnNode(pod=pod, status=pod.status, stage=PodStage.SYNC)

    def pods(self) -> list[PodOnNode]:
        return [self.one]

    def find(self, namespace: str, name: str, uid: str = "") -> PodOnNode | None:
        return self.one if (namespace, name) == ("default", "web") and uid in ("", "uid-1") else None

    def runtime_of(self, pod: AgentPod) -> Any:
        return self.runtime


# -- the endpoint ------------------------------------------------------------------------------------------------------


@dataclass
class Endpoint:
    """A running server and what a client needs to reach it."""

    server: NodeServer
    pods: FakePods
    runtime: FakeRuntime
    authority: Authority
    serving: Authority
    client_pair: tuple[Path, Path]
    healthy: bool = True

    @property
    def port(self) -> int:
        return self.server.addresses[0][1]

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.server.addresses[1][1]}"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def tls(self, pair: tuple[Path, Path] | str | None = "own") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.serving.file)
        chosen = self.client_pair if pair == "own" else pair
        if chosen is not None:
            context.load_cert_chain(*chosen)
        return context

    @contextlib.asynccontextmanager
    async def http(self, pair: tuple[Path, Path] | str | None = "own") -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(ssl=self.tls(pair), force_close=True)
        async with aiohttp.ClientSession(self.url, connector=connector) as session:
            yield session

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        async with self.http() as http, http.request(options.pop("method", "GET"), path, **options) as answer:
            return answer.status, await answer.text()


MakeEndpoint = Callable[..., Any]


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pki")
    clients, serving = Authority("clients", folder), Authority("serving", folder)
    return {
        "clients": clients,
        "serving": serving,
        "pair": clients.issue("admin", "admin", ("system:masters", "devs")),
        "server": serving.issue("server", "node", usage=ExtendedKeyUsageOID.SERVER_AUTH),
    }


@pytest.fixture
async def make_endpoint(authorities: dict[str, Any]) -> AsyncIterator[MakeEndpoint]:
    """Starts endpoints; whatever they leave running fails the test."""
    made: list[Endpoint] = []
    before = asyncio.all_tasks()

    async def make(
        *,
        reviews: Any = None,
        guard: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> Endpoint:
        runtime = FakeRuntime()
        pods = FakePods(runtime)
        chosen: dict[str, Any] = {
            "address": "127.0.0.1",
            "port": 0,
            "certificate": authorities["server"][0],
            "key": authorities["server"][1],
            "client_ca": authorities["clients"].file,
            "health_port": 0,
            **(settings or {}),
        }
        access = {"always_allow": reviews is None, **(guard or {})}
        server = NodeServer(
            ServerSettings(**chosen),
            pods,
            Guard(reviews, node_name="node-1", **access),
            healthy=lambda: made[0].healthy,
            **options,
        )
        endpoint = Endpoint(
            server=server,
            pods=pods,
            runtime=runtime,
            authority=authorities["clients"],
            serving=authorities["serving"],
            client_pair=authorities["pair"],
        )
        made.append(endpoint)
        await server.start()
        return endpoint

    yield make
    for endpoint in made:
        await endpoint.server.stop()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=5)


@pytest.fixture
async def endpoint(make_endpoint: MakeEndpoint) -> Endpoint:
    made: Endpoint = await make_endpoint()
    return made


# -- a SPDY client, written from the frame layouts alone -----------------------------------------------------------------


class SPDYPeer:
    """The client's side of a SPDY connection over anything that reads and writes bytes."""

    def __init__(self, read: Callable[[int], Any], write: Callable[[bytes], Any]) -> None:
        self._read, self._write = read, write
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, 15, 9, 0, zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(15, zdict=DICTIONARY)
        self._next_id = 1
        self.replied: set[int] = set()
        self.reset: dict[int, int] = {}
        self.finished: set[int] = set()
        self.received: dict[int, bytearray] = {}
        self.pings: list[int] = []
        self.gone = False

    async def _control(self, kind: int, payload: bytes, flags: int = 0) -> None:
        await self._write(struct.pack("!HHI", 0x8003, kind, flags << 24 | len(payload)) + payload)

    async def open(self, *, reply: bool = True, **headers: str) -> int:
        stream, self._next_id = self._next_id, self._next_id + 2
        plain = struct.pack("!I", len(headers))
        for name, value in headers.items():
            plain += struct.pack("!I", len(name)) + name.encode() + struct.pack("!I", len(value)) + value.encode()
        block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._control(1, struct.pack("!IIBB", stream, 0, 0, 0) + block)
        self.received[stream] = bytearray()
        if reply:
            await self.until(lambda: stream in self.replied)
        return stream

    async def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        await self._write(struct.pack("!II", stream, (1 if fin else 0) << 24 | len(data)) + data)

    async def ping(self, number: int) -> None:
        await self._control(6, struct.pack("!I", number))

    async def reset_stream(self, stream: int) -> None:
        await self._control(3, struct.pack("!II", stream, 5))

    async def step(self) -> None:
        """Take one frame."""
        head = await self._read(8)
        if head is None:
            self.gone = True
            return
        first, second = struct.unpack("!II", head)
        flags, length = second >> 24, second & 0xFFFFFF
        payload = await self._read(length) if length else b""
        assert payload is not None, "cut inside a frame"
        if not first >> 31:
            self.received[first] += payload
            if flags & 1:
                self.finished.add(first)
            return
        kind = first & 0xFFFF
        number = struct.unpack("!I", payload[:4])[0]
        if kind == 2:
            assert self._inflate.decompress(payload[4:]) == b"\0\0\0\0"
            self.replied.add(number)
        elif kind == 3:
            self.reset[number] = struct.unpack("!I", payload[4:])[0]
        elif kind == 6:
            self.pings.append(number)
        elif kind == 7:
            self.gone = True

    async def until(self, happened: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not happened():
                assert not self.gone, "the server ended the connection"
                await self.step()

    async def until_gone(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not self.gone:
                await self.step()


@contextlib.asynccontextmanager
async def _spdy(endpoint: Endpoint, path: str, *protocols: str) -> AsyncIterator[tuple[SPDYPeer, str]]:
    """Upgrade a POST; yields the peer and the protocol that the server chose. An HTTP refusal is an AssertionError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=endpoint.tls())
    try:
        lines = [f"POST {path} HTTP/1.1", "Host: node", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
        lines += [f"X-Stream-Protocol-Version: {name}" for name in protocols]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 101 "), head + (await reader.read(2000)).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        assert (headers["Connection"], headers["Upgrade"]) == ("Upgrade", "SPDY/3.1")

        async def read(count: int) -> bytes | None:
            try:
                return await reader.readexactly(count)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        yield SPDYPeer(read, write), headers["X-Stream-Protocol-Version"]
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _tunnel(socket: aiohttp.ClientWebSocketResponse) -> SPDYPeer:
    """SPDY inside a WebSocket."""
    rest = bytearray()

    async def read(count: int) -> bytes | None:
        while len(rest) < count:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return None
            rest.extend(message.data)
        found = bytes(rest[:count])
        del rest[:count]
        return found

    async def write(data: bytes) -> None:
        middle = len(data) // 2  # boundaries mean nothing
        await socket.send_bytes(data[:middle])
        await socket.send_bytes(data[middle:])

    return SPDYPeer(read, write)


@pytest.fixture
def spdy() -> Any:
    """`async with spdy(endpoint, path, *protocols) as (peer, chosen)`."""
    return _spdy


@pytest.fixture
def tunnel() -> Any:
    """`tunnel(websocket)` is a SPDY peer inside it."""
    return _tunnel
