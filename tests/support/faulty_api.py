"""A proxy in front of the embedded API that answers as real API servers, and what stands before them, do on bad days.

    with FaultyAPI(upstream_kubeconfig, folder) as api:      # api.kubeconfig reaches the API through the proxy
        api.refuse_streams()                                 # as kube-apiserver does with an old etcd
        api.inject(html, resource="pods")                    # whatever is asked about pods is answered with a page
        api.clear()
        api.go_away(), api.come_back()                       # nobody listens
        api.stall_watches()                                  # those that are open stay so, and say nothing more
        api.replace_token()                                  # 401 for who still has the old one
        api.let_certificate_expire()                         # no handshake with who has the one that is now in the file
        api.rotate_authority()                               # a server that no client can believe yet

The proxy ends TLS itself and speaks upstream as the user of the kubeconfig that it was given. Who asks it has a token, a client
certificate, and the proxy's authority, in files.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import secrets
import shutil
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

import aiohttp
import yaml
from aiohttp import web

from nodeagent.api.certificates import self_signed
from nodeagent.apiserver.pki import Pki
from runtimes.linux.files import replace_file

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
NO_PROGRESS = (
    "a watch stream was requested by the client but the required storage feature RequestWatchProgress is disabled"
)
_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


# -- answers -----------------------------------------------------------------------------------------------------------


def status(code: int, reason: str = "", message: str = "no", **headers: str) -> Answer:
    """An API's refusal."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(_status(code, reason, message), status=code, headers=headers)

    return answer


async def no_streams(request: web.Request) -> web.StreamResponse:
    """What kube-apiserver says to `sendInitialEvents=true` when its etcd cannot report progress: 200, then this event."""
    return await _line(request, {"type": "ERROR", "object": _status(500, "InternalError", NO_PROGRESS)})


