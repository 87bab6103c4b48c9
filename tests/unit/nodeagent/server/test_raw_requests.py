"""What no client sends: requests that may be read in two ways, paths that may mean two things, peers that say nothing."""

import asyncio
import contextlib
import os
import ssl

import pytest

from nodeagent.server import bounded_site, server

NONSENSE = {
    "both lengths": b"GET /pods HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"GET /pods HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "signed length": b"GET /pods HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd",
    "other coding": b"GET /pods HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "chunked first": b"GET /pods HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "space before colon": b"GET /pods HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
    "folded": b"GET /pods HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "bare line feed": b"GET /pods HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "nul": b"GET /pods HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "no host": b"GET /pods HTTP/1.1\r\n\r\n",
    "many headers": b"GET /pods HTTP/1.1\r\nHost: x\r\n"
    + b"".join(b"A%d: b\r\n" % n for n in range(100_000))
    + b"\r\n",
    "long header": b"GET /pods HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 1_200_000 + b"\r\n\r\n",
    "bogus method": b"G@T /pods HTTP/1.1\r\nHost: x\r\n\r\n",
    "no request": b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
}


async def raw(endpoint, data, pair="own"):
    """All that is answered, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=endpoint.tls(pair))
    found = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        writer.write(data)
        async with asyncio.timeout(60):
            while piece := await reader.read(65536):
                found += piece
    writer.transport.abort()
    return found


@pytest.mark.parametrize("name", NONSENSE)
async def test_what_can_be_read_in_two_ways_is_not_read(endpoint, name):
    """400, or the connection ends; nothing is answered as asked for, also of what comes behind it."""
    found = await raw(endpoint, NONSENSE[name] + b"GET /pods HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " not in found
    assert b"PodList" not in found
    assert found == b"" or found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), found[:200]
    assert (await endpoint.get("/pods"))[0] == 200


CONFUSING = (
    "/healthz/../pods",
    "/healthz/%2e%2e/pods",
    "/healthz/..%2fpods",
    "/healthz%2f..%2fpods",
    "/healthz/..;/pods",
    "/healthz;/../pods",
    "//pods",
    "/./pods",
    "/%2e/pods",
    "/pods%00",
    "/pods%00/healthz",
    "/pods;x=/healthz",
    "/PODS",
    "/Pods",
    "/pods%2f",
    "/%70ods/..",
    "/pods/../configz",
    "/pods/%2e%2e/configz",
    "/metrics/../configz",
    "/stats/..%2fconfigz",
    "/logs/../configz",
    "/healthz/..%5cpods",
    "/pods%20",
    "/%252e%252e/pods",
)


@pytest.mark.parametrize("path", CONFUSING)
async def test_a_path_means_one_thing(make_endpoint, path):
    """Whoever may do everything gets 404, or what the path says as it stands; who may see health alone gets 403 or 404: what is
    judged is what is served."""
    open_to_all = await make_endpoint()
    head, _, body = (await raw(open_to_all, _get(path))).partition(b"\r\n\r\n")
    assert head.split()[1] in (b"404", b"400"), (path, head)
    assert b"PodList" not in body and b"kubeletconfig" not in body


async def test_who_may_see_health_sees_nothing_else(make_endpoint):
    """By no spelling of another path."""
    guarded = await make_endpoint(reviews=_HealthOnly())
    assert (await guarded.get("/healthz"))[0] == 200
    for path in (*CONFUSING, "/pods", "/configz", "/logs/", "/metrics", "/exec/default/web/main"):
        head, _, body = (await raw(guarded, _get(path))).partition(b"\r\n\r\n")
        assert head.split()[1] in (b"400", b"403", b"404"), (path, head)
        assert b"PodList" not in body, path


def _get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


class _HealthOnly:
    """Allows the subresource healthz and what no other one names."""

    async def request(self, method, path, body=None, content_type="application/json"):
        import json

        attributes = json.loads(body)["spec"]["resourceAttributes"]
        allowed = attributes["subresource"] == "healthz"
        return json.dumps({"status": {"allowed": allowed}}).encode()


@pytest.mark.parametrize("said", [b"", b"GET /pods HT", b"GET /pods HTTP/1.1\r\nHost: x\r\nA: "])
async def test_who_says_nothing_more_goes(make_endpoint, monkeypatch, said):
    """After TLS, in the request line, in the headers: the connection ends with the time for an idle one."""
    monkeypatch.setattr(server, "KEEPALIVE_SECONDS", 0.2)
    endpoint = await make_endpoint()
    assert await raw(endpoint, said) == b""


async def test_after_a_refusal_the_connection_ends_too(make_endpoint, monkeypatch):
    """A stranger that was told 401 holds nothing for longer than others."""
    monkeypatch.setattr(server, "KEEPALIVE_SECONDS", 0.2)
    endpoint = await make_endpoint(reviews=_HealthOnly())
    found = await raw(endpoint, b"GET /pods HTTP/1.1\r\nHost: x\r\n\r\n", None)
    assert found.startswith(b"HTTP/1.1 401 ")
    assert found.endswith(b"Unauthorized")


async def test_who_begins_no_tls_goes(make_endpoint, monkeypatch):
    """A connection without a handshake ends in time."""
    monkeypatch.setattr(bounded_site, "HANDSHAKE_SECONDS", 0.2)
    endpoint = await make_endpoint()
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


def test_the_times_are_bounded():
    """What the tests above shorten."""
    assert server.KEEPALIVE_SECONDS <= 90
    assert bounded_site.HANDSHAKE_SECONDS <= 60


async def test_half_requests_give_their_descriptors_back(endpoint):
    """Hundreds of connections in the middle of a request; when they are gone, so is all that was held for them."""
    before = len(os.listdir("/proc/self/fd"))
    half = []
    for _ in range(300):
        _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=endpoint.tls(None))
        writer.write(b"POST /exec/default/web/main HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nA: ")
        half.append(writer)
    for writer in half:
        writer.transport.abort()
    assert (await endpoint.get("/pods"))[0] == 200
    async with asyncio.timeout(60):
        while len(os.listdir("/proc/self/fd")) > before + 5:  # noqa: ASYNC110  # the kernel tells nobody
            await asyncio.sleep(0.05)
