"""How long a streaming connection may be silent (`streamingConnectionIdleTimeout`)."""

import asyncio


class IdleTimer:
    """`seconds` 0: for ever."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()

    def touch(self) -> None:
        """Something was sent or received."""
        self._last = self._loop.time()

    async def expired(self) -> None:
        """Returns once nothing has happened for too long."""
        if not self._seconds:
            await self._loop.create_future()
        while True:
            left = self._last + self._seconds - self._loop.time()
            if left <= 0:
                return
            await asyncio.sleep(left)
