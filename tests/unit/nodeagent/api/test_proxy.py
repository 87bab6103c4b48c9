"""Proxies: which one leads to a server, and that requests really go through it."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from lightkube.models.core_v1 import ConfigMap
from proxies import connect_proxy, socks_proxy

from nodeagent.api.certificates import ServingFiles, serving_certificate
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import Fault, Unavailable
from nodeagent.api.kubeconfig import Connection
from nodeagent.api.proxy import check_proxy, environment_proxy

HERE = "http://proxy:3128"


@pytest.mark.parametrize(
    ("server", "environ", "expected"),
    [
        ("https://api.x.io:6443", {}, ""),
        ("https://api.x.io:6443", {"HTTPS_PROXY": HERE}, HERE),
        ("https://api.x.io:6443", {"https_proxy": HERE}, HERE),
        ("https://api.x.io:6443", {"HTTPS_PROXY": HERE, "https_proxy": "http://other"}, HERE),
        ("https://api.x.io:6443", {"HTTP_PROXY": HERE, "ALL_PROXY": HERE}, ""),
        ("http://api.x.io:8080", {"HTTP_PROXY": HERE}, HERE),
        ("https://api.x.io:6443", {"HTTPS_PROXY": "proxy:3128"}, HERE),
        ("https://localhost:6443", {"HTTPS_PROXY": HERE}, ""),
        ("https://127.0.0.9:6443", {"HTTPS_PROXY": HERE}, ""),
        ("https://[::1]:6443", {"HTTPS_PROXY": HERE}, ""),
    ],
)
def test_the_environment_names_a_proxy(server: str, environ: dict[str, str], expected: str) -> None:
    """By the server's scheme, upper case first; never for this machine."""
    assert environment_proxy(server, environ) == expected


@pytest.mark.parametrize(
    ("host", "exceptions", "direct"),
    [
        ("10.96.0.1:443", "10.96.0.0/12", True),
        ("10.96.0.1:443", "172.16.0.0/12,10.96.0.0/12", True),
        ("10.128.0.1:443", "10.96.0.0/12", False),
        ("[fd00::1]:443", "fd00::/8", True),
        ("[fd00::1]:6443", "[fd00::1]:6443", True),
        ("[fd00::1]:6443", "fd00:0::1", True),
        ("10.0.0.1:6443", "10.0.0.1", True),
        ("10.0.0.1:6443", "10.0.0.1:6443", True),
        ("10.0.0.1:6443", "10.0.0.1:443", False),
        ("10.0.0.11:6443", "10.0.0.1", False),
        ("api.x.io:6443", "x.io", True),
        ("x.io:6443", "x.io", True),
        ("x.io:6443", ".x.io", False),
        ("api.x.io:6443", " .x.io ", True),
        ("api.x.io:6443", "*.X.io", True),
        ("API.x.io.:6443", "api.x.io", True),
        ("apix.io:6443", "x.io", False),
        ("api.x.io:6443", "x.io:6443", True),
        ("api.x.io:6443", "x.io:443", False),
        ("api.x.io", "x.io:443", True),
        ("api.x.io:6443", "*", True),
        ("api.x.io:6443", "", False),
        ("api.x.io:6443", ",, ,", False),
        ("api.x.io:6443", "10.0.0.0/99", False),
    ],
)
def test_the_environment_names_exceptions(host: str, exceptions: str, direct: bool) -> None:
    """Networks, addresses, domains with what is below them, ports; as every other program of a cluster's node reads them."""
    found = environment_proxy(f"https://{host}", {"HTTPS_PROXY": HERE, "NO_PROXY": exceptions})
    assert found == ("" if direct else HERE)
    assert environment_proxy(f"https://{host}", {"HTTPS_PROXY": HERE, "no_proxy": exceptions}) == found


@pytest.mark.parametrize("url", ["ftp://me:secret@x", "http://me:secret@", "http://me:secret@x:port", "me:secret@x"])
def test_mistakes_do_not_tell_the_password(url: str) -> None:
    """A URL that cannot be a proxy's is an error, without what is secret in it."""
    with pytest.raises(ValueError) as caught:
        check_proxy(url)
    assert "secret" not in str(caught.value)


class Site:
    """An API server that only the proxies can find, under the name api.test."""

    def __init__(self, files: ServingFiles, port: int, context: ssl.SSLContext) -> None:
        self.port = port
        self.tls = context
        self.names = {"api.test": "127.0.0.1"}
        self._ca = files.certificate.read_bytes()

    def connection(self, proxy: str, **fields: Any) -> Connection:
        return Connection(server=f"https://api.test:{self.port}", ca_pem=self._ca, proxy_url=proxy, **fields)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServingFiles:
    folder: Path = tmp_path_factory.mktemp("site")
    return serving_certificate(folder, "api.test", ["localhost"])


@pytest.fixture
async def site(files: ServingFiles) -> AsyncIterator[Site]:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"kind": "ConfigMap", "metadata": {"name": request.headers["Host"]}})

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    assert server.port is not None
    yield Site(files, server.port, context)
    await server.close()


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("password", ["", "p%40ss"])
async def test_requests_go_through_it(site: Site, kind: str, password: str) -> None:
    """The tunnel is asked for by name, with the password that the URL has; TLS is with the API server, whose name is checked."""
    plain = password.replace("%40", "@")
    if kind == "socks5":
        made = socks_proxy(plain, site.names)
    else:
        made = connect_proxy(plain, site.tls if kind == "https" else None, site.names)
    async with made as proxy, ApiClient(site.connection(proxy.url(password)), timeout_seconds=10.0) as client:
        for _ in range(2):
            found = await client.get(ConfigMap, "x", "ns")
            assert found.metadata is not None
            assert found.metadata.name == f"api.test:{site.port}"
    assert proxy.asked == [f"api.test:{site.port}"]  # one connection, used twice


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_it_may_refuse(site: Site, kind: str, unused_tcp_port: int) -> None:
    """A wrong password, and a proxy that is not there, are told as such and without the password."""
    made = socks_proxy("right") if kind == "socks5" else connect_proxy("right")
    async with made as proxy:
        for url in (proxy.url("wrong"), f"{kind}://me:wrong@localhost:{unused_tcp_port}"):
            async with ApiClient(site.connection(url), timeout_seconds=10.0) as client:
                with pytest.raises(Unavailable) as caught:
                    await client.get(ConfigMap, "x", "ns")
            assert caught.value.fault is Fault.REFUSED
            assert "wrong" not in str(caught.value)
    assert proxy.asked == []


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_another_name_than_the_certificates(site: Site, kind: str) -> None:
    """Through a proxy, too: a server that has another's certificate is refused, unless tls-server-name says so."""
    names = {"other.test": "127.0.0.1"}
    async with socks_proxy("", names) if kind == "socks5" else connect_proxy("", None, names) as proxy:
        base = site.connection(proxy.url())
        for name, works in (("", False), ("api.test", True)):
            connection = Connection(
                server=f"https://other.test:{site.port}",
                ca_pem=base.ca_pem,
                proxy_url=base.proxy_url,
                tls_server_name=name,
            )
            async with ApiClient(connection, timeout_seconds=10.0) as client:
                if works:
                    await client.get(ConfigMap, "x", "ns")
                else:
                    with pytest.raises(Unavailable) as caught:
                        await client.get(ConfigMap, "x", "ns")
                    assert caught.value.fault is Fault.REFUSED
