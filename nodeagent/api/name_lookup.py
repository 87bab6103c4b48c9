"""The API server's address, asked of the name servers."""

import socket
import time
from collections.abc import Callable

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from typing_extensions import override

# So long an answer counts: connections that are opened together share one question, and a server that moves is found at once.
CACHE_SECONDS = 2


class TimedResolver(ThreadedResolver):
    """As the C library resolves, with its hosts file and its order. `observe(host, seconds)` hears of each question."""

    def __init__(self, observe: Callable[[str, float], None]) -> None:
        super().__init__()
        self._observe = observe

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        began = time.monotonic()
        try:
            return await super().resolve(host, port, family)
        finally:
            self._observe(host, time.monotonic() - began)
