"""Static pods from a URL. Source: facts pod-lifecycle 1.1."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import aiohttp
from lightkube.models.core_v1 import Pod

from nodeagent.sources.manifest import MAX_BYTES, InvalidManifest, Json, StaticRules, decode, static_pod
from nodeagent.sources.merger import HTTP, PodMerger

log = logging.getLogger(__name__)

PERIOD_SECONDS = 20.0
TIMEOUT_SECONDS = 10.0


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
    ) -> None:
        self._url = url
        self._merger = merger
        self._rules = rules
        self._headers = [(key, value) for key, values in (headers or {}).items() for value in values]
        self._period_seconds = period_seconds
        self._body: bytes | None = None
        self._complaint = ""

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session:
            while True:
                await self.poll(session)
                await asyncio.sleep(self._period_seconds)

    async def poll(self, session: aiohttp.ClientSession) -> None:
        """Ask once and deliver what changed."""
        try:
            body = await self._fetch(session)
            if body != self._body:
                self._merger.replace(HTTP, self._pods(body))
                self._body = body
        except (aiohttp.ClientError, OSError, InvalidManifest) as error:
            text = str(error) or type(error).__name__
            level = logging.DEBUG if text == self._complaint else logging.ERROR
            log.log(level, "static pods from %s: %s; keeping those known", self._url, text)
            self._complaint = text
        else:
            self._complaint = ""

    async def _fetch(self, session: aiohttp.ClientSession) -> bytes:
        async with session.get(self._url, headers=self._headers) as response:
            if response.status != 200:
                raise InvalidManifest(f"the server answered {response.status}")
            body = await response.content.read(MAX_BYTES + 1)
            while not response.content.at_eof() and len(body) <= MAX_BYTES:
                body += await response.content.read(MAX_BYTES + 1 - len(body))
            return body

    def _pods(self, body: bytes) -> list[Pod]:
        if not body:
            return []
        document = decode(body)
        items: list[Json] = [document]
        if document.get("kind") == "PodList":
            # an item of a list does not say what it is
            items = [{**item, "apiVersion": "v1", "kind": "Pod"} for item in document.get("items") or ()]
        return [static_pod(item, self._url, self._rules) for item in items]
