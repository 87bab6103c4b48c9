"""What a runtime costs: the same work in a pod and on the bare host, the time until a pod runs, the memory of an idle one."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from nodeagent.isolation.contract import Experiment, PodRequest, Stage, StageError
from nodeagent.isolation.experiments.pods import DEADLINE_SECONDS, LAYER, PORT, SCRATCH, limited, scratch
from nodeagent.isolation.probe.output import facts_of

WORKLOADS = ("calls", "switches", "work", "spawn")
_SERVER = "server"
_ON_DISK = (
    "/var/tmp"  # where the layers and volumes of pods are as well; files there have no name while they are worked on
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """`ms`: of a run of one workload. `starts`: pods whose start is timed. `idle`: pods whose memory is looked at."""

    runs: int
    ms: int
    starts: int
    idle: int


FULL = Length(runs=10, ms=40, starts=7, idle=3)
QUICK = Length(runs=6, ms=12, starts=3, idle=2)


@dataclass(frozen=True, slots=True)
class Costs(Experiment):
    """It finds `pod` and `host`: section -> name -> runs (as the probe program tells them; host: before and after the pod);
    `start` and `memory`: `pod` and `host` -> runs, in milliseconds and bytes; `memory.of`: program -> bytes of one pod.
    """

    @property
    @override
    def name(self) -> str:
        return "costs"

    @property
    @override
    def about(self) -> str:
        return (
            "pods that start, idle and work (calls, switches, memory, processes, files, TCP to a pod and to the host), and the "
            "same work on the host before and after"
        )

    @override
    async def run(self, stage: Stage) -> Mapping[str, Any]:
        length = QUICK if stage.quick else FULL
        start = {"pod": await _starts(stage, length.starts), "host": await _host_starts(stage, length.starts)}
        memory = await _memory(stage, length.idle)
        pod, host = await _work(stage, length)
        return {"start": start, "memory": memory, "pod": pod, "host": host}


async def _starts(stage: Stage, count: int) -> Sequence[float]:
    """Milliseconds from asking for a pod to the first instruction of its program, one pod after the other."""
    runs = []
    for number in range(count):
        begin = time.time()
        ended = await stage.run(
            PodRequest(name=f"start-{number}", arguments=("started",), changes=limited({})),
            deadline_seconds=DEADLINE_SECONDS,
        )
        runs.append(_passed_ms(ended.output, begin))
    return runs


async def _host_starts(stage: Stage, count: int) -> Sequence[float]:
    runs = []
    for _ in range(count):
        begin = time.time()
        runs.append(_passed_ms(await stage.on_host(("started",), deadline_seconds=DEADLINE_SECONDS), begin))
    return runs


def _passed_ms(output: str, begin: float) -> float:
    """Raises StageError: the program says nothing of its start."""
    at = facts_of(output, ("started",))["started"].get("at")
    if not isinstance(at, int):
        raise StageError(f"the program of a pod does not say when it started: {output[:200]!r}")
    return round(at / 1000 - begin * 1000, 2)


async def _memory(stage: Stage, count: int) -> Mapping[str, Any]:
    names = [f"idle-{number}" for number in range(count)]
    try:
        await asyncio.gather(
            *(stage.start(PodRequest(name=name, arguments=("stay", ""), changes=limited({}))) for name in names)
        )
        usages = [await stage.usage(name) for name in names]
    finally:
        await asyncio.shield(asyncio.gather(*(stage.stop(name) for name in names)))
    own = facts_of(await stage.on_host(("footprint",), deadline_seconds=DEADLINE_SECONDS), ("footprint",))["footprint"]
    return {
        "pod": [sum(usage.pss_bytes.values()) for usage in usages],
        "of": dict(usages[0].pss_bytes),
        "host": [own["pss"] * 1024] if "pss" in own else [],
    }


async def _work(stage: Stage, length: Length) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The pod's and the host's: half of the host's runs before, half after, so that a machine that gets slower is seen."""
    async with _servers(stage) as (pod_server, host_server):
        here = f"{length.runs}:{length.ms}"
        tcp = {"tcp": f"{here}:{pod_server}", "tcp-host": f"{here}:{host_server}"}
        own = _sections(here, {"storage": f"{here}:{LAYER}", "volume": f"{here}:{SCRATCH}", **tcp})
        half = f"{max(1, length.runs // 2)}:{length.ms}"
        bare = _sections(half, {"storage": f"{half}:{_ON_DISK}", "tcp": f"{half}:{host_server}"})
        before = await _host_facts(stage, bare)
        # no limit on CPU, which would be figured as well: it runs within the evaluation's own, as the host's half does
        changes = limited(scratch(), cpu=None, memory="512Mi", ephemeral_storage="256Mi")
        request = PodRequest(name="work", arguments=own, changes=changes)
        ended = await stage.run(request, deadline_seconds=2 * DEADLINE_SECONDS)
        after = await _host_facts(stage, bare)
    return facts_of(ended.output, own), together(before, after)


async def _host_facts(stage: Stage, sections: Sequence[str]) -> Mapping[str, Any]:
    return facts_of(await stage.on_host(sections, deadline_seconds=DEADLINE_SECONDS), sections)


def _sections(bench: str, others: Mapping[str, str]) -> tuple[str, ...]:
    return (*(f"{name}={bench}" for name in WORKLOADS), *(f"{name}={argument}" for name, argument in others.items()))


def together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The runs of both, section by section; what is none of runs as `other` has it. Pure."""
    return {
        section: {
            name: [*one[section][name], *value]
            if isinstance(value, list) and isinstance(one.get(section, {}).get(name), list)
            else value
            for name, value in facts.items()
        }
        for section, facts in other.items()
    }


@contextlib.asynccontextmanager
async def _servers(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """The places of one in a pod, and of one on the host at the address that pods see of it; they end with the block."""
    address = await stage.start(PodRequest(name=_SERVER, arguments=("serve", f"0.0.0.0:{PORT}"), changes=limited({})))
    if not address:
        await asyncio.shield(stage.stop(_SERVER))
        raise StageError("pods of this profile have the host's network: no servers side by side, nothing to compare")
    place = f"{own_address(address)}:{PORT}"
    serving = asyncio.create_task(stage.on_host(("serve", place), deadline_seconds=10 * DEADLINE_SECONDS))
    try:
        yield f"{address}:{PORT}", place
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await asyncio.shield(stage.stop(_SERVER))


def own_address(peer: str) -> str:
    """The address with which this machine speaks to a peer. Raises StageError: no route there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, PORT))  # sends nothing
            address: str = probe.getsockname()[0]
        except OSError as error:
            raise StageError(f"{peer}: {error.strerror or error}") from error
    return address
