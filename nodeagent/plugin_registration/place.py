"""One registration socket, for as long as there is one at its path: the plugin behind it is registered, again when it is
replaced, and let go when it vanishes.

    hello ─> registered ──> socket gone or replaced ─> deregister
      └── refused, no answer: again, ever more seldom

Source: docs/facts/storage.md 10.1.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from csi.errors import presentable
from nodeagent.plugin_registration.contract import HandshakeFailed, Plugin, PluginHandler, PluginRefused
from nodeagent.plugin_registration.sockets import HeldSocket, Identity
from runtimes.linux.retry import Backoff, RetryPolicy
from runtimes.linux.tasks import end_tasks

log = logging.getLogger(__name__)

RETRY = RetryPolicy(first_seconds=0.5, cap_seconds=122.0)


class Talk(Protocol):
    """What a handshake has (`handshake.Handshake`)."""

    async def ask(self) -> Plugin: ...

    async def tell(self, *, registered: bool, error: str = "") -> None: ...


Connect = Callable[[Path], AbstractAsyncContextManager[Talk]]


def handshake(socket: Path) -> AbstractAsyncContextManager[Talk]:
    """With the plugin behind a socket (`handshake.connected`)."""
    # gRPC takes 10 MB, which a node without plugins need not have
    from nodeagent.plugin_registration.handshake import connected

    return connected(socket)


class Place:
    """`run` until nothing is there any more. `freed` is called when a plugin was let go: another of its name may come in now.

    `tell(text)`: why it is not registered; empty: it is, or is gone.
    """

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, PluginHandler],
        freed: Callable[[], None],
        tell: Callable[[str], None],
        connect: Connect = handshake,
        retry: RetryPolicy = RETRY,
    ) -> None:
        self._path = path
        self._handlers = handlers
        self._freed = freed
        self._tell = tell
        self._connect = connect
        self._retry = retry
        self._socket: HeldSocket | None = None
        self._changed = asyncio.Event()
        self._again = asyncio.Event()
        self.plugin: Plugin | None = None
        self._trouble = ""

    def see(self, identity: Identity | None) -> None:
        """What is there now; None: nothing."""
        if self.identity == identity:
            return
        self.close()
        if identity is not None:
            with contextlib.suppress(OSError):  # gone again
                self._socket = HeldSocket(self._path)
        self._changed.set()

    def try_again(self) -> None:
        self._again.set()

    @property
    def identity(self) -> Identity | None:
        return self._socket.identity if self._socket is not None else None

    async def run(self) -> None:
        """Cancelled when the agent leaves: the plugin stays registered, as its volumes stay mounted."""
        while True:
            self._changed.clear()
            if self.identity is None:
                return
            registering = asyncio.create_task(self._keep_registered(), name=f"plugin at {self._path}")
            try:
                await self._changed.wait()
            finally:
                await end_tasks(registering)
            await self._let_go()
            self._told("")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _keep_registered(self) -> None:
        backoff = Backoff(self._retry)
        while not await self._register():
            self._again.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next_delay()):
                    await self._again.wait()

    async def _register(self) -> bool:
        try:
            async with self._connect(self._path) as talk:
                plugin = await talk.ask()
                error = await self._taken(plugin)
                try:
                    await talk.tell(registered=not error, error=error)
                except HandshakeFailed:
                    await self._let_go()
                    raise
        except HandshakeFailed as failure:
            error = str(failure)
        self._told(error)
        return not error

    def _told(self, trouble: str) -> None:
        if trouble == self._trouble:  # not again with every attempt
            return
        self._trouble = trouble
        self._tell(trouble)
        if trouble:
            log.warning("plugin at %s: %s", self._path, trouble)

    async def _taken(self, plugin: Plugin) -> str:
        """Hand it to those of its type; returns what is wrong with it, or empty."""
        handler = self._handlers.get(plugin.type)
        if handler is None:
            kind = presentable(plugin.type[:64])
            return f"RegisterPlugin error -- no handler registered for plugin type: {kind} at socket {self._path}"
        try:
            handler.validate(plugin)
        except PluginRefused as refused:
            return f"RegisterPlugin error -- plugin validation failed with err: {refused}"
        self.plugin = plugin  # half of it is undone, too
        try:
            await handler.register(plugin)
        except PluginRefused as refused:
            error = str(refused)
        except Exception as bug:  # of one type's handler: the other plugins have no part in it
            log.exception("plugin at %s", self._path)
            error = type(bug).__name__
        else:
            error = ""
        if error:
            await self._let_go()
            return f"RegisterPlugin error -- plugin registration failed with err: {error}"
        log.info("registered %s %s at %s", plugin.type, plugin.name, presentable(plugin.endpoint))
        return ""

    async def _let_go(self) -> None:
        if (plugin := self.plugin) is not None:
            log.info("%s %s at %s is let go", plugin.type, plugin.name, self._path)
            await self._handlers[plugin.type].deregister(plugin)
            self.plugin = None
            self._freed()
