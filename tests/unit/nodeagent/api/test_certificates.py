"""The self-signed serving certificate."""

import asyncio
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from lightkube.models.core_v1 import ConfigMap
from typing_extensions import override

from nodeagent.api.certificates import keep_serving_certificate, private_key_pem, serving_certificate
from nodeagent.api.client import ApiClient
from nodeagent.api.credentials import Anonymous, Certificate, FixedCertificate
from nodeagent.api.kubeconfig import Connection
from nodeagent.api.transport import Transport


def test_made_once_and_again_when_it_must_be(tmp_path: Path) -> None:
    """The pair is kept while it is good, and replaced when expired or broken; the key is nobody else's."""
    directory = tmp_path / "pki"
    files = serving_certificate(directory, "node-1", ["10.0.0.1"])
    assert (files.certificate, files.key) == (directory / "kubelet.crt", directory / "kubelet.key")
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    first = files.certificate.read_bytes()
    serving_certificate(directory, "node-1")
    assert files.certificate.read_bytes() == first
    serving_certificate(directory, "node-1", now=datetime.now(UTC) + timedelta(days=276))
    second = files.certificate.read_bytes()
    assert second != first
    files.key.write_text("rubbish")
    serving_certificate(directory, "node-1")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)
    assert sorted(path.name for path in directory.iterdir()) == ["kubelet.crt", "kubelet.key"]


class _Enough(Exception):
    """The test has seen enough of a loop without end."""


async def test_kept_while_the_agent_runs(tmp_path: Path) -> None:
    """A pair that nears its end, is damaged or is gone is made again at the next look; a good one is left alone."""
    files = serving_certificate(tmp_path, "node-1", now=datetime.now(UTC) - timedelta(days=300))
    seen: list[bytes] = []

    async def sleep(seconds: float) -> None:
        seen.append(files.certificate.read_bytes())
        match len(seen):
            case 2:
                serving_certificate(tmp_path, "node-1", now=datetime.now(UTC) - timedelta(days=276))
                files.certificate.write_bytes(b"damaged")
            case 3:
                files.key.unlink()
            case 4:
                raise _Enough

    old = files.certificate.read_bytes()
    with pytest.raises(_Enough):
        await keep_serving_certificate(tmp_path, "node-1", lambda: ("10.0.0.1",), sleep=sleep)
    assert seen[0] == seen[1]
    assert len({old, *seen}) == 4
    left = x509.load_pem_x509_certificate(seen[3]).not_valid_after_utc - datetime.now(UTC)
    assert left > timedelta(days=360)


def test_names(tmp_path: Path) -> None:
    """The subject is host@time; host and addresses are alternative names, IPs as IPs."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    files = serving_certificate(tmp_path, "node-1", ["10.0.0.1", "fd00::1", "node-1"], now=now)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert certificate.subject.rfc4514_string() == f"CN=node-1@{int(now.timestamp())}"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node-1"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "fd00::1"]


def certificate_for(name: str) -> Certificate:
    """A self-signed client certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1)
    ).sign(key, hashes.SHA256())
    return Certificate(certificate.public_bytes(Encoding.PEM), private_key_pem(key))


async def test_the_client_speaks_tls_with_its_certificate(tmp_path: Path) -> None:
    """CA, server name and client certificate of a Connection work together in a real handshake."""
    server_files = serving_certificate(tmp_path / "server", "api.test")
    client_certificate = certificate_for("client.test")

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        subject = x509.load_der_x509_certificate(peer).subject.rfc4514_string()
        return web.json_response({"kind": "ConfigMap", "metadata": {"name": subject}})

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_files.certificate, server_files.key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=client_certificate.certificate_pem.decode())
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    connection = Connection(
        server=f"https://127.0.0.1:{server.port}",
        ca_pem=server_files.certificate.read_bytes(),
        tls_server_name="api.test",
        credentials=FixedCertificate(client_certificate),
    )
    async with ApiClient(connection) as client:
        found = await client.get(ConfigMap, "x", "ns")
    await server.close()
    assert found.metadata is not None
    assert found.metadata.name == "CN=client.test"


async def test_a_new_client_certificate_ends_open_watches(tmp_path: Path) -> None:
    """An answer that is still being read ends when the identity changes, instead of waiting for bytes that never come."""
    files = serving_certificate(tmp_path / "server", "api.test")
    begun = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        if not request.path.startswith("/watch"):
            return web.Response(text="{}")
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"first")
        await asyncio.sleep(3600)
        return answer

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context, shutdown_timeout=0)
    credentials = _Changing(certificate_for("one"))
    connection = Connection(
        server=f"https://127.0.0.1:{server.port}",
        ca_pem=files.certificate.read_bytes(),
        tls_server_name="api.test",
        credentials=credentials,
    )
    transport = Transport(connection)

    async def watch() -> None:
        answer = await transport.send("GET", "/watch")
        async for _ in answer.content.iter_any():
            begun.set()

    watching = asyncio.ensure_future(watch())
    await begun.wait()
    credentials.current = certificate_for("two")
    (await transport.send("GET", "/other")).close()
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(watching, 30)
    await transport.close()
    await server.close()


class _Changing(Anonymous):
    def __init__(self, current: Certificate) -> None:
        self.current = current

    @override
    async def certificate(self) -> Certificate:
        return self.current
