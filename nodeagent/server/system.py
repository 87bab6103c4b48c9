"""What the node shows of itself: its log folder at /logs/, and the verbosity of the agent's own log.

Source: docs/facts/api-client-and-server.md J.3, J.4.
"""

import asyncio
import html
import logging
import mimetypes
import os
import stat
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from nodeagent.server.sent_file import send_file
from runtimes.linux import syscalls

_DEBUG_VERBOSITY = 4  # as kube components count: from here on they tell what they do
_MAX_BODY_BYTES = 1024


class SystemHandlers:
    """`logs_dir`: the node's log folder; what links lead to outside of it is not shown."""

    def __init__(self, logs_dir: Path) -> None:
        self._logs_dir = logs_dir

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """A file, with ranges, or a folder as a list of links."""
        try:
            fd = await asyncio.to_thread(self._open, request.match_info["path"])
        except (OSError, ValueError):
            raise web.HTTPNotFound from None
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                return await asyncio.to_thread(_listing, request.path, fd)
            if not stat.S_ISREG(mode):
                raise web.HTTPNotFound
            kind, _ = mimetypes.guess_type(request.path)
            return await send_file(request, fd, kind or "text/plain; charset=utf-8")
        finally:
            os.close(fd)

    def _open(self, path: str) -> int:
        """Links within the folder are resolved first; the way that is left has none, also should somebody change it now."""
        root = self._logs_dir.resolve()
        within = (root / path.lstrip("/")).resolve().relative_to(root)
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
            return syscalls.openat2(root_fd, within, os.O_RDONLY | os.O_NONBLOCK, resolve=resolve)
        finally:
            os.close(root_fd)

    async def set_verbosity(self, request: web.Request) -> web.Response:
        """The body is a number: from 4 on the agent tells everything."""
        text = (await request.content.read(_MAX_BODY_BYTES)).decode(errors="replace").strip()
        try:
            verbosity = int(text)
        except ValueError:
            return web.Response(status=400, text=f"failed to set klog.logging.verbosity: {text!r} is no number\n")
        logging.getLogger().setLevel(logging.DEBUG if verbosity >= _DEBUG_VERBOSITY else logging.INFO)
        return web.Response(text=f"successfully set klog.logging.verbosity to {verbosity}")


def _listing(path: str, fd: int) -> web.StreamResponse:
    if not path.endswith("/"):
        return web.Response(status=301, headers={"Location": f"{quote(path.rsplit('/', 1)[1])}/"})
    with os.scandir(fd) as entries:
        names = sorted(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries)
    lines = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return web.Response(text=f"<!doctype html>\n<pre>\n{lines}</pre>\n", content_type="text/html")
