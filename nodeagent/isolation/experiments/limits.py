"""Pods that take more and more of something, each up to a limit of its own, beside one that only wants to live."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from nodeagent.isolation.contract import Ended, Experiment, PodRequest, Stage, StageError
from nodeagent.isolation.experiments.pods import DEADLINE_SECONDS, LAYER, SCRATCH, arguments, limited, scratch
from nodeagent.isolation.node import POD_PIDS
from nodeagent.isolation.probe.output import entries

CPU_MILLICORES = 500
CPU_WINDOW_SECONDS = 0.4  # a whole number of the quota's periods, which are 0.1 s
MEMORY_MIB, MOST_MEMORY_MIB = 96, 256
MOST_PROCESSES = 800
MOST_FILES = 65_536
STORAGE_MIB, MOST_STORAGE_MIB = 16, 48
_WAIT_MS = 30_000  # at most: the agent looks at the disk every 2 to 10 s
_VICTIM = "beside"
_VICTIM_WINDOW_MS = 100
_SETTLE_SECONDS = 0.3
_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Limits(Experiment):
    """It finds `cpu`, `memory`, `beside`, `pids`, `files`, `layer`, `volume`; `{"error": why}` where one could not be tried."""

    @property
    @override
    def name(self) -> str:
        return "limits"

    @property
    @override
    def about(self) -> str:
        return (
            f"pods that take CPU ({CPU_MILLICORES}m allowed), memory ({MEMORY_MIB} MiB allowed, {MOST_MEMORY_MIB} at most), "
            f"processes ({POD_PIDS}, {MOST_PROCESSES}), open files, disk ({STORAGE_MIB} MiB, {MOST_STORAGE_MIB})"
        )

    @override
    async def run(self, stage: Stage) -> Mapping[str, Any]:
        victim = arguments("victim", _VICTIM_WINDOW_MS, SCRATCH)
        await stage.start(PodRequest(name=_VICTIM, arguments=victim, changes=limited(scratch(), share="100m")))
        # what fills a disk is idle then, until somebody looks at it
        disks = asyncio.gather(_tried(_layer, stage), _tried(_volume, stage))
        try:
            memory, pids, files = await asyncio.gather(*(_tried(each, stage) for each in (_memory, _pids, _files)))
            after = time.time()
            cpu = await _tried(_cpu, stage)
            layer, volume = await disks
            beside = await _tried(lambda stage: _beside(stage, after), stage)
        finally:
            disks.cancel()
            await asyncio.gather(disks, return_exceptions=True)
            await asyncio.shield(stage.stop(_VICTIM))
        return {
            "cpu": cpu,
            "memory": memory,
            "beside": beside,
            "pids": pids,
            "files": files,
            "layer": layer,
            "volume": volume,
        }


async def _tried(what: Callable[[Stage], Awaitable[Mapping[str, Any]]], stage: Stage) -> Mapping[str, Any]:
    try:
        return await what(stage)
    except StageError as error:
        return {"error": str(error)}


async def _cpu(stage: Stage) -> Mapping[str, Any]:
    """`runs`: percent of what is allowed, by the kernel's count, one a window."""
    name, workers = "cpu", os.cpu_count() or 1
    changes = limited({}, cpu=f"{CPU_MILLICORES}m", share=f"{CPU_MILLICORES}m")
    await stage.start(PodRequest(name=name, arguments=arguments("spin", workers), changes=changes))
    try:
        await asyncio.sleep(_SETTLE_SECONDS)
        runs = []
        used, since = (await stage.usage(name)).cpu_ns, time.monotonic_ns()
        for _ in range(4 if stage.quick else 9):
            await asyncio.sleep(CPU_WINDOW_SECONDS)
            now, at = (await stage.usage(name)).cpu_ns, time.monotonic_ns()
            runs.append(round(100_000 * (now - used) / CPU_MILLICORES / (at - since), 2))
            used, since = now, at
    finally:
        await asyncio.shield(stage.stop(name))
    return {"millicores": CPU_MILLICORES, "processes": workers, "runs": runs}


