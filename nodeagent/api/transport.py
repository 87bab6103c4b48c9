"""HTTP to one API server: pooled connections, TLS and credentials, and errors in our own words.

Knows nothing of objects. A changed client certificate closes all connections, watches included, so that none lives on
under the old identity; so do changed authorities, so that none lives on with a server that is no longer believed.
"""

import asyncio
import logging
import os
import socket
import ssl
import weakref
from collections.abc import Sequence

import aiohttp
from yarl import URL

from nodeagent.api.authorities import AuthorityFile, certificates_text
from nodeagent.api.credentials import Certificate, CredentialsError
from nodeagent.api.errors import Fault, Unavailable
from nodeagent.api.kubeconfig import Connection
from nodeagent.api.name_lookup import CACHE_SECONDS, TimedResolver
from nodeagent.api.observers import UNOBSERVED, CallObserver

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 10.0
# Shorter than the idle time of any server (kube-apiserver 90 s), so that a POST does not meet a connection just closed.
KEEP_ALIVE_SECONDS = 45.0
# Requests in a row that met their deadlines while nothing at all came from the server: then the connections count as dead.
UNANSWERED_REQUESTS = 2
READ_BUFFER_BYTES = 1 << 18
NO_ANSWER = "<error>"  # in the place of a code, as client-go has it
# A dead peer is noticed after 30 + 3 * 15 s of silence, as with client-go's HTTP/2 pings.
KEEP_ALIVE_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)


class Transport:
    """Sends requests. Opens its session with the first one, in the running event loop; usable until `close`."""

    def __init__(
        self,
        connection: Connection,
        *,
        user_agent: str = "nodeagent",
        observer: CallObserver = UNOBSERVED,
    ) -> None:
        self.observer = observer
        self._connection = connection
        self._base = connection.server
        self._headers = (("User-Agent", user_agent), *connection.headers)
        proxy = connection.proxy_url
        self._socks = proxy if proxy.startswith("socks5") else ""
        self._proxy = None if self._socks else proxy or None
        self._session: aiohttp.ClientSession | None = None
        self._certificate: Certificate | None = None
        self._authority_file = AuthorityFile(connection.ca_file) if connection.ca_file is not None else None
        self._authorities: bytes | None = None
        self._lock = asyncio.Lock()
        self._closed = False
        self.streams_lists = True  # what its clients know of the server
        self._unanswered = 0
        self._answers: weakref.WeakSet[aiohttp.ClientResponse] = weakref.WeakSet()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        *,
        further: Sequence[tuple[str, str]] = (),
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response once its headers are there; the caller reads or releases it.

        `path` starts with "/" and is percent-encoded, query included. `further`: headers. Raises Unavailable. The deadline is the
        caller's.
        """
        authorization, session = await self._identity()
        given = (
            ("Accept", accept or "application/json"),
            ("Authorization", authorization),
            ("Content-Type", content_type),
        )
        headers = [*((name, value) for name, value in given if value), *self._headers, *further]
        code = NO_ANSWER
        try:
            response = await session.request(
                method,
                URL(self._base + path, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
                server_hostname=self._connection.tls_server_name or None,
            )
            code = str(response.status)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise translate(error, self._closed) from error
        finally:
            self.observer.answered(method, code)
        self.heard()
        self._answers.add(response)
        if session is not self._session:
            response.close()  # it came under an identity that was given up meanwhile
        if response.status == 401:
            self._connection.credentials.rejected(authorization)
        return response

    def streams_no_lists(self) -> None:
        """The server has refused a streaming list for good."""
        self.streams_lists = False

    def heard(self) -> None:
        """Something came from the server."""
        self._unanswered = 0

    async def unanswered(self) -> None:
        """A request met its deadline. After some in a row all connections are closed, also those of watches.

        A peer that has gone without a word, behind a proxy that still acknowledges what it gets, is told from an idle one by
        nothing else.
        """
        self._unanswered += 1
        if self._unanswered < UNANSWERED_REQUESTS or self._closed:
            return
        self._unanswered = 0
        session, self._session = self._session, None
        if session is not None:
            log.warning("%s: nothing comes from it any more: closing all API connections", self._connection.host)
            await self._end(session)

    async def _identity(self) -> tuple[str | None, aiohttp.ClientSession]:
        """The Authorization of now, and a session that shows the certificate of now. Raises Unavailable."""
        credentials = self._connection.credentials
        try:
            authorization = await credentials.authorization()
            certificate = await credentials.certificate()
        except CredentialsError as error:
            raise Unavailable(str(error), Fault.CREDENTIALS) from error
        authorities = self._current_authorities()
        session = self._session
        if session is None or certificate is not self._certificate or authorities is not self._authorities:
            session = await self._reopen(certificate, authorities)
        return authorization, session

    def _current_authorities(self) -> bytes | None:
        if self._authority_file is None:
            return self._connection.ca_pem
        try:
            return self._authority_file.current()
        except OSError as error:
            raise Unavailable(f"certificate authorities: {error}", Fault.CREDENTIALS) from error

    async def close(self) -> None:
        """Close all connections; requests under way fail with Unavailable."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await self._end(session)

    async def _end(self, session: aiohttp.ClientSession) -> None:
        # the session closes its connections without a word to those who wait for the next bytes of an answer
        for answer in list(self._answers):
            answer.close()
        await session.close()

    async def _reopen(self, certificate: Certificate | None, authorities: bytes | None) -> aiohttp.ClientSession:
        async with self._lock:
            if self._closed:
                raise Unavailable("the client is closed", Fault.CLOSED)
            same = certificate is self._certificate and authorities is self._authorities
            if self._session is not None and same:
                return self._session
            old = self._session
            try:
                context = ssl_context(self._connection, certificate, authorities)
            except (ssl.SSLError, OSError, ValueError) as error:
                raise Unavailable(f"TLS settings cannot be used: {error}", Fault.CREDENTIALS) from error
            self._session = _session(context, self._socks, TimedResolver(self.observer.resolved))
            what = "client certificate" if certificate is not self._certificate else "certificate authorities"
            self._certificate, self._authorities = certificate, authorities
        if old is not None:
            log.info("%s changed: closing all API connections", what)
            await self._end(old)
        return self._session


