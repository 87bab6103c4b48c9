"""A file as an answer, read from the descriptor that was checked and from nothing else: no path is opened again."""

import asyncio
import os
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web

PIECE_BYTES = 256 * 1024


async def send_file(request: web.Request, fd: int, content_type: str) -> web.StreamResponse:
    """All of it, a part (Range), or 304 when it has not changed since. `fd` is a regular file and stays the caller's.

    A file that shrinks meanwhile ends the connection: nothing is put in the place of what is missing.
    """
    found = os.fstat(fd)
    changed = datetime.fromtimestamp(int(found.st_mtime), UTC)
    headers = {
        "Content-Type": content_type,
        "Accept-Ranges": "bytes",
        "Last-Modified": format_datetime(changed, usegmt=True),
    }
    since = request.if_modified_since
    if since is not None and changed <= since:
        return web.Response(status=304, headers=headers)
    status, start, end = 200, 0, found.st_size
    if "Range" in request.headers:
        try:
            wanted = request.http_range
        except ValueError:
            return _no_such_range(found.st_size)
        if wanted.start is not None or wanted.stop is not None:
            start, end, _ = slice(wanted.start, wanted.stop).indices(found.st_size)
            if start >= end:
                return _no_such_range(found.st_size)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.st_size}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    await response.prepare(request)
    while start < end and request.method != "HEAD":
        piece = await asyncio.to_thread(os.pread, fd, min(PIECE_BYTES, end - start), start)
        if not piece:
            if request.transport is not None:
                request.transport.abort()
            break
        await response.write(piece)
        start += len(piece)
    await response.write_eof()
    return response


def _no_such_range(size_bytes: int) -> web.Response:
    return web.Response(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