async def html(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>\n<body>It works!</body>\n</html>\n", content_type="text/html")


async def page_404(request: web.Request) -> web.StreamResponse:
    """As kube-apiserver says that it knows no such path."""
    return web.Response(text="404 page not found\n", status=404)


async def truncated(request: web.Request) -> web.StreamResponse:
    return web.Response(text='{"kind":"PodList","apiVersion":"v1","metadata":{"resou', content_type="application/json")


async def wrong_kind(request: web.Request) -> web.StreamResponse:
    """A list of another kind, and an empty one: it must not pass for "no pods"."""
    if "watch" in request.query:
        return await _line(request, {"type": "ADDED", "object": {"kind": "Secret", "metadata": {"name": "x"}}})
    return web.json_response({"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": []})


async def empty_object(request: web.Request) -> web.StreamResponse:
    return web.json_response({})


async def cut(request: web.Request) -> web.StreamResponse:
    """The connection ends in the middle of the answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"kind":')
    assert request.transport is not None
    request.transport.abort()
    return response


async def nothing(request: web.Request) -> web.StreamResponse:
    """Takes the request, and that is all."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await asyncio.sleep(3600)
    return response


async def reset(request: web.Request) -> web.StreamResponse:
    """The connection is reset before there is an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()  # to nobody


def by_turns(*answers: Answer) -> Answer:
    """One answer after the other, again and again."""
    turns = itertools.cycle(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await next(turns)(request)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """One answer after the other, the last for good."""
    left = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def _status(code: int, reason: str, message: str) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


async def _line(request: web.Request, event: object) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(json.dumps(event).encode() + b"\n")
    return response


# -- the proxy ---------------------------------------------------------------------------------------------------------


@dataclass
class Asked:
    """One request. `form`: stream (a streaming list), watch, list, or the method of another."""

    form: str
    resource: str
    subresource: str
    name: str = ""
    code: int = 0  # of the answer, as far as there was one
    stalls: int = 0  # how often watches had been stalled before


@dataclass(frozen=True)
class _Fault:
    answer: Answer
    resource: str
    form: str
    subresource: str | None
    name: str

    def fits(self, asked: Asked) -> bool:
        return (
            self.resource in ("", asked.resource)
            and (not self.form or asked.form in self.form.split("|"))
            and self.subresource in (None, asked.subresource)
            and self.name in ("", asked.name)
        )


class FaultyAPI:
    """Serves in a thread of its own from `with` on. `seen`: all requests so far."""

    def __init__(self, upstream: Path, folder: Path, host: str = "127.0.0.1") -> None:
        self._upstream = upstream
        self._folder = folder
        self._host = host
        self._address = "127.0.0.1"
        self._stalls = 0
        self._certificate_is_over = False
        self._authority = b""
        self._faults: list[_Fault] = []
        self._bookmarks = True
        self.seen: list[Asked] = []
        self._token = secrets.token_hex()
        self._port = 0
        self._site: web.TCPSite | None = None
        self._serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty API")
        self._live: dict[int, web.Request] = {}

    @property
    def kubeconfig(self) -> Path:
        return self._folder / "proxy.kubeconfig"

    def inject(
        self, answer: Answer, *, resource: str = "", form: str = "", subresource: str | None = None, name: str = ""
    ) -> None:
        """From now on answer so; "" fits every resource, form ("list|watch": either) and name. Open connections are cut."""
        self._faults = [*self._faults, _Fault(answer, resource, form, subresource, name)]
        self.cut_all()

    def refuse_streams(self) -> None:
        self.inject(no_streams, form="stream")

    def drop_bookmarks(self) -> None:
        """Let no bookmark through, so that a streaming list never ends."""
        self._bookmarks = False

    def clear(self) -> None:
        """All is well again; what hangs is cut."""
        self._faults, self._bookmarks = [], True
        self.hand_out_token()
        self.hand_out_authority()
        if self._certificate_is_over:
            self.hand_out_certificate()
        if self._site is None:
            self.come_back()
        self.cut_all()

    def go_away(self) -> None:
        """Nobody listens any more, until `come_back`."""
        asyncio.run_coroutine_threadsafe(self._go_away(), self._loop).result(30)

    def come_back(self, address: str = "") -> None:
        """At the same address, or another one of this machine."""
        self._address = address or self._address
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)

    def replace_token(self) -> None:
        """Take no token but a new one, which is not yet in the client's file: `hand_out_token`."""
        self._token = secrets.token_hex()
        self.cut_all()

    def hand_out_token(self) -> None:
        replace_file(self._folder / "token", self._token.encode(), durable=False)

    def stall_watches(self) -> None:
        """Those that are open now; others work."""
        self._stalls += 1

    def is_watched(self, resource: str) -> bool:
        """Right now."""
        asked = map(_asked, list(self._live.values()))
        return any(each.resource == resource and each.form in ("stream", "watch") for each in asked)

    def let_certificate_expire(self) -> None:
        """The client's file gets one whose time is over."""
        self._certificate_is_over = True
        self._give_certificate(datetime.now(UTC) - timedelta(days=4000))
        self.cut_all()

    def hand_out_certificate(self) -> None:
        self._certificate_is_over = False
        self._give_certificate(datetime.now(UTC))

    def rotate_authority(self) -> None:
        """Go on with a serving certificate of another authority, which is not yet in the client's file: `hand_out_authority`."""
        self.go_away()
        self._serve_with_another()
        self.come_back()

    def hand_out_authority(self) -> None:
        replace_file(self._folder / "ca.crt", self._authority, durable=False)

    def _serve_with_another(self) -> None:
        """Certificate, and authority."""
        self._authority, key = self_signed("faulty-api", [self._host], datetime.now(UTC))
        pair = self._folder / "serving.pem"
        pair.write_bytes(self._authority + key)
        self._serving.load_cert_chain(pair)
        pair.unlink()

    def _give_certificate(self, made: datetime) -> None:
        """One that was made then, by the authority that is known."""
        fresh = self._folder / f"pki-{secrets.token_hex(4)}"
        fresh.mkdir(mode=0o700)
        for name in ("ca.key", "ca.crt"):
            shutil.copy(self._folder / "pki" / name, fresh)
        pair = Pki(fresh, "client", [], clock=lambda: made).node
        for name, path in (("client.key", pair.key), ("client.crt", pair.certificate)):
            replace_file(self._folder / name, path.read_bytes(), durable=False)
        shutil.rmtree(fresh)

    def cut_all(self) -> None:
        """Cut every connection with a request under way."""
        self._loop.call_soon_threadsafe(self._cut_all)

    def forms(self, resource: str) -> list[str]:
        """How a resource was asked for, in order."""
        return [asked.form for asked in self.seen if asked.resource == resource]

    def __enter__(self) -> "FaultyAPI":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _start(self) -> None:
        config = yaml.safe_load(self._upstream.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._server = cluster["server"]
        upstream = ssl.create_default_context(cadata=_decoded(cluster, "certificate-authority-data").decode())
        pair = self._folder / "proxy-client.pem"
        pair.write_bytes(b"".join(Path(user[name]).read_bytes() for name in ("client-certificate", "client-key")))
        upstream.load_cert_chain(pair)
        pair.unlink()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=upstream, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        self._serve_with_another()
        self.hand_out_authority()
        self._serving.load_verify_locations(Pki(self._folder / "pki", "client", []).ca_file)
        self._serving.verify_mode = ssl.CERT_REQUIRED
        self.hand_out_certificate()
        application = web.Application(client_max_size=1 << 26)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await self._listen()
        self.hand_out_token()
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "users": [
                        {
                            "name": "u",
                            "user": {
                                "tokenFile": "token",
                                "client-certificate": "client.crt",
                                "client-key": "client.key",
                            },
                        }
                    ],
                    "clusters": [
                        {
                            "name": "c",
                            "cluster": {
                                "server": f"https://{self._host}:{self._port}",
                                "certificate-authority": "ca.crt",
                            },
                        }
                    ],
                }
            )
        )

    async def _listen(self) -> None:
        site = web.TCPSite(self._runner, self._address, self._port, ssl_context=self._serving, reuse_address=True)
        await site.start()
        self._site, self._port = site, self._runner.addresses[0][1]

    async def _go_away(self) -> None:
        if self._site is not None:
            await self._site.stop()
        self._site = None
        self._cut_all()
        for connection in self._runner.server.connections if self._runner.server else ():
            connection.force_close()

    async def _stop(self) -> None:
        self._cut_all()
        await self._runner.cleanup()
        await self._session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _cut_all(self) -> None:
        for request in self._live.values():
            if request.transport is not None:
                request.transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = _asked(request)
        asked.stalls = self._stalls
        self.seen.append(asked)
        fault = next((fault.answer for fault in self._faults if fault.fits(asked)), None)
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            fault = status(401, "Unauthorized", "Unauthorized")
        self._live[id(request)] = request
        try:
            return await (self._pass_on(request, asked) if fault is None else fault(request))
        except (aiohttp.ClientError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)  # to nobody
        finally:
            self._live.pop(id(request), None)

    async def _pass_on(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP | {"authorization"}}
        url = self._server + request.raw_path
        body = await request.read()
        async with self._session.request(request.method, url, data=body, headers=headers) as upstream:
            asked.code = upstream.status
            kept = {key: value for key, value in upstream.headers.items() if key.lower() not in _HOP}
            response = web.StreamResponse(status=upstream.status, headers=kept)
            await response.prepare(request)
            rest = b""
            async for chunk in upstream.content.iter_any():
                if "watch" in request.query:
                    if asked.stalls != self._stalls:
                        continue
                    *lines, rest = (rest + chunk).split(b"\n")
                    chunk = b"".join(line + b"\n" for line in lines if self._bookmarks or b'"BOOKMARK"' not in line)
                await response.write(chunk)
            with contextlib.suppress(ConnectionError):
                await response.write_eof()
            return response


def _decoded(fields: dict[str, str], name: str) -> bytes:
    return base64.b64decode(fields[name])


def _asked(request: web.Request) -> Asked:
    parts = request.path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    resource, name, subresource = (*parts, "", "", "")[:3]
    form = request.method
    if "watch" in request.query:
        form = "stream" if "sendInitialEvents" in request.query else "watch"
    elif form == "GET" and not name:
        form = "list"
    return Asked(form, resource, subresource, name)