def translate(error: BaseException, closed: bool = False) -> Unavailable:
    """Say in our words what became of a request that got no (complete) answer."""
    if closed:
        return Unavailable("the client is closed", Fault.CLOSED)
    text = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Unavailable(f"the proxy refused: {error.status} {error.message}", Fault.REFUSED)
    if isinstance(error, TimeoutError):
        return Unavailable("the API server did not answer in time", Fault.TIMEOUT)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientProxyConnectionError | aiohttp.InvalidURL):
        return Unavailable(text, Fault.REFUSED)
    if isinstance(error, aiohttp.ClientResponseError):
        return Unavailable(f"malformed HTTP answer: {text}", Fault.MALFORMED)
    return Unavailable(f"connection lost: {text}", Fault.RESET)


def ssl_context(
    connection: Connection, certificate: Certificate | None, authorities: bytes | None = None
) -> ssl.SSLContext:
    """Return the TLS settings. `authorities`: PEM; None or empty: this machine's own.

    The client key goes through anonymous memory, never through a file of ours.
    """
    context = ssl.create_default_context(cadata=certificates_text(authorities or b"") or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 refuses what Go's clients take: certificates without key identifiers, which clusters made by hand have
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if connection.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, certificate.certificate_pem + b"\n" + certificate.key_pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
    return context


def _session(context: ssl.SSLContext, socks_proxy: str, resolver: TimedResolver) -> aiohttp.ClientSession:
    if socks_proxy:
        from nodeagent.api.socks import SocksConnector  # its library only where it is used

        connector: aiohttp.TCPConnector = SocksConnector(
            socks_proxy, context, _keep_alive, limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS
        )
    else:
        connector = aiohttp.TCPConnector(
            ssl=context,
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            resolver=resolver,
            ttl_dns_cache=CACHE_SECONDS,
            socket_factory=_socket,
        )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # total is the caller's business; a watch has none
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
        skip_auto_headers=("Accept-Encoding", "Accept", "User-Agent", "Content-Type"),
        auto_decompress=False,
        read_bufsize=READ_BUFFER_BYTES,
    )


def _socket(address: tuple[object, ...]) -> socket.socket:
    family, kind, protocol = address[0], address[1], address[2]
    assert isinstance(family, int)
    assert isinstance(kind, int)
    assert isinstance(protocol, int)
    sock = socket.socket(family, kind, protocol)
    _keep_alive(sock)
    return sock


def _keep_alive(sock: socket.socket) -> None:
    for level, option, value in KEEP_ALIVE_OPTIONS:
        sock.setsockopt(level, option, value)
