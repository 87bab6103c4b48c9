"""What a collector gets of a pod's way."""

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
from configured import config
from otlp_collector import Collector, collector

from nodeagent.assembly.tracing import start_tracing
from nodeagent.errors import AgentStartError
from nodeagent.pods.step_runs import StepRuns, Verb
from nodeagent.podspec.pod import PodUID
from nodeagent.tracing import otlp
from nodeagent.tracing.otlp import OTLPTracer, Traces
from nodeagent.tracing.tracer import NO_TRACES
from proto import cri_pb2 as cri
from runtimes.cri.factory import cri_runtime
from runtimes.errors import NotFound
from runtimes.plugins import factories
from runtimes.trace_context import TRACE_HEADERS

UID = PodUID("uid-1")


@pytest.fixture
def collecting() -> Iterator[Collector]:
    with collector() as made:
        yield made


def tracer(endpoint: str, per_million: int = 1_000_000) -> OTLPTracer:
    return OTLPTracer(Traces(endpoint=endpoint, per_million=per_million, node_name="n"))


@contextlib.asynccontextmanager
async def version_server(socket: Path, answer: Any) -> AsyncIterator[None]:
    """A CRI server that has this verb alone."""
    verb = grpc.unary_unary_rpc_method_handler(
        answer, cri.VersionRequest.FromString, lambda message: message.SerializeToString()
    )
    server = grpc.aio.server()
    service = grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", {"Version": verb})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def a_way(made: OTLPTracer) -> None:
    """A pass with two steps side by side, one of which calls a runtime, and one of which fails."""
    runs = StepRuns(tracer=made)

    async def sandbox() -> None:
        with made.call("run_pod_sandbox", cri.RunPodSandboxRequest()):
            pass
        with contextlib.suppress(NotFound), made.call("pull_image", cri.PullImageRequest()):
            raise NotFound("no such image")

    async def volumes() -> None:
        raise ValueError("no such disk")

    with made.span("syncPod", {"k8s.pod.uid": UID}):
        steps = [runs.record("sandbox", Verb.RUN, UID, sandbox), runs.record("volumes", Verb.RUN, UID, volumes)]
        await asyncio.gather(*steps, return_exceptions=True)


async def test_the_steps_and_calls_of_a_pass_are_one_trace(collecting: Collector) -> None:
    """Steps within the pass, calls within their step, with times, names and failures; and who has sent them."""
    made = tracer(collecting.endpoint)
    await a_way(made)
    await asyncio.to_thread(made.close)
    (whole,) = collecting.named("syncPod", {"k8s.pod.uid": UID})
    assert not whole.parent
    sandbox, volumes = collecting.child(whole, "run sandbox"), collecting.child(whole, "run volumes")
    assert sandbox is not None and volumes is not None
    assert (sandbox.failed, volumes.failed) == (False, True)
    assert volumes.message == "ValueError: no such disk"
    ran = collecting.child(sandbox, "runtime.v1.RuntimeService/RunPodSandbox")
    pulled = collecting.child(sandbox, "runtime.v1.ImageService/PullImage")
    assert ran is not None and pulled is not None
    assert (ran.failed, pulled.failed, pulled.message) == (False, True, "NotFound: no such image")
    assert sandbox.began <= ran.began <= ran.ended <= pulled.began <= pulled.ended <= sandbox.ended
    assert ran.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "runtime.v1.RuntimeService",
        "rpc.method": "RunPodSandbox",
    }
    assert (whole.resource["service.name"], whole.resource["k8s.node.name"]) == ("kubelet", "n")
    assert len({span.trace for span in collecting.spans}) == 1


async def test_calls_that_no_pod_asked_for_are_no_traces(collecting: Collector) -> None:
    """A runtime is looked at every few seconds."""
    made = tracer(collecting.endpoint)
    with made.call("status", cri.StatusRequest()):
        assert TRACE_HEADERS.get() == ()
    await a_way(made)
    await asyncio.to_thread(made.close)
    assert not collecting.named("runtime.v1.RuntimeService/Status")
    assert collecting.named("syncPod")


async def test_a_share_of_the_passes_is_taken_whole_or_not_at_all(collecting: Collector) -> None:
    """Half of a million: some, not all, and each that is taken has its five spans."""
    made = tracer(collecting.endpoint, 500_000)
    for _ in range(64):
        await a_way(made)
    await asyncio.to_thread(made.close)
    assert 0 < len(collecting.named("syncPod")) < 64
    assert len(collecting.spans) == 5 * len(collecting.named("syncPod"))


@pytest.mark.parametrize("sampled", [True, False])
async def test_a_runtime_behind_a_socket_goes_on_with_the_trace(
    collecting: Collector, tmp_path: Path, sampled: bool
) -> None:
    """Its call carries a W3C traceparent: the trace, the call's own span, and whether it is taken. A call outside has none."""
    made = tracer(collecting.endpoint, 1_000_000 if sampled else 0)
    heard: list[str | None] = []

    async def answer(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> cri.VersionResponse:
        heard.append(dict(context.invocation_metadata() or ()).get("traceparent"))
        return cri.VersionResponse(version="0.1.0", runtime_api_version="v1")

    async with version_server(tmp_path / "s", answer):
        factory = factories({"cri": cri_runtime}, scope=made.call)["cri"]
        runtime = factory("containerd", {"endpoint": f"unix://{tmp_path / 's'}"}, None)
        await runtime.service.version(cri.VersionRequest())
        with made.span("syncPod", {"k8s.pod.uid": UID}):
            await runtime.service.version(cri.VersionRequest())
        await runtime.lifecycle.stop()
    await asyncio.to_thread(made.close)
    outside, told = heard
    assert outside is None and told is not None
    version, trace, parent, flags = told.split("-")
    assert (version, bool(int(flags, 16) & 1)) == ("00", sampled)
    ours = [(span.trace.hex(), span.id.hex()) for span in collecting.named("runtime.v1.RuntimeService/Version")]
    assert ours == ([(trace, parent)] if sampled else [])


async def test_a_collector_that_is_away_is_told_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods are not held up; the agent's end is not either; the log has one line, not one an attempt."""
    monkeypatch.setattr(otlp, "EXPORT_SECONDS", 0.1)
    made = tracer("127.0.0.1:1")
    for _ in range(3):
        await a_way(made)
        await asyncio.to_thread(made._exporter.export, ())
    await asyncio.to_thread(made.close)
    await asyncio.sleep(0)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == ["traces to 127.0.0.1:1: 0 spans are lost: the collector does not take them"]


def test_an_agent_without_traces_has_none_of_its_packages() -> None:
    """Neither their memory nor their time: the whole agent is imported, and not one of them."""
    code = "import sys, nodeagent.main; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("tracing", [None, {}, {"endpoint": "localhost:1", "samplingRatePerMillion": 0}])
async def test_nothing_is_loaded_where_none_are_wanted(tmp_path: Path, tracing: Any) -> None:
    """Not configured, or none of a million: the null object."""
    scope: Any = None
    assert await start_tracing(scope, config(tmp_path, tracing=tracing)) is NO_TRACES


async def test_packages_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent does not start without what is configured, and says what to install."""
    monkeypatch.setitem(sys.modules, "nodeagent.tracing.otlp", None)
    scope: Any = SimpleNamespace()
    with pytest.raises(AgentStartError, match=r"pip install 'nodeagent\[tracing\]'"):
        await start_tracing(scope, config(tmp_path, tracing={"samplingRatePerMillion": 5}))
