"""log, exec, attach, port-forward through the server to a node's HTTPS endpoint.

The endpoint is a small one of the tests: it demands the server's client certificate, runs commands on this machine for exec
(WebSocket, v5), streams text for logs, and echoes raw bytes after an upgrade.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import WSMsgType, web
from components import cannot_be_tested
from kubectl_under_test import NO_120

from nodeagent.apiserver.pki import Pki

pytestmark = pytest.mark.node

DEADLINE_SECONDS = 60


class NodeEndpoint:
    """What the node hears, and what it answers."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.port = 0
        self.raw_port = 0
        self.more_log = asyncio.Event()

    async def log(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        if "missing" in request.path:
            return web.Response(status=400, text='container "missing" in pod "web" is not available')
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(b"first\n")
        if request.query.get("follow"):
            await self.more_log.wait()
            await response.write(b"second\n")
        await response.write_eof()
        return response

    async def exec(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=403, text="only WebSocket here")
        socket = web.WebSocketResponse(protocols=["v5.channel.k8s.io"], autoping=True)
        await socket.prepare(request)
        await socket.send_bytes(b"\x01")
        process = await asyncio.create_subprocess_exec(
            *request.query.getall("command"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._input(socket, process.stdin))
            outputs = [
                group.create_task(self._output(socket, channel, stream))
                for channel, stream in ((b"\x01", process.stdout), (b"\x02", process.stderr))
            ]
            await asyncio.gather(*outputs)
            code = await process.wait()
            await socket.send_bytes(b"\x03" + json.dumps(status_of(code)).encode())
            await socket.close(code=1000)
            reading.cancel()
        return socket

    async def _input(self, socket: web.WebSocketResponse, stdin: asyncio.StreamWriter | None) -> None:
        assert stdin is not None
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[:1] == b"\x00":
                stdin.write(message.data[1:])
                await stdin.drain()
            elif message.data == b"\xff\x00":
                stdin.close()

    async def _output(self, socket: web.WebSocketResponse, channel: bytes, stream: Any) -> None:
        while data := await stream.read(32768):
            await socket.send_bytes(channel + data)

    async def raw(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers an upgrade and then echoes in capitals until the client ends."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heard.append(head)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n")
        writer.write(b"X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\nhello:")
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()
        writer.close()

    async def stats(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.json_response({"path": request.path, "query": dict(request.query)})

    async def elsewhere(self, request: web.Request) -> web.Response:
        """A node that was taken over sends the server, with its certificate, to another place."""
        self._note(request)
        return web.Response(status=307, headers={"Location": f"https://127.0.0.1:{self.port}/stats/elsewhere"})

    def _note(self, request: web.Request) -> None:
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        subject = dict(pair for relative in tls.getpeercert()["subject"] for pair in relative) if tls else {}
        self.heard.append(f"{request.method} {request.path_qs} as {subject.get('commonName')}")


def status_of(code: int) -> dict[str, Any]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


@pytest.fixture
async def node(server: Any, tmp_path: Path) -> AsyncIterator[NodeEndpoint]:
    """The endpoint, a Node object n1 that points to it, and the pods `web` (on it) and `lost` (on none)."""
    endpoint = NodeEndpoint()
    app = web.Application()
    app.router.add_get("/containerLogs/{tail:.*}", endpoint.log)
    app.router.add_route("*", "/exec/{tail:.*}", endpoint.exec)
    app.router.add_get("/stats/{tail:.*}", endpoint.stats)
    app.router.add_route("*", "/attach/{tail:.*}", endpoint.elsewhere)
    app.router.add_get("/metrics", endpoint.elsewhere)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = Pki(tmp_path / "nodepki", "n1", ())
    tls.load_cert_chain(own.server.certificate, own.server.key)
    tls.load_verify_locations(server.state_dir / "pki" / "ca.crt")
    tls.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    endpoint.port = runner.addresses[0][1]
    raw = await asyncio.start_server(endpoint.raw, "127.0.0.1", 0, ssl=tls)
    endpoint.raw_port = raw.sockets[0].getsockname()[1]
    await asyncio.to_thread(point_to, server, endpoint.port)
    yield endpoint
    raw.close()
    await runner.cleanup()
    await asyncio.to_thread(clean, server)


def point_to(server: Any, port: int) -> None:
    status = {
        "addresses": [{"type": "Hostname", "address": "no.such.host"}, {"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    server.request("DELETE", "/api/v1/nodes/n1")
    assert server.request("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}, "status": status})[0] == 201
    for name, spec in (("web", {"nodeName": "n1"}), ("lost", {"schedulerName": "nobody"})):
        containers = [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:1"}]
        pod = {
            "metadata": {"name": name},
            "spec": {**spec, "containers": containers if name == "web" else containers[:1]},
        }
        assert server.request("POST", "/api/v1/namespaces/default/pods", pod)[0] in (201, 409)
    running = {"status": {"phase": "Running"}}
    merge = {"Content-Type": "application/merge-patch+json"}
    path = "/api/v1/namespaces/default/pods/web/status"
    assert server.request("PATCH", path, running, headers=merge)[0] == 200


def clean(server: Any) -> None:
    for name in ("web", "lost"):
        server.request("DELETE", f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0")


async def kubectl(server: Any, program: str, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(server.state_dir)},
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out, err


@pytest.mark.parametrize("version", ["old", "new"])
async def test_logs(server: Any, node: NodeEndpoint, kubectls: dict[str, str], version: str) -> None:
    """kubectl logs: the node is asked in its own words, by the server's own identity."""
    program = kubectls[version]
    options = ("--tail=5", "--timestamps", "--previous", "--since=10s", "--limit-bytes=99")
    code, out, err = await kubectl(server, program, "logs", "web", "-c", "a", *options)
    assert (code, out) == (0, b"first\n"), err
    (heard,) = node.heard
    url, identity = heard.removeprefix("GET ").rsplit(" as ")
    assert identity == "kube-apiserver-kubelet-client"
    assert urlsplit(url).path == "/containerLogs/default/web/a"
    assert {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()} == {
        "tailLines": "5",
        "timestamps": "true",
        "previous": "true",
        "sinceSeconds": "10",
        "limitBytes": "99",
    }


async def test_follow(server: Any, node: NodeEndpoint, kubectls: dict[str, str]) -> None:
    """A followed log arrives as it is written, not when it ends."""
    process = await asyncio.create_subprocess_exec(
        kubectls["new"],
        *("logs", "-f", "web", "-c", "a"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(server.kubeconfig)},
    )
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await process.stdout.readline() == b"first\n"
        node.more_log.set()
        assert await process.stdout.readline() == b"second\n"
        assert await process.wait() == 0


async def test_log_refusals(server: Any, node: NodeEndpoint, kubectls: dict[str, str]) -> None:
    """What cannot be had is refused with the words that kubectl's users know."""

    async def get(path: str) -> tuple[int, Any]:
        return await asyncio.to_thread(server.request, "GET", f"/api/v1/namespaces/default/pods/{path}")

    assert (await get("lost/log"))[0] == 204
    status, body = await get("web/log")
    assert (status, body["message"]) == (
        400,
        "a container name must be specified for pod web, choose one of: [a b]",
    )
    status, body = await get("web/log?container=x")
    assert (status, body["message"]) == (400, "container x is not valid for pod web")
    status, body = await get("web/log?container=a&tailLines=-1")
    assert (status, body["reason"]) == (422, "Invalid")
    assert 'PodLogOptions "web" is invalid: tailLines: Invalid value: -1' in body["message"]
    assert (await get("none/log"))[0] == 404
    status, body = await get("lost/exec?command=x")
    assert (status, body["message"]) == (400, "pod lost does not have a host assigned")
    status, body = await get("web/exec?command=x&container=a")
    assert (status, body["message"]) == (400, "Upgrade request required")


async def test_exec(server: Any, node: NodeEndpoint, kubectls: dict[str, str]) -> None:
    """kubectl exec over WebSocket: arguments in order, output on its streams, input to its end, the exit code."""
    program = kubectls["new"]
    script = "cat; echo oops >&2; exit 7"
    code, out, err = await kubectl(
        server, program, "exec", "-i", "web", "-c", "a", "--", "sh", "-c", script, stdin=b"some input"
    )
    assert (code, out, err.splitlines()[0]) == (7, b"some input", b"oops")
    (heard,) = node.heard
    url = urlsplit(heard.split()[1])
    assert (url.path, parse_qs(url.query)["command"]) == ("/exec/default/web/a", ["sh", "-c", script])
    assert set(parse_qs(url.query)) == {"command", "input", "output", "error"}


async def test_much_data(server: Any, node: NodeEndpoint, kubectls: dict[str, str]) -> None:
    """Megabytes go both ways without loss."""
    sent = os.urandom(1 << 20) * 8
    code, out, err = await kubectl(server, kubectls["new"], "exec", "-i", "web", "-c", "b", "--", "cat", stdin=sent)
    assert (code, len(out), out == sent) == (0, len(sent), True), err


async def test_refused_upgrade(server: Any, node: NodeEndpoint, kubectls: dict[str, str]) -> None:
    """What the node says instead of an upgrade reaches the user."""
    old = kubectls.get("old")
    if old is None:
        cannot_be_tested(NO_120)
    code, _, err = await kubectl(server, old, "exec", "web", "-c", "a", "--", "true")
    assert (code, b"only WebSocket here" in err) == (1, True)
    assert node.heard[0].startswith("POST /exec/default/web/a?")


async def test_raw_upgrade(server: Any, node: NodeEndpoint) -> None:
    """A SPDY upgrade is passed on byte for byte: the head with its own headers, then whatever either side sends."""
    await asyncio.to_thread(point_to, server, node.raw_port)
    url = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=server.tls())
    writer.write(
        b"POST /api/v1/namespaces/default/pods/web/portforward HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        b"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\nAuthorization: Basic c2VjcmV0\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"X-Stream-Protocol-Version: portforward.k8s.io\r\n" in head
        assert await reader.readexactly(6) == b"hello:"
        block = bytes(range(97, 123)) * 10_000
        writer.write(block)
        assert await reader.readexactly(len(block)) == block.upper()
        writer.write(b"\x00\xffend")
        assert await reader.readexactly(5) == b"\x00\xffEND"
        writer.close()
    (heard,) = node.heard
    assert heard.startswith("POST /portForward/default/web HTTP/1.1\r\n")
    assert "X-Stream-Protocol-Version: portforward.k8s.io\r\n" in heard
    assert "c2VjcmV0" not in heard


async def test_node_proxy(server: Any, node: NodeEndpoint) -> None:
    """nodes/NAME/proxy passes path and query to the node, whatever it is that the client accepts."""
    for accept in ("application/json", "text/plain"):
        status, body = await asyncio.to_thread(
            server.request,
            "GET",
            "/api/v1/nodes/n1/proxy/stats/summary?only_cpu_and_memory=true",
            headers={"Accept": accept},
        )
        assert (status, body) == (200, {"path": "/stats/summary", "query": {"only_cpu_and_memory": "true"}})


async def test_a_node_that_sends_the_server_elsewhere(server: Any, node: NodeEndpoint) -> None:
    """No redirect of a node is followed, by a plain request or an upgrade, so that none gets others' commands run
    (CVE-2020-8559)."""
    url = urlsplit(server.url)
    for path in ("/api/v1/nodes/n1/proxy/metrics", "/api/v1/namespaces/default/pods/web/attach?container=a&stdout=1"):
        reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=server.tls())
        upgrade = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" if "attach" in path else "Connection: close\r\n"
        method = "POST" if "attach" in path else "GET"
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{upgrade}Content-Length: 0\r\n\r\n".encode())
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert b" 200 " not in head.splitlines()[0]
    assert [line.split()[1].partition("?")[0] for line in node.heard] == ["/metrics", "/attach/default/web/a"]


async def test_unreachable_node(server: Any, node: NodeEndpoint) -> None:
    """A node that does not answer is a 500 that says what happened."""
    await asyncio.to_thread(point_to, server, 1)
    status, body = await asyncio.to_thread(server.request, "GET", "/api/v1/namespaces/default/pods/web/log?container=a")
    assert (status, body["reason"]) == (500, "InternalError")
    assert body["message"].startswith("Internal error occurred: error dialing backend: dial tcp 127.0.0.1:1: ")
