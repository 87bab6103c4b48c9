"""What lasts too long, or comes too seldom, for a test with a whole node: ten minutes without an API, names that do not resolve,
watches that stop without an end, certificates that expire. Clocks and sleeps are the test's."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from lightkube.models.core_v1 import ConfigMap

from nodeagent.api import client as client_module
from nodeagent.api import errors
from nodeagent.api.client import ApiClient
from nodeagent.api.credentials import CERTIFICATE_CHECK_SECONDS, CertificateFiles
from nodeagent.api.errors import Fault
from nodeagent.api.informer import Informer
from nodeagent.api.kubeconfig import Connection
from nodeagent.apiserver.pki import Pki

TEN_MINUTES = 600.0


class Time:
    """A clock that sleeping moves; `until` ends the sleep that reaches it, by a callback, once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.until: tuple[float, Any] | None = None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.until is not None and self.now >= self.until[0]:
            callback, self.until = self.until[1], None
            callback()
        await asyncio.sleep(0)


@pytest.fixture
def time() -> Time:
    return Time()


async def test_ten_minutes_without_an_api(
    make: Any, script: Any, client: ApiClient, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked less and less often, a few dozen times in all; then the watch goes on where it stopped: nothing is listed again."""
    script.answer(make.listing(5, make.config_map("a", 1)))
    script.watch(make.bookmark(7), end="drop")
    script.watch(make.event("ADDED", make.config_map("b", 9)), end="stay")
    tries = 0
    transport, send = client._transport, client._transport.send

    async def away(*_: Any) -> Any:
        nonlocal tries
        tries += 1
        raise errors.Unavailable("Connect call failed", Fault.REFUSED)

    def come_back() -> None:
        monkeypatch.setattr(transport, "send", send)

    informer: Informer[ConfigMap] = Informer(client, ConfigMap, watch_list=False, sleep=time.sleep, clock=time)
    seen = asyncio.Event()
    informer.subscribe(lambda kind, old, new: seen.set() if new and new.metadata.name == "b" else None)
    task = asyncio.create_task(informer.run())
    try:
        await script.asked(2)
        time.until = (TEN_MINUTES, come_back)
        monkeypatch.setattr(transport, "send", away)
        await seen.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert 10 <= tries <= 60
    assert [request.query.get("resourceVersion") for request in script.seen] == ["0", "5", "7"]


async def test_names_that_do_not_resolve(make: Any, script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts as an API that is not there; the next request asks the name servers again."""
    loop, known, answers = asyncio.get_running_loop(), script.url.rpartition(":")[2], [False, True]

    async def resolve(host: str, *_: Any, **__: Any) -> Any:
        if not answers.pop(0):
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(known)))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    script.answer(make.config_map("a", 1))
    async with ApiClient(Connection(server=f"http://api.example:{known}")) as client:
        with pytest.raises(errors.Unavailable, match="Temporary failure in name resolution") as caught:
            await client.get(ConfigMap, "a", "ns")
        assert caught.value.fault is Fault.REFUSED
        assert (await client.get(ConfigMap, "a", "ns")).metadata is not None


async def test_a_watch_that_stops_without_an_end(
    make: Any, script: Any, client: ApiClient, naps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that keeps the connection and says no more is left when its time is up; the next watch goes on from there."""
    monkeypatch.setattr(client_module, "WATCH_GRACE_SECONDS", 0.1)
    script.answer(make.listing(5))
    script.watch(make.bookmark(7), end="stay")
    script.watch(make.event("ADDED", make.config_map("a", 9)), end="stay")
    informer: Informer[ConfigMap] = Informer(client, ConfigMap, watch_list=False, watch_seconds=(0, 0), sleep=naps)
    seen = asyncio.Event()
    informer.subscribe(lambda kind, old, new: seen.set())
    task = asyncio.create_task(informer.run())
    try:
        await seen.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [request.query.get("resourceVersion") for request in script.seen] == ["0", "5", "7"]
    assert len(naps.seconds) == 1


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[tuple[Pki, str]]:
    """An API that knows nobody without a certificate of its CA that is good now."""
    pki = Pki(tmp_path / "pki", "n", [])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    context.load_verify_locations(pki.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()

    async def answer(request: web.Request) -> web.Response:
        metadata = {"name": "a", "namespace": "ns", "resourceVersion": "1"}
        return web.json_response({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})

    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield pki, f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_certificate_that_expires(strict: tuple[Pki, str], tmp_path: Path, time: Time) -> None:
    """No call succeeds, none hangs; with a new one in its file the next calls do, on new connections."""
    pki, url = strict
    long_ago = datetime.now(UTC) - timedelta(days=4000)
    expired = tmp_path / "expired"
    expired.mkdir()
    for name in ("ca.key", "ca.crt"):
        (expired / name).write_bytes((tmp_path / "pki" / name).read_bytes())
    old = Pki(expired, "n", [], clock=lambda: long_ago).node
    certificate, key = tmp_path / "node.crt", tmp_path / "node.key"
    certificate.write_bytes(old.certificate.read_bytes())
    key.write_bytes(old.key.read_bytes())
    credentials = CertificateFiles(str(certificate), str(key), clock=time)
    async with ApiClient(
        Connection(server=url, ca_pem=pki.ca_pem, credentials=credentials), timeout_seconds=20.0, sleep=time.sleep
    ) as client:
        with pytest.raises(errors.Unavailable):
            await client.get(ConfigMap, "a", "ns")
        certificate.write_bytes(pki.node.certificate.read_bytes())
        key.write_bytes(pki.node.key.read_bytes())
        time.now += CERTIFICATE_CHECK_SECONDS
        assert (await client.get(ConfigMap, "a", "ns")).metadata is not None
