"""Traces of the pods' ways, where they are configured."""

import asyncio

from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.errors import AgentStartError
from nodeagent.tracing.tracer import NO_TRACES, Tracer


async def start_tracing(scope: Scope, config: Config) -> Tracer:
    """Raises AgentStartError where the packages for it are missing."""
    kubelet = config.kubelet
    if kubelet.tracing is None or not kubelet.tracing.samplingRatePerMillion:
        return NO_TRACES
    try:
        from nodeagent.tracing.otlp import OTLPTracer, Traces
    except ImportError as error:
        raise AgentStartError(
            f"tracing is configured, and cannot be: {error} (pip install 'nodeagent[tracing]')"
        ) from error
    traces = Traces(
        endpoint=kubelet.tracing.endpoint,
        per_million=kubelet.tracing.samplingRatePerMillion,
        node_name=config.node_name,
    )
    tracer = OTLPTracer(traces)

    async def close() -> None:
        await asyncio.to_thread(tracer.close)

    scope.stack.push_async_callback(close)
    return tracer
