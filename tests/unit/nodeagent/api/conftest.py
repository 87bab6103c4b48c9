"""A tiny API server whose answers a test writes down in order, and which can misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nodeagent.api.client import ApiClient
from nodeagent.api.kubeconfig import Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """One request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Script:
    """Answers requests from `answers`, in order; watches from `watches`. Without one left it hangs until the end."""

    url: str = ""
    answers: list[Handler] = field(default_factory=list)
    watches: list[Handler] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def connection(self, **fields: Any) -> Connection:
        return Connection(server=self.url, **fields)

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(request.method, request.path) for request in self.seen]

    async def asked(self, number: int) -> None:
        """Wait for request number `number` (from 1)."""
        while len(self.seen) < number:
            self.arrived.clear()
            await self.arrived.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                json.loads(body) if body else None,
            )
        )
        self.arrived.set()
        queue = self.watches if "watch" in request.query else self.answers
        if not queue:
            await self.release.wait()
            return web.Response(status=503)
        return await queue.pop(0)(request)

    def answer(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answers.append(answering(body, status, headers))

    def watch(self, *events: Any, end: str = "clean", status: int = 200) -> None:
        """One watch: these events, then "clean" (EOF), "drop" (cut) or "stay" (open until the end)."""
        self.watches.append(watching(self, events, end) if status == 200 else answering(events[0], status))


def answering(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=data, headers=headers)

    return handler


def dropping() -> Handler:
    """Closes the connection without an answer."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    return handler


def watching(script: Script, events: tuple[Any, ...], end: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for event in events:
            await response.write(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n")
        if end == "stay":
            await script.release.wait()
        elif end == "drop":
            assert request.transport is not None
            request.transport.close()
        return response

    return handler


def config_map(name: str, version: int, namespace: str = "ns", **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version), "uid": f"uid-{name}"},
        **fields,
    }


def event(type: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {"type": type, "object": obj}


def bookmark(version: int, end: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event("BOOKMARK", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})


def listing(version: int, *items: dict[str, Any], kind: str = "ConfigMap", **metadata: Any) -> dict[str, Any]:
    return {
        "kind": f"{kind}List",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": str(version), **metadata},
        "items": list(items),
    }


def failure(code: int, reason: str, message: str = "no", **details: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }


class Naps:
    """Takes the place of asyncio.sleep: returns at once and remembers what was asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def make() -> SimpleNamespace:
    """The builders of this file, for tests (a conftest cannot be imported)."""
    return SimpleNamespace(
        answering=answering,
        bookmark=bookmark,
        config_map=config_map,
        dropping=dropping,
        event=event,
        failure=failure,
        listing=listing,
    )


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    script = Script()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    server = TestServer(app)
    await server.start_server()
    script.url = str(server.make_url("")).rstrip("/")
    yield script
    script.release.set()
    await server.close()


@pytest.fixture
async def client(script: Script, naps: Naps) -> AsyncIterator[ApiClient]:
    async with ApiClient(script.connection(), sleep=naps, timeout_seconds=5.0) as client:
        yield client
