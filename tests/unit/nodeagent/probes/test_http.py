"""The httpGet and tcpSocket probes against real sockets: docs/facts/pod-lifecycle.md 7.3."""

import asyncio
import contextlib
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvloop
from certificate_maker import certificate_of
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.probes.http import probe_http
from nodeagent.probes.http_request import HTTPTarget
from nodeagent.probes.http_response import Response, ResponseError, ResponseReader
from nodeagent.probes.outcome import Outcome, ProbeError, failure, success, warning
from nodeagent.probes.tcp import probe_tcp

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def probe(port: int, **fields: Any) -> Outcome:
    timeout = fields.pop("timeout_seconds", 5.0)
    return await probe_http(HTTPTarget(host="127.0.0.1", port=port, **fields), timeout_seconds=timeout)


def redirect(status: int, location: str) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nbody".encode()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, success()),
        (b"HTTP/1.1 204 No Content\r\n\r\n", success()),
        (b"HTTP/1.0 299 Odd\r\n\r\nuntil the end", success()),
        (b"HTTP/1.1 200\r\n\r\n", success()),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, success()),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", failure("HTTP probe failed with statuscode: 400")),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", failure("HTTP probe failed with statuscode: 503")),
        (b"HTTP/1.1 199 ?\r\n\r\nHTTP/1.1 600 ?\r\n\r\n", failure("HTTP probe failed with statuscode: 600")),
        # a final 300-399 succeeds, as a warning
        (b"HTTP/1.1 304 Same\r\n\r\n", warning("Probe terminated redirects, Response body: ")),
        (
            b"HTTP/1.1 300 Many\r\nContent-Length: 3\r\n\r\nabc",
            warning("Probe terminated redirects, Response body: abc"),
        ),
        (
            b"HTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            warning("Probe terminated redirects, Response body: abcde"),
        ),
    ],
)
async def test_verdicts(serve: Any, answer: bytes, expected: Outcome) -> None:
    """7.3: 200-299 succeed, 300-399 warn, other codes fail with `HTTP probe failed with statuscode: %d`."""
    server = await serve(answer)
    assert await probe(server.port) == expected


async def test_the_request(serve: Any) -> None:
    """7.3: GET, no keep-alive, no compression header, default User-Agent and Accept; names as they are
    usually written, in order, and of one name the values in the specification's order."""
    server = await serve(OK)
    await probe(server.port, path="/a/b?c=d", headers=[("X-One", "1"), ("x-one", "2")])
    assert server.requests == [
        f"GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\n"
        "X-One: 1\r\nX-One: 2\r\nConnection: close\r\n\r\n".encode()
    ]


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ([("Host", "example.com")], ["Host: example.com", "User-Agent: kube-probe/1.36", "Accept: */*"]),
        ([("host", "a:1"), ("Host", "b")], ["Host: a:1", "User-Agent: kube-probe/1.36", "Accept: */*"]),
        ([("Host", "a b")], ["Host: ", "User-Agent: kube-probe/1.36", "Accept: */*"]),
        (
            [("Host", "b\u00fccher.example:8")],
            ["Host: xn--bcher-kva.example:8", "User-Agent: kube-probe/1.36", "Accept: */*"],
        ),
        ([("user-agent", "me"), ("ACCEPT", "text/html")], ["Host: h:1", "User-Agent: me", "Accept: text/html"]),
        ([("Accept", ""), ("User-Agent", "")], ["Host: h:1"]),
        ([("X", "")], ["Host: h:1", "User-Agent: kube-probe/1.36", "Accept: */*", "X: "]),
        (
            [("x-b", " \u00e4 \t"), ("CONTENT-length", "9"), ("a", "1"), ("Transfer-Encoding", "chunked")],
            ["Host: h:1", "User-Agent: kube-probe/1.36", "A: 1", "Accept: */*", "X-B: \u00e4"],
        ),
    ],
)
def test_headers(headers: Any, lines: list[str]) -> None:
    """7.3: Host sets the request host; User-Agent and Accept unless given; an empty value removes them; what the client
    writes by itself stays its own."""
    sent = HTTPTarget(host="h", port=1, headers=headers).request().encode().decode()
    assert sent.split("\r\n")[1:-2] == [*lines, "Connection: close"]


