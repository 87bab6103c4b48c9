"""The way from the server to a node's HTTPS endpoint."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.pki import Pair
from nodeagent.apiserver.rest.raw import HEAD_LIMIT_BYTES
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key

DEFAULT_PORT = 10250
CONNECT_SECONDS = 10.0
HEAD_SECONDS = 30.0
_PREFERENCE = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node listens."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NodeClient:
    """Connects with the server's client certificate."""

    def __init__(self, store: Store, pair: Pair, kubelet_ca: Path | None) -> None:
        """`kubelet_ca` verifies the nodes' certificates; without one they are not verified (nodes sign their own by
        default), as kube-apiserver does without `--kubelet-certificate-authority`."""
        self._store = store
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if kubelet_ca is None:
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE
        else:
            self.tls.load_verify_locations(kubelet_ca)
        self._pair = pair
        self.reload()
        self._session: aiohttp.ClientSession | None = None

    def reload(self) -> None:
        """Read the client certificate again, for connections that begin from now on. Raises `OSError`."""
        self.tls.load_cert_chain(self._pair.certificate, self._pair.key)

    async def request(
        self, method: str, endpoint: Endpoint, path: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """An ordinary request; no limit on how long its answer may stream. `path` is encoded and has the query."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            connector = aiohttp.TCPConnector(ssl=self.tls, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        url = URL(f"https://{endpoint.authority}{path}", encoded=True)
        return await self._session.request(method, url, headers=tuple(headers), data=body, allow_redirects=False)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def endpoint(self, node: str) -> Endpoint:
        """From the node's status. Raises `ApiError` 404 and 500."""
        stored = self._store.get("nodes", Key("", node))
        if stored is None:
            raise ApiError.not_found("nodes", node)
        status = stored.decode().get("status") or {}
        addresses = {a.get("type"): a.get("address") for a in reversed(status.get("addresses") or ())}
        host = next((addresses[kind] for kind in _PREFERENCE if addresses.get(kind)), None)
        if host is None:
            raise ApiError.internal(f"no preferred addresses found; known addresses: {sorted(filter(None, addresses))}")
        daemon = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        return Endpoint(host, int(daemon.get("Port") or DEFAULT_PORT))

    async def connect(self, endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises `ApiError` 500 with the reason when the node cannot be reached."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(endpoint.host, endpoint.port, ssl=self.tls, limit=HEAD_LIMIT_BYTES)
        except (OSError, TimeoutError) as error:
            raise unreachable(endpoint, error) from error


def unreachable(endpoint: Endpoint, error: BaseException) -> ApiError:
    why = "i/o timeout" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return ApiError.internal(f"error dialing backend: dial tcp {endpoint.authority}: {why}")