def _end(ended: Ended) -> Mapping[str, Any]:
    return {"reason": ended.reason, "exit_code": ended.exit_code}


async def _memory(stage: Stage) -> Mapping[str, Any]:
    request = PodRequest(
        name="memory",
        arguments=arguments("grow-memory", MOST_MEMORY_MIB),
        changes=limited({}, memory=f"{MEMORY_MIB}Mi"),
    )
    ended = await stage.run(request, deadline_seconds=DEADLINE_SECONDS)
    grown = entries(ended.output, "grown")
    last: Mapping[str, Any] = grown[-1] if grown else {}
    return {
        "allowed": MEMORY_MIB,
        "most": MOST_MEMORY_MIB,
        "mib": last.get("mib", 0),
        "said": last.get("said", ""),
        **_end(ended),
    }


async def _beside(stage: Stage, after: float) -> Mapping[str, Any]:
    """Whether the pod beside went on when the others had taken what they could."""
    windows = entries(await stage.output(_VICTIM), "window")
    since = sum(window.get("begin", 0) > after * 1e6 for window in windows)
    return {"windows": len(windows), "since": since}


async def _pids(stage: Stage) -> Mapping[str, Any]:
    request = PodRequest(name="pids", arguments=arguments("bomb", MOST_PROCESSES), changes=limited({}))
    sampling = asyncio.create_task(_most_threads(stage, request.name))
    try:
        ended = await stage.run(request, deadline_seconds=DEADLINE_SECONDS)
    finally:
        sampling.cancel()
        counted = await asyncio.gather(sampling, return_exceptions=True)
    made = entries(ended.output, "bomb")
    last: Mapping[str, Any] = made[-1] if made else {}
    return {
        "allowed": POD_PIDS,
        "most": MOST_PROCESSES,
        "processes": last.get("processes"),
        "said": last.get("said", ""),
        "counted": counted[0] if isinstance(counted[0], int) else 0,
        **_end(ended),
    }


async def _most_threads(stage: Stage, name: str) -> int:
    """As the host counts them in the pod's cgroup, the most of all looks, until it is cancelled."""
    most = 0
    try:
        while True:
            with contextlib.suppress(StageError):  # not yet, or no more
                most = max(most, (await stage.usage(name)).pids)
            await asyncio.sleep(_SAMPLE_SECONDS)
    except asyncio.CancelledError:
        return most


async def _files(stage: Stage) -> Mapping[str, Any]:
    request = PodRequest(name="files", arguments=arguments("open-files", MOST_FILES), changes=limited({}))
    ended = await stage.run(request, deadline_seconds=DEADLINE_SECONDS)
    told = entries(ended.output, "descriptors")
    return {"most": MOST_FILES, **(told[-1] if told else {"open": None}), **_end(ended)}


async def _layer(stage: Stage) -> Mapping[str, Any]:
    return await _grown(stage, "layer", LAYER, limited({}, ephemeral_storage=f"{STORAGE_MIB}Mi"))


async def _volume(stage: Stage) -> Mapping[str, Any]:
    return await _grown(stage, "volume", SCRATCH, limited(scratch(size_limit=f"{STORAGE_MIB}Mi")))


async def _grown(stage: Stage, name: str, folder: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """`seconds`: until the pod had ended, since it was asked for."""
    begin = time.monotonic()
    role = arguments("grow-file", MOST_STORAGE_MIB, _WAIT_MS, folder)
    ended = await stage.run(
        PodRequest(name=name, arguments=role, changes=changes), deadline_seconds=2 * DEADLINE_SECONDS
    )
    written = entries(ended.output, "written")
    last: Mapping[str, Any] = written[-1] if written else {}
    return {
        "allowed": STORAGE_MIB,
        "most": MOST_STORAGE_MIB,
        "mib": last.get("mib", 0),
        "said": last.get("said", ""),
        "seconds": round(time.monotonic() - begin, 1),
        **_end(ended),
    }
