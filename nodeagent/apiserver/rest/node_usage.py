"""What nodes and their containers use, from each node's own /metrics/resource: asked for when somebody wants to know.

A node tells what was used altogether; how much that is a second takes two readings. Who asks again within a minute gets the
mean since then; who comes after longer waits for a second reading.
Source: docs/facts/node-resources.md 7.3.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.node_client import NodeClient, unreachable
from runtimes.linux.tasks import SingleFlight

PATH = "/metrics/resource"
MIN_WINDOW_SECONDS = 1.2  # a node's own figures are up to a second old
MAX_WINDOW_SECONDS = 60.0
_DEADLINE_SECONDS = 10.0
_MAX_BYTES = 32 << 20
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Of:
    """Whose figures they are: one container's, or the node's (all empty)."""

    namespace: str = ""
    pod: str = ""
    container: str = ""


NODE = Of()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`at`, `started` 0: not known. Times in seconds since the epoch."""

    at: float = 0.0
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    started: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """`at`: when its window ended, in seconds since the epoch."""

    cpu_nano_cores: int
    memory_bytes: int
    at: float
    window_seconds: float


def parse(text: str) -> Mapping[Of, Reading]:
    """A node's /metrics/resource. Raises ValueError."""
    found: dict[Of, Reading] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            scope, _, figure = sample.name.partition("_")
            if scope not in ("node", "container"):
                continue
            labels = sample.labels
            of = Of(
                namespace=labels.get("namespace", ""), pod=labels.get("pod", ""), container=labels.get("container", "")
            )
            found[of] = _with(found.get(of, Reading()), figure, sample)
    return found


def _with(reading: Reading, figure: str, sample: Sample) -> Reading:
    match figure:
        case "cpu_usage_seconds_total":
            return replace(reading, cpu_seconds=sample.value, at=float(sample.timestamp or 0.0))
        case "memory_working_set_bytes":
            return replace(reading, memory_bytes=int(sample.value))
        case "start_time_seconds":
            return replace(reading, started=sample.value)
    return reading


def usages(before: Mapping[Of, Reading], after: Mapping[Of, Reading]) -> Mapping[Of, Usage]:
    """Between two readings. What began between them is measured from its start; of what is not known twice there is nothing."""
    found: dict[Of, Usage] = {}
    for of, now in after.items():
        then = before.get(of)
        if then is None or then.started != now.started:  # another container than before, under the same name
            then = Reading(at=now.started, cpu_seconds=0.0) if now.started else Reading()
        if now.cpu_seconds is None or then.cpu_seconds is None or now.memory_bytes is None:
            continue
        window, used = now.at - then.at, now.cpu_seconds - then.cpu_seconds
        if window > 0 and used >= 0:
            cores = round(used / window * _NANO)
            found[of] = Usage(cpu_nano_cores=cores, memory_bytes=now.memory_bytes, at=now.at, window_seconds=window)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The last reading of a node, when it was taken by the clock, and what was told of it."""

    at: float
    reading: Mapping[Of, Reading]
    usages: Mapping[Of, Usage]


class NodeUsage:
    """Asks nodes, one question at a time to each, whoever waits for the answer."""

    def __init__(
        self,
        nodes: NodeClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._nodes = nodes
        self._clock = clock
        self._sleep = sleep
        self._kept: dict[str, _Kept] = {}
        self._flight: SingleFlight[str, Mapping[Of, Usage]] = SingleFlight()

    async def read(self, node: str) -> Mapping[Of, Usage]:
        """Raises `ApiError`: the node is not there, does not answer, or answers something else."""
        return await self._flight.join(node, lambda: self._read(node))

    async def _read(self, node: str) -> Mapping[Of, Usage]:
        now = self._clock()
        self._kept = {name: kept for name, kept in self._kept.items() if now - kept.at < MAX_WINDOW_SECONDS}
        kept = self._kept.get(node)
        if kept is not None and now - kept.at < MIN_WINDOW_SECONDS:
            return kept.usages
        before = kept.reading if kept is not None else await self._ask(node)
        if kept is None:
            await self._sleep(MIN_WINDOW_SECONDS)
        reading = await self._ask(node)
        found = usages(before, reading)
        self._kept[node] = _Kept(at=self._clock(), reading=reading, usages=found)
        return found

    async def _ask(self, node: str) -> Mapping[Of, Reading]:
        endpoint = self._nodes.endpoint(node)
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                answer = await self._nodes.request("GET", endpoint, PATH, (), None)
                async with answer:
                    if answer.status != 200:
                        raise ApiError.internal(f"node {node} answers {answer.status} to {PATH}")
                    body = await _whole(answer)
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            raise unreachable(endpoint, error) from error
        try:
            return await asyncio.to_thread(parse, body.decode())
        except ValueError as error:
            raise ApiError.internal(f"{PATH} of node {node} cannot be read: {error}") from error


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _MAX_BYTES:
            raise ApiError.internal(f"{PATH} of a node is larger than {_MAX_BYTES} bytes")
    return bytes(body)
