"""Which of several runtimes a request is for: by handler name, or by the id of a sandbox or a container."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import ImageService, RuntimeService
from runtimes.registry import Runtime, RuntimeRegistry, UnknownHandler

_Answer = TypeVar("_Answer", bound=Message)
_Found = TypeVar("_Found")


class Router:
    """The default runtime, and its store, come first. An id that no runtime knows goes to the default one, whose answer is then
    that of any CRI runtime.

    A runtime other than the default that could not be started yet is passed over; one that has answered before and does not any
    more is a failure of the whole, for what is not listed counts as gone.
    """

    def __init__(self, registry: RuntimeRegistry) -> None:
        self._registry = registry
        self.default = registry.get("")
        self.runtimes = (self.default, *(runtime for runtime in registry if runtime is not self.default))
        by_store = {id(runtime.images): runtime.images for runtime in self.runtimes}
        self.stores: tuple[ImageService, ...] = tuple(by_store.values())
        self._answered = {self.default.handler}

    def by_handler(self, handler: str) -> Runtime:
        """The empty name is the default. Raises InvalidArgument."""
        try:
            return self._registry.get(handler)
        except UnknownHandler as error:
            raise errors.InvalidArgument(str(error)) from error

    async def ask_all(
        self, verb: Callable[[RuntimeService], Callable[[Any], Awaitable[_Answer]]], request: Message
    ) -> list[tuple[Runtime, _Answer]]:
        """Each runtime's answer, the default's first. Raises RuntimeFault."""
        return await self.ask_each(lambda service: verb(service)(request))

    async def ask_each(self, ask: Callable[[RuntimeService], Awaitable[_Found]]) -> list[tuple[Runtime, _Found]]:
        """What each runtime says to whatever it is asked, the default first. Raises RuntimeFault."""
        answers = await asyncio.gather(*(ask(runtime.service) for runtime in self.runtimes), return_exceptions=True)
        found = []
        for runtime, answer in zip(self.runtimes, answers, strict=True):
            if not isinstance(answer, BaseException):
                self._answered.add(runtime.handler)
                found.append((runtime, answer))
            elif not self.never_up(runtime, answer):
                raise answer
        return found

    def never_up(self, runtime: Runtime, error: BaseException) -> bool:
        """That is why it cannot answer: it has not been started yet."""
        return isinstance(error, errors.Unavailable) and runtime.handler not in self._answered

    async def of_sandbox(self, sandbox_id: str) -> Runtime:
        """Raises InvalidArgument for the beginning of ids of several runtimes."""
        wanted = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        return await self._that_knows(sandbox_id, lambda runtime: runtime.service.pod_sandbox_status(wanted))

    async def of_container(self, container_id: str) -> Runtime:
        """Raises InvalidArgument for the beginning of ids of several runtimes."""
        wanted = cri.ContainerStatusRequest(container_id=container_id)
        return await self._that_knows(container_id, lambda runtime: runtime.service.container_status(wanted))

    async def _that_knows(self, subject: str, ask: Callable[[Runtime], Awaitable[object]]) -> Runtime:
        if len(self.runtimes) == 1:
            return self.default
        found = []
        for runtime in self.runtimes:
            try:
                await ask(runtime)
            except errors.NotFound:
                continue
            except errors.Unavailable as error:
                if self.never_up(runtime, error):
                    continue
                raise
            found.append(runtime)
        if len(found) > 1:
            names = ", ".join(runtime.handler for runtime in found)
            raise errors.InvalidArgument(f"{subject!r} is the beginning of several ids, of {names}: give more of it")
        return found[0] if found else self.default
