"""An OpenTelemetry collector: the trace service of OTLP over gRPC, which keeps what it is sent."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from typing_extensions import override


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """As it arrived. `parent` empty: the first of its trace. `resource`: who has sent it."""

    name: str
    trace: bytes
    id: bytes
    parent: bytes
    failed: bool
    message: str
    began: int
    ended: int
    attributes: dict[str, str]
    resource: dict[str, str]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self.endpoint = ""

    @property
    def spans(self) -> list[Span]:
        with self._lock:
            return list(self._spans)

    def named(self, name: str, attributes: Mapping[str, str] | None = None) -> list[Span]:
        """Those that have these attributes among theirs."""
        wanted = (attributes or {}).items()
        return [span for span in self.spans if span.name == name and wanted <= span.attributes.items()]

    def child(self, parent: Span, name: str) -> Span | None:
        return next((span for span in self.named(name) if (span.trace, span.parent) == (parent.trace, parent.id)), None)

    @override
    def Export(self, request: Any, context: Any) -> Any:  # the service's own name
        with self._lock:
            for group in request.resource_spans:
                resource = _texts(group.resource.attributes)
                self._spans += [_span(span, resource) for scope in group.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """One that listens on a free port of this machine."""
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)  # type: ignore[no-untyped-call]
    made.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield made
    finally:
        server.stop(None).wait(10)


def _span(span: Any, resource: dict[str, str]) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id,
        id=span.span_id,
        parent=span.parent_span_id,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        message=span.status.message,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_texts(span.attributes),
        resource=resource,
    )


def _texts(attributes: Any) -> dict[str, str]:
    return {item.key: item.value.string_value for item in attributes}
