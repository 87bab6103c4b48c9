"""Connections through a SOCKS5 proxy (RFC 1928), which is also asked for the addresses of names."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy
from typing_extensions import override

from nodeagent.api.proxy import SOCKS_PORT


class SocksConnector(aiohttp.TCPConnector):
    """`prepare` gets each socket before it is used. The timeout is the session's `sock_connect`."""

    def __init__(
        self, proxy_url: str, context: ssl.SSLContext, prepare: Callable[[socket.socket], None], **options: Any
    ) -> None:
        super().__init__(ssl=context, **options)
        parts = urlsplit(proxy_url)
        self._proxy = Proxy(
            ProxyType.SOCKS5,
            parts.hostname or "",
            parts.port or SOCKS_PORT,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            rdns=True,
        )
        self._context = context
        self._prepare = prepare

    @override
    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        # the way in which aiohttp's own connector for unix sockets is made
        host, port = req.url.raw_host or "", req.url.port or 0
        try:
            async with asyncio.timeout(timeout.sock_connect):
                sock = await self._proxy.connect(host, port, timeout.sock_connect)
                self._prepare(sock)
                secure = {"ssl": self._context, "server_hostname": req.server_hostname or host} if req.is_ssl() else {}
                _, protocol = await asyncio.get_running_loop().create_connection(self._factory, sock=sock, **secure)  # type: ignore[call-overload]
        except ssl.CertificateError as error:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from error
        except ProxyError as error:
            raise aiohttp.ClientProxyConnectionError(req.connection_key, OSError(0, f"the proxy: {error}")) from error
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise aiohttp.ClientProxyConnectionError(req.connection_key, error) from error
        assert isinstance(protocol, ResponseHandler)
        return protocol