@pytest.mark.parametrize(
    ("headers", "connection"),
    [
        ([("connection", "keep-alive")], ["Connection: keep-alive", "Connection: close"]),
        ([("Connection", "Close")], ["Connection: Close"]),
        ([("Connection", "upgrade"), ("Upgrade", "websocket")], ["Connection: upgrade"]),
    ],
)
def test_the_connection_header(headers: Any, connection: list[str]) -> None:
    """It ends after the answer, and that is said once; an upgrade is not spoilt."""
    sent = HTTPTarget(host="h", port=1, headers=headers).request().encode().decode()
    assert [line for line in sent.split("\r\n") if line.startswith("Connection")] == connection


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"headers": [("X-A", "a\nb")]}, 'net/http: invalid header field value for "X-A"'),
        ({"headers": [("X A", "a")]}, 'net/http: invalid header field name "X A"'),
        ({"headers": [("", "a")]}, 'net/http: invalid header field name ""'),
    ],
)
async def test_headers_that_cannot_be_sent(fields: Any, text: str) -> None:
    """A failure with the reason, and nothing is sent."""
    assert await probe(1, **fields) == failure(f'Get "http://127.0.0.1:1/": {text}')


async def test_a_path_that_is_no_place() -> None:
    """A path that reads as another scheme's is a failure; a host that cannot be one is an error."""
    assert await probe(1, path="health:8080") == failure('Get "http:8080": http: no Host in request URL')
    with pytest.raises(ProbeError, match='parse "http://a%20b:1/": invalid URL escape "%20"'):
        await probe_http(HTTPTarget(host="a b", port=1), timeout_seconds=1)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/a b/\u00e4?q=1", b"GET /a%20b/%C3%A4?q=1 HTTP/1.1"),
        ("/ready%2Fnow", b"GET /ready%2Fnow HTTP/1.1"),
        ("//elsewhere/x", b"GET /x HTTP/1.1"),
    ],
)
async def test_the_request_line(serve: Any, path: str, line: bytes) -> None:
    """What goes over the wire for a path that is no request line as it stands."""
    server = await serve(OK)
    assert await probe(server.port, path=path) == success()
    assert server.requests[0].partition(b"\r\n")[0] == line


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/other", success()),
        ("http://127.0.0.1:PORT/other", success()),
        ("http://localhost:PORT/other", warning("Probe terminated redirects, Response body: body")),
        ("", warning("Probe terminated redirects, Response body: body")),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_on_the_same_host_name(
    serve: Any, status: int, location: str, expected: Outcome
) -> None:
    """7.3: followed while the hostname stays the same; another one stops, which succeeds as a warning."""
    server = await serve(redirect(status, location), OK)
    assert await probe(server.port, headers=[("X", "1"), ("Host", "a")]) == expected
    if expected == success():
        host = "a" if location.startswith("/") else f"127.0.0.1:{server.port}"
        assert f"GET /other HTTP/1.1\r\nHost: {host}\r\n".encode() in server.requests[1]
        assert f"Referer: http://127.0.0.1:{server.port}/\r\nX: 1\r\n".encode() in server.requests[1]


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ("/a b", b"GET /a%20b HTTP/1.1"),
        ("../up\u00e4", b"GET /up%C3%A4 HTTP/1.1"),
        ("?q", b"GET /dir/page?q HTTP/1.1"),
        ("other#part", b"GET /dir/other HTTP/1.1"),
    ],
)
async def test_where_a_redirect_leads(serve: Any, location: str, line: bytes) -> None:
    """A Location is read as a path of a specification is."""
    server = await serve(redirect(302, location), OK)
    assert await probe(server.port, path="/dir/page") == success()
    assert server.requests[1].partition(b"\r\n")[0] == line


async def test_redirects_that_lead_nowhere(serve: Any) -> None:
    """A Location that cannot be read, or that no HTTP client can go to, fails the probe."""
    server = await serve(redirect(302, "/%zz"))
    text = 'failed to parse Location header "/%zz": parse "/%zz": invalid URL escape "%zz"'
    assert await probe(server.port) == failure(f'Get "http://127.0.0.1:{server.port}/": {text}')
    server = await serve(redirect(302, "ftp://127.0.0.1/x"))
    expected = failure('Get "ftp://127.0.0.1/x": unsupported protocol scheme "ftp"')
    assert await probe(server.port) == expected


async def test_a_redirect_may_change_the_port(serve: Any) -> None:
    """7.3: the port may change."""
    other = await serve(OK)
    server = await serve(redirect(302, f"http://127.0.0.1:{other.port}/there"))
    assert await probe(server.port) == success()
    assert other.requests[0].startswith(b"GET /there ")


async def test_at_most_ten_redirects(serve: Any) -> None:
    """7.3: max 10."""
    server = await serve(redirect(302, "/again"))
    expected = failure(f'Get "http://127.0.0.1:{server.port}/again": stopped after 10 redirects')
    assert await probe(server.port) == expected
    assert len(server.requests) == 10


async def test_no_server() -> None:
    """7.3: transport errors are failures with the error's text."""
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    dial = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert await probe(port) == failure(f'Get "http://127.0.0.1:{port}/": {dial}')
    assert await probe_tcp("127.0.0.1", port, timeout_seconds=5) == failure(dial)


async def test_a_server_that_never_answers(serve: Any) -> None:
    """7.3: the timeout covers everything."""
    server = await serve(b"", hang=True)
    text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    assert await probe(server.port, timeout_seconds=0.05) == failure(f'Get "http://127.0.0.1:{server.port}/": {text}')


