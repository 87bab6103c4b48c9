"""What a client sent, held for a receiver that may be slow: so that the client's pings are answered meanwhile."""

import asyncio
from collections import deque

_MAX_BYTES = 1024 * 1024


class ByteQueue:
    """Bounded by bytes: a full queue makes the sender wait. b"" is the end."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._items: deque[bytes] = deque()
        self._bytes = 0
        self._changed = asyncio.Condition()

    async def put(self, data: bytes) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._bytes < self._max_bytes)
            self._items.append(data)
            self._bytes += len(data)
            self._changed.notify_all()

    async def get(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: self._items)
            data = self._items.popleft()
            self._bytes -= len(data)
            self._changed.notify_all()
            return data
