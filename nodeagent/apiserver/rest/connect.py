"""Subresources that lead to the node: log, exec, attach, portforward, and the node's own proxy."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web

from nodeagent.apiserver.auth import impersonation
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.log_options import log_error, log_query
from nodeagent.apiserver.rest.node_client import HEAD_SECONDS, Endpoint, NodeClient, unreachable
from nodeagent.apiserver.rest.raw import (
    ERROR_BODY_LIMIT_BYTES,
    Head,
    carry,
    read_error_body,
    read_head,
    request_head,
)
from nodeagent.apiserver.rest.request import Request, respond
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key
from runtimes.kube.json_object import JsonObject

_TRUE = frozenset({"true", "1"})
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
# not the client's credentials; and what belongs to the connection from the client only
_DROPPED = frozenset({"authorization", "host", "cookie"})
_ACTING_AS = impersonation.PREFIX
# what a reader needs to make anything of the answer's body
_OF_BODY = (
    "Content-Type",
    "Content-Encoding",
    "Content-Range",
    "Accept-Ranges",
    "Last-Modified",
    "Allow",
    "Retry-After",
)
_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})


class Connections:
    """Each method answers the request itself. All raise `ApiError`."""

    def __init__(self, store: Store, nodes: NodeClient) -> None:
        self._store = store
        self._nodes = nodes

    async def handle(self, request: Request) -> web.StreamResponse:
        match request.target.subresource:
            case "log":
                return await self.log(request)
            case "exec" | "attach":
                return await self.streams(request)
            case "portforward":
                return await self.port_forward(request)
            case "proxy":
                return await self.node_proxy(request)
        raise ApiError.no_such_resource()

    async def log(self, request: Request) -> web.StreamResponse:
        """GET pods/NAME/log: the node's stream, as plain text."""
        pod = self._pod(request)
        query = log_query(request)
        container = _container(pod, request.last("container"))
        node = pod["spec"].get("nodeName")
        if not node:
            return respond(204, b"", "text/plain")
        path = f"/containerLogs/{_segments(pod)}/{quote(container, safe='')}"
        return await self._relay(request, self._nodes.endpoint(node), _with_query(path, query), log=True)

    async def streams(self, request: Request) -> web.StreamResponse:
        """exec and attach: WebSocket or SPDY, passed to the node as they came."""
        pod = self._pod(request)
        container = _container(pod, request.last("container"))
        query = [(name, "1") for asked, name in _STREAMS.items() if request.last(asked) in _TRUE]
        sub = request.target.subresource
        if sub == "exec":
            query += [("command", part) for part in request.query.get("command", ())]
        path = f"/{sub}/{_segments(pod)}/{quote(container, safe='')}"
        return await self._upgrade(request, self._endpoint_of(pod), _with_query(path, query))

    async def port_forward(self, request: Request) -> web.StreamResponse:
        pod = self._pod(request)
        query = [("port", port) for port in request.query.get("port", ())]
        path = _with_query(f"/portForward/{_segments(pod)}", query)
        return await self._upgrade(request, self._endpoint_of(pod), path)

    async def node_proxy(self, request: Request) -> web.StreamResponse:
        """nodes/NAME/proxy/PATH. NAME may carry a port: `NODE:PORT` or `https:NODE:PORT`."""
        name, _, port = request.target.name.removeprefix("https:").partition(":")
        endpoint = self._nodes.endpoint(name)
        if port.isdecimal() and len(port) <= 5:
            endpoint = Endpoint(endpoint.host, int(port))
        path = quote(request.target.rest or "/", safe="/:@!$&'()*+,;=~-._")
        query = request.http.rel_url.raw_query_string
        path += f"?{query}" if query else ""
        if "upgrade" in request.http.headers.get("Connection", "").lower():
            return await self._upgrade(request, endpoint, path)
        return await self._relay(request, endpoint, path, log=False)

    def _pod(self, request: Request) -> JsonObject:
        stored = self._store.get("pods", Key(request.namespace, request.target.name))
        if stored is None:
            raise ApiError.not_found("pods", request.target.name)
        return stored.decode()

    def _endpoint_of(self, pod: JsonObject) -> Endpoint:
        node = pod["spec"].get("nodeName")
        if not node:
            raise ApiError.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
        return self._nodes.endpoint(node)

    async def _upgrade(self, request: Request, endpoint: Endpoint, path: str) -> web.StreamResponse:
        http = request.http
        if "upgrade" not in http.headers.get("Connection", "").lower():
            raise ApiError.bad_request("Upgrade request required")
        reader, writer = await self._nodes.connect(endpoint)
        try:
            headers = [("Host", endpoint.authority), *_kept(http, _DROPPED)]
            head = await self._exchange(endpoint, reader, writer, request_head(http.method, path, headers))
            if head.status == 101:
                return await carry(http, reader, writer, head.raw)
            return _refusal(head, await read_error_body(reader, head))
        finally:
            writer.close()

    async def _exchange(
        self, endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
    ) -> Head:
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                writer.write(data)
                await writer.drain()
                return await read_head(reader)
        except (OSError, TimeoutError) as error:
            raise unreachable(endpoint, error) from error

    async def _relay(self, request: Request, endpoint: Endpoint, path: str, *, log: bool) -> web.StreamResponse:
        """An ordinary request, its answer passed on as it arrives. `log`: refusals become Status objects."""
        http = request.http
        body = None if log else await request.bytes()
        headers = [] if log else _kept(http, _DROPPED | _HOP | {"content-length"})
        method = "GET" if log else http.method
        try:
            answer = await self._nodes.request(method, endpoint, path, headers, body)
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            raise unreachable(endpoint, error) from error
        async with answer:
            if log and answer.status != 200:
                raise log_error(answer.status, await answer.content.read(ERROR_BODY_LIMIT_BYTES))
            passed = {} if log else {name: answer.headers[name] for name in _OF_BODY if name in answer.headers}
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": "text/plain", **passed})
            response.enable_chunked_encoding()
            await response.prepare(http)
            # either side may go away in the middle of a log: the other then sees the end
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response


def _refusal(head: Head, body: bytes) -> web.Response:
    """What the node said instead of 101, for kubectl to show."""
    media = head.headers.get("content-type", "text/plain")
    response = respond(head.status if head.status >= 400 else 500, body, media)
    if accepted := head.headers.get("x-accepted-stream-protocol-versions"):
        response.headers["X-Accepted-Stream-Protocol-Versions"] = accepted
    return response


def _kept(http: web.BaseRequest, dropped: Iterable[str]) -> list[tuple[str, str]]:
    headers = ((name, value, name.lower()) for name, value in http.headers.items())
    return [
        (name, value) for name, value, lower in headers if lower not in dropped and not lower.startswith(_ACTING_AS)
    ]


def _segments(pod: JsonObject) -> str:
    meta = pod["metadata"]
    return f"{quote(meta['namespace'], safe='')}/{quote(meta['name'], safe='')}"


def _with_query(path: str, query: Sequence[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _container(pod: JsonObject, asked: str) -> str:
    """The container meant. Raises `ApiError` 400."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    regular, init, ephemeral = (
        [c["name"] for c in spec.get(kind) or ()] for kind in ("containers", "initContainers", "ephemeralContainers")
    )
    if asked:
        if asked in (*regular, *init, *ephemeral):
            return asked
        raise ApiError.bad_request(f"container {asked} is not valid for pod {name}")
    if len(regular) == 1:
        return str(regular[0])
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(regular)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    if ephemeral:
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise ApiError.bad_request(text)