async def test_a_server_that_stalls_in_the_body(serve: Any) -> None:
    """7.3: a body read error is an error, not a failure."""
    server = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", hang=True)
    with pytest.raises(ProbeError):
        await probe(server.port, timeout_seconds=0.5)
    cut = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    with pytest.raises(ProbeError):
        await probe(cut.port)


async def test_no_more_than_10_kib_of_a_body_are_read(serve: Any) -> None:
    """7.3: body read max 10 KiB, ignored: an endless answer is a success."""
    server = await serve(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 20_000, hang=True)
    assert await probe(server.port) == success()


async def test_what_is_not_http(serve: Any) -> None:
    """7.3: a transport error."""
    server = await serve(b"SSH-2.0-OpenSSH\r\n\r\n")
    found = await probe(server.port)
    assert found == failure(
        f'Get "http://127.0.0.1:{server.port}/": net/http: HTTP/1.x transport connection broken: '
        "malformed HTTP response 'SSH-2.0-OpenSSH'"
    )
    closed = await serve(b"")
    assert await probe(closed.port) == failure(f'Get "http://127.0.0.1:{closed.port}/": EOF')


async def test_https_is_not_verified(serve: Any, tmp_path: Path) -> None:
    """7.3: TLS unverified: a self-signed certificate for another name, long expired, will do; plain HTTP will not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_expired_certificate(tmp_path))
    server = await serve(OK, ssl=context)
    assert await probe(server.port, scheme="https") == success()
    plain = await serve(OK)
    found = await probe(plain.port, scheme="https", timeout_seconds=0.3)
    assert found.output.startswith(f'Get "https://127.0.0.1:{plain.port}/": ')
    assert not found.ok


async def test_tcp_connects(serve: Any) -> None:
    """7.3: connect is success."""
    server = await serve(OK)
    assert await probe_tcp("127.0.0.1", server.port, timeout_seconds=5) == success()


def test_on_the_agents_own_loop(tmp_path: Path) -> None:
    """The agent runs on uvloop: its transports are of another kind, the probes are the same."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_expired_certificate(tmp_path))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
        writer.close()

    async def main() -> list[Outcome]:
        found: list[Outcome] = []
        for tls in (None, context):
            async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
                port = server.sockets[0].getsockname()[1]
                found.append(await probe(port, scheme="https" if tls else "http"))
                found.append(await probe_tcp("127.0.0.1", port, timeout_seconds=5))
        found.append(await probe_tcp("127.0.0.1", port, timeout_seconds=5))
        found.append(await probe(port))
        return found

    ok, refused = [success()] * 4, "connect: connection refused"
    found = uvloop.run(main())
    assert found[:4] == ok
    assert [item.output.endswith(refused) for item in found[4:]] == [True, True]


# -- reading answers ---------------------------------------------------------------------------------------------------

ANSWERS = st.sampled_from(
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", b""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
            b"hello0123456789",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
    ]
)


@given(ANSWERS, st.lists(st.integers(1, 60), max_size=20))
def test_an_answer_reads_the_same_however_it_is_cut(answer: tuple[bytes, bytes], cuts: list[int]) -> None:
    """RFC 9112: the pieces that TCP delivers have no meaning."""
    raw, body = answer
    reader = ResponseReader(max_body_bytes=100)
    found, position = None, 0
    for size in [*cuts, len(raw)]:
        found = found or reader.feed(raw[position : position + size])
        position += size
    assert (found or reader.end()) == Response(status=200, location="", body=body)


@pytest.mark.parametrize(
    "raw",
    [b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"x" * 70_000,
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_broken_answers(raw: bytes) -> None:
    """RFC 9112: what cannot be read raises, and takes no unbounded memory."""
    with pytest.raises(ResponseError):
        ResponseReader(max_body_bytes=100).feed(raw)


def _expired_certificate(folder: Path) -> Path:
    day = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    certificate, key = certificate_of("another.example", day, day + datetime.timedelta(days=1))
    path = folder / "both.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def test_chunk_of_a_negative_size_is_refused() -> None:
    """It led back to itself, and the node's loop went round for ever."""
    reader = ResponseReader(max_body_bytes=100)
    with pytest.raises(ResponseError, match="invalid byte in chunk length"):
        reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-6\r\n")


def test_chunks_byte_by_byte() -> None:
    """A body is the same however it is cut, and what is no content has a bound."""
    reader = ResponseReader(max_body_bytes=100)
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    found = [response for byte in answer if (response := reader.feed(bytes((byte,)))) is not None]
    assert found[0].body == b"hello!"
    reader = ResponseReader(max_body_bytes=100)
    with pytest.raises(ResponseError, match="header line too long"):
        reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 5000)
