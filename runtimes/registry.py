"""RuntimeClass handler -> runtime. A node has many runtimes at once, each with its own image store.

Runtime types come from the built-in table given by the caller and from the entry point group `nodeagent.runtimes`, where
another package registers a factory under its type name (see `RuntimeFactory`).
"""

import importlib.metadata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runtimes.contract import ImageService, LocalStreaming, RuntimeService

ENTRY_POINT_GROUP = "nodeagent.runtimes"


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

    Raises ValueError with the offending field for settings it does not understand. `context` carries what the agent has to
    offer: state and run folders, the cgroup driver, the network provider, the shared image store.
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


class Registry:
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


def factories(built_in: Mapping[str, RuntimeFactory]) -> dict[str, RuntimeFactory]:
    """The built-in runtime types and those of installed packages; a package cannot replace a built-in type."""
    found: dict[str, RuntimeFactory] = {
        point.name: point.load() for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    }
    return {**found, **built_in}
