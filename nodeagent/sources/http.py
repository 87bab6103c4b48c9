"""Static pods from a URL. Source: docs/facts/pod-lifecycle.md 1.1."""

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence

import aiohttp
from lightkube.models.core_v1 import Pod
from multidict import CIMultiDict
from yarl import URL

from nodeagent.podspec.pod import HTTP
from nodeagent.sources.manifest import MAX_BYTES, InvalidManifest, StaticRules, decode, static_pod
from nodeagent.sources.merger import PodMerger
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

PERIOD_SECONDS = 20.0
TIMEOUT_SECONDS = 10.0  # for all of it: redirects, headers and body
MAX_REDIRECTS = 10  # as Go's client
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpSource:
    """Asks `url` every 20 s and feeds the merger until cancelled. A failed or bad answer changes nothing."""

    def __init__(
        self,
        url: str,
        merger: PodMerger,
        rules: StaticRules,
        *,
        headers: Mapping[str, Sequence[str]] | None = None,
        period_seconds: float = PERIOD_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._url = url
        self._merger = merger
        self._rules = rules
        self._headers = CIMultiDict((key, value) for key, values in (headers or {}).items() for value in values)
        self._period_seconds = period_seconds
        self._timeout_seconds = timeout_seconds
        self._body: bytes | None = None
        self._complaint = ""

    async def run(self) -> None:
        trusted = await asyncio.to_thread(ssl.create_default_context)  # a redirect may lead to https from elsewhere
        # what is packed is not unpacked: its size says nothing of what comes out
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted), auto_decompress=False) as session:
            while True:
                await self.poll(session)
                await asyncio.sleep(self._period_seconds)

    async def poll(self, session: aiohttp.ClientSession) -> None:
        """Ask once and deliver what changed."""
        try:
            body = await self._fetch(session)
            if body != self._body:
                self._merger.replace(HTTP, await asyncio.to_thread(self._pods, body))
                self._body = body
        except TimeoutError:
            self._complain(f"no whole answer within {self._timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._complain(str(error) or type(error).__name__)
        else:
            self._complaint = ""

    def _complain(self, text: str) -> None:
        level = logging.DEBUG if text == self._complaint else logging.ERROR
        log.log(level, "static pods from %s: %s; keeping those known", self._url, text)
        self._complaint = text

    async def _fetch(self, session: aiohttp.ClientSession) -> bytes:
        configured = url = URL(self._url)
        async with asyncio.timeout(self._timeout_seconds):
            for _ in range(MAX_REDIRECTS + 1):
                async with session.get(
                    url, headers=self._headers_for(url, configured), allow_redirects=False
                ) as response:
                    if response.status not in _REDIRECTS:
                        return await _body(response)
                    url = _next(url, response)
        raise InvalidManifest(f"the server redirected more than {MAX_REDIRECTS} times")

    def _headers_for(self, url: URL, configured: URL) -> CIMultiDict[str]:
        """What is configured is for the configured server, not for whoever it sends the agent to."""
        headers = self._headers.copy() if url.origin() == configured.origin() else CIMultiDict[str]()
        headers["Accept-Encoding"] = "identity"
        return headers

    def _pods(self, body: bytes) -> list[Pod]:
        if not body:
            return []
        document = decode(body)
        items: list[JsonObject] = [document]
        if document.get("kind") == "PodList":
            items = _items(document)
        return [static_pod(item, self._url, self._rules) for item in items]


def _next(url: URL, response: aiohttp.ClientResponse) -> URL:
    """Where a redirect leads to: another URL of HTTP, never from HTTPS to less."""
    target = url.join(URL(response.headers.get("Location", "")))
    if target.scheme not in ("http", "https") or (url.scheme == "https" and target.scheme == "http"):
        raise InvalidManifest(f"the server redirected to {target.scheme}, which is not followed")
    return target


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.status != 200:
        raise InvalidManifest(f"the server answered {response.status}")
    if (encoding := response.headers.get("Content-Encoding", "identity").lower()) != "identity":
        raise InvalidManifest(f"the server answered with content encoding {encoding}, for which it was not asked")
    body = bytearray()
    while not response.content.at_eof() and len(body) <= MAX_BYTES:
        body += await response.content.read(MAX_BYTES + 1 - len(body))
    return bytes(body)


def _items(document: JsonObject) -> list[JsonObject]:
    """The pods of a PodList; an item of a list does not say what it is."""
    items = document.get("items") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidManifest("items is no list of pods")
    return [{**item, "apiVersion": "v1", "kind": "Pod"} for item in items]
