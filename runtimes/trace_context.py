"""The trace that the verb under way belongs to, as W3C headers: who speaks to a runtime over a wire hands them on.

Source: W3C Trace Context (`traceparent`, `tracestate`). Set by whoever traces (`runtimes.boundary.VerbScope`).
"""

from contextvars import ContextVar

TraceHeaders = tuple[tuple[str, str], ...]

TRACE_HEADERS: ContextVar[TraceHeaders] = ContextVar("trace headers", default=())
