"""The endpoint's certificate, handshake by handshake."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from nodeagent.api.certificates import self_signed
from nodeagent.apiserver.pki import Pair, Pki
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


def known(server: ServerTLS, client: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """The session of a client whose certificate the server has verified; None: it is refused."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    own = client.wrap_bio(down, up, session=session)
    end = server.context.wrap_bio(up, down, server_side=True)
    for side in (own, end) * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return None
    end.write(b"x")  # what a session needs to be resumed comes before it
    assert own.read(1) == b"x"
    assert end.getpeercert()
    return own.session


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


def showing(pair: Pair, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client with that certificate, which takes any server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, version
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_ca_that_is_rotated(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Once the file has another authority its clients are known and those of the old one are not, nor by a session of theirs."""
    old, new = (Pki(tmp_path / name, "n", []) for name in ("old", "new"))
    authority = tmp_path / "ca.crt"
    authority.write_bytes(old.ca_pem)
    put(tmp_path / "serving.pem", 1)
    server = ServerTLS(tmp_path / "serving.pem", tmp_path / "serving.pem", authority)
    clients = [showing(pki.node, version) for pki in (old, new)]
    session = known(server, clients[0], None)
    assert session is not None
    assert known(server, clients[1], None) is None
    authority.write_bytes(new.ca_pem)
    assert known(server, clients[0], session) is None
    assert known(server, clients[1], None) is not None


def test_a_certificate_that_is_no_clients(tmp_path: Path) -> None:
    """Of the same authority, but for servers: its holder is nobody here."""
    pki = Pki(tmp_path / "pki", "n", [])
    put(tmp_path / "serving.pem", 1)
    server = ServerTLS(tmp_path / "serving.pem", tmp_path / "serving.pem", pki.ca_file)
    assert known(server, showing(pki.node, ssl.TLSVersion.TLSv1_3), None) is not None
    assert known(server, showing(pki.server, ssl.TLSVersion.TLSv1_3), None) is None
