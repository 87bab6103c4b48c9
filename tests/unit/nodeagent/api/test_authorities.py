"""Whom the client believes, while the cluster's CA is rotated under it. Real TLS."""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from lightkube.models.core_v1 import ConfigMap

from nodeagent.api import authorities
from nodeagent.api.authorities import AuthorityFile
from nodeagent.api.certificates import self_signed
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import Unavailable
from nodeagent.api.kubeconfig import Connection


@pytest.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    app = web.Application()

    async def answer(request: web.Request) -> web.Response:
        metadata = {"name": "a", "namespace": "ns", "resourceVersion": "1"}
        return web.json_response({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})

    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    yield runner
    await runner.cleanup()


def pair(name: str) -> tuple[bytes, bytes]:
    """(certificate and its authority, key), each time of another authority."""
    return self_signed(name, ["127.0.0.1"], datetime.now(UTC))


async def serve(runner: web.AppRunner, folder: Path, chain: bytes, key: bytes, port: int = 0) -> int:
    """At that port, instead of what was there; returns the port."""
    for site in list(runner.sites):
        await site.stop()
    assert runner.server is not None
    for connection in runner.server.connections:
        connection.force_close()
    (folder / "server.pem").write_bytes(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    found: int = runner.addresses[0][1]
    return found


async def test_a_cluster_ca_that_is_rotated(
    runner: web.AppRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of another CA is believed as soon as the file has that CA, without a restart, and the old one no more."""
    monkeypatch.setattr(authorities, "CHECK_SECONDS", 0.0)
    (old, old_key), (new, new_key) = pair("old"), pair("new")
    file = tmp_path / "ca.crt"
    file.write_bytes(old)
    port = await serve(runner, tmp_path, old, old_key)
    async with ApiClient(Connection(server=f"https://127.0.0.1:{port}", ca_file=file)) as client:
        assert (await client.get(ConfigMap, "a", "ns")).metadata is not None
        await serve(runner, tmp_path, new, new_key, port)
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(ConfigMap, "a", "ns")
        file.write_bytes(new)
        assert (await client.get(ConfigMap, "a", "ns")).metadata is not None
        await serve(runner, tmp_path, old, old_key, port)
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(ConfigMap, "a", "ns")


def test_a_file_that_is_not_good_for_a_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Empty, rubbish or gone: the authorities read before count, which is said once for each reason; at start there are none."""
    now = 0.0
    file = tmp_path / "ca.crt"
    found = AuthorityFile(file, clock=lambda: now)
    for bad in (None, b"", b"rubbish"):
        if bad is not None:
            file.write_bytes(bad)
        with pytest.raises(OSError):
            found.current()
    remark = "# Gültig für alle\n".encode()  # bundles have such
    good = remark + pair("good")[0]
    file.write_bytes(good)
    assert found.current() == good
    file.write_bytes(b"")
    assert found.current() == good
    for _ in range(2):
        now += authorities.CHECK_SECONDS
        assert found.current() == good
    file.unlink()
    now += authorities.CHECK_SECONDS
    assert found.current() == good
    assert len(caplog.messages) == 2
    file.write_bytes(pair("better")[0])
    now += authorities.CHECK_SECONDS
    assert found.current() == file.read_bytes()


def test_a_file_that_stays(tmp_path: Path) -> None:
    """What says the same is the same object, also after it was written again: no connection is closed for it."""
    now = 0.0
    file = tmp_path / "ca.crt"
    file.write_bytes(pair("one")[0])
    found = AuthorityFile(file, clock=lambda: now)
    first = found.current()
    file.write_bytes(file.read_bytes())
    now += authorities.CHECK_SECONDS
    assert found.current() is first
