"""Spans sent to an OpenTelemetry collector (OTLP over gRPC), in batches, by a thread of their own.

Imported only where traces are configured: its packages are an extra (`nodeagent[tracing]`), and 6 MB.
Source: docs/facts/node-resources.md 1.2 (tracing); names of spans and attributes are OpenTelemetry's and a kubelet's.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from typing_extensions import override

from nodeagent.api.outage import Outage
from nodeagent.tracing.tracer import Tracer
from nodeagent.version import agent_version
from runtimes.boundary import IMAGE_VERBS
from runtimes.trace_context import TRACE_HEADERS

DEFAULT_ENDPOINT = "localhost:4317"
EXPORT_SECONDS = 5.0
PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Where they go, as gRPC names it ("host:port", "dns:///…", "unix:///…"), and how many of a million are taken."""

    endpoint: str
    per_million: int
    node_name: str


class OTLPTracer(Tracer):
    """`close` it; that blocks, up to some seconds."""

    def __init__(self, traces: Traces) -> None:
        self._exporter = _Exporter(traces.endpoint or DEFAULT_ENDPOINT, asyncio.get_running_loop())
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(traces.per_million / PER_MILLION)),
            resource=Resource.create(
                {
                    "service.name": "kubelet",
                    "service.version": agent_version(),
                    "service.instance.id": traces.node_name,
                    "k8s.node.name": traces.node_name,
                }
            ),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("nodeagent")
        self._propagator = TraceContextTextMapPropagator()

    @override
    def span(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[object]:
        return self._tracer.start_as_current_span(name, attributes=attributes)

    @override
    def call(self, verb: str, request: Any) -> AbstractContextManager[object]:
        """What no pod's way leads to, such as a look at the runtime's state, is no trace of its own."""
        if not trace.get_current_span().get_span_context().is_valid:
            return contextlib.nullcontext()
        service = f"runtime.v1.{'ImageService' if verb in IMAGE_VERBS else 'RuntimeService'}"
        return self._called(service, type(request).__name__.removesuffix("Request"))

    @contextlib.contextmanager
    def _called(self, service: str, method: str) -> Iterator[None]:
        """The runtime is told also of a trace that is not taken: it is not to take its part of it."""
        with self._tracer.start_as_current_span(
            f"{service}/{method}",
            kind=trace.SpanKind.CLIENT,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
            record_exception=False,
        ):
            headers: dict[str, str] = {}
            self._propagator.inject(headers)
            before = TRACE_HEADERS.set(tuple(headers.items()))
            try:
                yield
            finally:
                TRACE_HEADERS.reset(before)

    def close(self) -> None:
        """Send what there is; a collector that is away is not asked again."""
        self._exporter.closing.set()
        self._provider.shutdown()


class _Exporter(SpanExporter):
    """Runs in the batches' thread. A collector that is away costs the spans of that time, and a line a minute in the log."""

    def __init__(self, endpoint: str, loop: asyncio.AbstractEventLoop) -> None:
        # it tells of every attempt; the one line of ours says as much
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._inner = OTLPSpanExporter(endpoint=endpoint, insecure=True, timeout=EXPORT_SECONDS)
        self._outage = Outage(f"traces to {endpoint}")
        self._loop = loop
        self._away = False
        self.closing = threading.Event()

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._away and self.closing.is_set():
            return SpanExportResult.FAILURE
        result = self._inner.export(spans)
        self._away = result is not SpanExportResult.SUCCESS
        if self._away:
            self._tell(self._outage.failed, f"{len(spans)} spans are lost: the collector does not take them")
        else:
            self._tell(self._outage.works)
        return result

    @override
    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Nothing waits here."""
        return True

    @override
    def shutdown(self) -> None:
        self._inner.shutdown()
        self._tell(self._outage.close)

    def _tell(self, what: Callable[..., None], *words: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(what, *words)
