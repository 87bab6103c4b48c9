"""Several streams read as one, each only as fast as the consumer takes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

_AHEAD = 2  # chunks read before the consumer asks


async def merged(streams: dict[int, Callable[[], Awaitable[bytes]]]) -> AsyncIterator[tuple[int, bytes]]:
    """(stream number, chunk) as they come, until every stream has answered b"". An error of one ends all."""
    queue: asyncio.Queue[tuple[int, bytes | Exception]] = asyncio.Queue(_AHEAD)

    async def pump(number: int, read: Callable[[], Awaitable[bytes]]) -> None:
        try:
            while chunk := await read():
                await queue.put((number, chunk))
            await queue.put((number, b""))
        except Exception as error:
            await queue.put((number, error))

    tasks = [asyncio.get_running_loop().create_task(pump(number, read)) for number, read in streams.items()]
    try:
        left = len(tasks)
        while left:
            number, chunk = await queue.get()
            if isinstance(chunk, Exception):
                raise chunk
            if chunk:
                yield number, chunk
            else:
                left -= 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
