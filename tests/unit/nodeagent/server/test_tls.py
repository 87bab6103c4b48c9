"""The endpoint's certificate, handshake by handshake."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from nodeagent.api.certificates import self_signed
from nodeagent.server.tls import ServerTLS


def shown(server: ServerTLS) -> str:
    """The subject of the certificate that a client sees; empty: the handshake fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(down, up)
    end = server.context.wrap_bio(up, down, server_side=True)
    for side in (client, end) * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return ""
    found = client.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(found or b"").subject.rfc4514_string()


def put(path: Path, second: int) -> str:
    """Another pair in one file; its subject."""
    chain, key = self_signed("n", (), datetime.fromtimestamp(1_800_000_000 + second, UTC))
    fresh = path.with_name("fresh")
    fresh.write_bytes(chain + key)
    fresh.replace(path)
    return f"CN=n@{1_800_000_000 + second}"


def test_a_certificate_that_comes_later(tmp_path: Path) -> None:
    """Until it is there nobody gets through; then it is shown, and the next one as soon as that is there."""
    path = tmp_path / "current.pem"
    server = ServerTLS(path, path, None, awaited=True)
    assert shown(server) == ""
    for second in (1, 2):
        subject = put(path, second)
        assert shown(server) == subject
    path.write_bytes(b"rubbish")
    assert shown(server) == subject


def test_a_certificate_that_is_to_be_there(tmp_path: Path) -> None:
    """Without it nothing is served."""
    with pytest.raises(OSError):
        ServerTLS(tmp_path / "a.crt", tmp_path / "a.key", None)
