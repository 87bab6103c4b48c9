"""What the node shows of itself: its log folder at /logs/, the logs of its services, and the verbosity of the agent's own log.

Source: docs/facts/api-client-and-server.md J.3, J.4.
"""

import asyncio
import html
import logging
import mimetypes
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from aiohttp import hdrs, web

from nodeagent.server.journal import Journal
from nodeagent.server.node_log_query import BadQuery, LogFilter, NodeLogQuery, node_log_query
from nodeagent.server.sent_file import PIECE_BYTES, send_file
from runtimes.linux import syscalls

_DEBUG_VERBOSITY = 4  # as kube components count: from here on they tell what they do
_MAX_BODY_BYTES = 1024


class SystemHandlers:
    """`logs_dir`: the node's log folder; what links lead to outside of it is not shown. `journal` None: no service's log can be
    asked for."""

    def __init__(self, logs_dir: Path, journal: Journal | None = None) -> None:
        self._logs_dir = logs_dir
        self._journal = journal

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """A file, with ranges, or a folder as a list of links; or what the query asks for."""
        path = request.match_info.get("path", "")
        query = None
        if self._journal is not None:
            try:
                query = node_log_query(request.query, datetime.now(UTC))
            except BadQuery as error:
                return web.Response(status=error.status, text=f"{error}\n")
        if query is None:
            return await self._folder(request, path) if "path" in request.match_info else _to_folder()
        if path:
            return web.Response(status=406, text="path not allowed in query mode\n")
        if query.services:
            return await self._services(request, query)
        return await self._folder(request, query.file)

    async def _folder(self, request: web.Request, path: str) -> web.StreamResponse:
        try:
            fd = await asyncio.to_thread(self._open, path)
        except (OSError, ValueError):
            raise web.HTTPNotFound from None
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                return await asyncio.to_thread(_listing, request.path, fd)
            if not stat.S_ISREG(mode):
                raise web.HTTPNotFound
            kind, _ = mimetypes.guess_type(path)
            return await send_file(request, fd, kind or "text/plain; charset=utf-8")
        finally:
            os.close(fd)

    async def _services(self, request: web.Request, query: NodeLogQuery) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain;charset=UTF-8"})
        if request.headers.get(hdrs.ACCEPT_ENCODING) == "gzip":
            response.enable_compression(web.ContentCoding.gzip)
        response.enable_chunked_encoding()
        await response.prepare(request)
        async with aclosing(self._service_logs(query)) as pieces:
            async for piece in pieces:
                await response.write(piece)
        await response.write_eof()
        return response

    async def _service_logs(self, query: NodeLogQuery) -> AsyncGenerator[bytes, None]:
        """From the journal those that it knows; the others' from their files, of which all is given or nothing."""
        assert self._journal is not None
        known = await self._journal.units()
        journaled = [name for name in query.services if not known.isdisjoint((name, f"{name}.service"))]
        others = [name for name in query.services if name not in journaled]
        if journaled:
            async with aclosing(self._journal.lines(journaled, query.filter)) as pieces:
                async for piece in pieces:
                    yield piece
        if others and query.filter != LogFilter():
            text = f"options present and query resolved to log files for [{' '.join(others)}]\ntry without specifying options"
            yield f"\n{text}\n".encode()
            return
        for name in others:
            async with aclosing(self._file_of(name)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _file_of(self, service: str) -> AsyncGenerator[bytes, None]:
        for path in (service, f"{service}.log", f"{service}/{service}.log"):
            try:
                fd = await asyncio.to_thread(self._open, path)
            except (OSError, ValueError):
                continue
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    continue
                while piece := await asyncio.to_thread(os.read, fd, PIECE_BYTES):
                    yield piece
                return
            finally:
                os.close(fd)
        yield f"\nlog not found for {service}\n".encode()

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


def _to_folder() -> web.StreamResponse:
    return web.Response(status=301, headers={"Location": "/logs/"})
