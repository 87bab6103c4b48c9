"""What is told of a pod's way while it is gone: spans, one within the other."""

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from typing_extensions import override


class Tracer(Protocol):
    """Used on the event loop. The span that is open in a task is that of the tasks which it starts, too."""

    def span(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[object]:
        """Open a span for as long as the body takes, within the one that is open; what the body raises is its status."""
        ...

    def call(self, verb: str, request: Any) -> AbstractContextManager[object]:
        """A runtime's verb, while it is under way: a span within the one that is open, if any, which the runtime hears of
        (`runtimes.trace_context`). A `runtimes.boundary.VerbScope`."""
        ...


class NoTraces(Tracer):
    """Nobody asks for any."""

    @override
    def span(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[object]:
        return _NOTHING

    @override
    def call(self, verb: str, request: Any) -> AbstractContextManager[object]:
        return _NOTHING


_NOTHING = contextlib.nullcontext()
NO_TRACES = NoTraces()
