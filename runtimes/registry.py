"""RuntimeClass handler -> runtime. A node has many runtimes at once, each with its own image store.

A runtime type is a `RuntimeFactory`: built in, or of another package (runtimes/plugins.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runtimes.contract import ImageService, LocalStreaming, RuntimeService


class RuntimeLifecycle(Protocol):
    """What a runtime does when the agent comes and goes. Stopping never stops a pod."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One handler of this node.

    `cri_handler` is the handler name that the runtime itself expects in RunPodSandbox; `streaming` is None where exec,
    attach and port-forward go over a URL; `display_name` is what `containerID` starts with (`containerd://…`).
    """

    handler: str
    service: RuntimeService
    images: ImageService
    lifecycle: RuntimeLifecycle
    streaming: LocalStreaming | None
    cri_handler: str
    display_name: str


class RuntimeFactory(Protocol):
    """Makes the runtime of one configured handler. `settings` is the handler's mapping from the configuration file.

    Raises ValueError with the offending field for settings it does not understand. `context` is a `plugins.PluginContext`.
    Called once a handler and life of the agent, before `RuntimeLifecycle.start`; it must not block, nor start anything.
    """

    def __call__(self, handler: str, settings: Mapping[str, Any], context: Any) -> Runtime: ...


class UnknownHandler(LookupError):
    """No runtime is configured for a handler. The text names it and the handlers that exist."""

    def __init__(self, handler: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f'no runtime for handler "{handler}" is configured on this node; handlers: {", ".join(known) or "none"}'
        )
        self.handler = handler
        self.known = known


class RuntimeRegistry:
    """The runtimes of this node by handler name."""

    def __init__(self, runtimes: Mapping[str, Runtime], default_handler: str) -> None:
        if default_handler not in runtimes:
            raise UnknownHandler(default_handler, tuple(sorted(runtimes)))
        self._runtimes = dict(runtimes)
        self.default_handler = default_handler

    def get(self, handler: str) -> Runtime:
        """The runtime of `handler`; the empty name is the default. Raises UnknownHandler."""
        try:
            return self._runtimes[handler or self.default_handler]
        except KeyError:
            raise UnknownHandler(handler, self.handlers) from None

    @property
    def handlers(self) -> tuple[str, ...]:
        return tuple(sorted(self._runtimes))

    def __iter__(self) -> Iterator[Runtime]:
        return iter(self._runtimes.values())
