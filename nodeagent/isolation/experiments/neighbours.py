"""Somebody who works steadily, alone and beside a neighbour who takes what it can get: of each kind, with limits and without."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from nodeagent.isolation.contract import Experiment, PodRequest, Stage, StageError
from nodeagent.isolation.experiments.pods import DEADLINE_SECONDS, PORT, SCRATCH, arguments, limited, scratch, unlimited
from nodeagent.isolation.probe.output import entries

KINDS = ("cpu", "memory", "disk", "fork", "network")
_SHARE = "250m"  # of the one that works, and of the neighbour that has limits
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "limited": limited(scratch(), share=_SHARE, cpu="500m", memory="128Mi"),
    "unlimited": unlimited(scratch()),
}
_ALONE = "nothing"
_EDGE_US = 20_000  # of a phase: what begins, and what ends, takes a moment
_SERVER, _VICTIM = "server", "victim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """In milliseconds. `window`: what the victim's figures are of."""

    window: int
    phase: int
    pause: int


FULL = Length(window=100, phase=1400, pause=700)
QUICK = Length(window=50, phase=350, pause=200)


@dataclass(frozen=True, slots=True)
class Neighbours(Experiment):
    """It finds setting -> kind (`nothing`: alone) -> see `sorted_out`; a setting that could not be tried `{"error": why}`."""

    @property
    @override
    def name(self) -> str:
        return "neighbours"

    @property
    @override
    def about(self) -> str:
        return (
            f"a pod that works steadily, beside one that takes all it gets of {', '.join(KINDS)}: with limits, without"
        )

    @override
    async def run(self, stage: Stage) -> Mapping[str, Any]:
        length = QUICK if stage.quick else FULL
        address = await stage.start(
            PodRequest(name=_SERVER, arguments=("serve", f"0.0.0.0:{PORT}"), changes=limited({}))
        )
        found: dict[str, Any] = {}
        try:
            place = f"{address or '127.0.0.1'}:{PORT}"
            role = arguments("victim", length.window, SCRATCH, place)
            await stage.start(PodRequest(name=_VICTIM, arguments=role, changes=limited(scratch(), share=_SHARE)))
            phases: dict[str, Sequence[Mapping[str, Any]]] = {}
            for setting, changes in SETTINGS.items():
                role = arguments("aggress", length.phase, length.pause, SCRATCH, place)
                request = PodRequest(name=setting, arguments=role, changes=changes)
                try:
                    ended = await stage.run(request, deadline_seconds=DEADLINE_SECONDS)
                    phases[setting] = entries(ended.output, "phase")
                except StageError as error:
                    found[setting] = {"error": str(error)}
            windows = entries(await stage.output(_VICTIM), "window")
            if wrong := [window["error"] for window in windows if "error" in window]:
                raise StageError(f"the pod that works could not go on: {wrong[0]}")
        finally:
            await asyncio.shield(_stopped(stage, (_VICTIM, _SERVER)))
        return {**found, **{setting: sorted_out(windows, own) for setting, own in phases.items()}}


async def _stopped(stage: Stage, names: Sequence[str]) -> None:
    await asyncio.gather(*(stage.stop(name) for name in names))


def sorted_out(windows: Sequence[Mapping[str, Any]], phases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Kind -> `p99`, `rate`, `sync_p99` (lists with an entry a window: ns, requests a second, ns), `turns` of the neighbour.

    A window counts for a phase that it lies in wholly. Pure.
    """
    found: dict[str, Any] = {}
    for phase in phases:
        kind = str(phase.get("kind", ""))
        known = found.setdefault(kind, {"p99": [], "rate": [], "sync_p99": [], "turns": 0})
        known["turns"] += phase.get("turns", 0)
        if "error" in phase:
            known["said"] = phase["error"]
        for window in _within(windows, phase):
            requests, syncs = window.get("requests"), window.get("syncs")
            if requests:
                known["p99"].append(requests["p99"])
                known["rate"].append(round(requests["count"] * 1e6 / (window["end"] - window["begin"]), 1))
            if syncs:
                known["sync_p99"].append(syncs["p99"])
    return found


def _within(windows: Sequence[Mapping[str, Any]], phase: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Those that began and ended in it; where none did, so slow were they, the one that lies in it for longest."""
    begin, end = phase["begin"] + _EDGE_US, phase["end"] - _EDGE_US
    told = [window for window in windows if "end" in window]
    whole = [window for window in told if begin <= window["begin"] and window["end"] <= end]

    def shared(window: Mapping[str, Any]) -> int:
        least: int = min(window["end"], end) - max(window["begin"], begin)
        return least

    return whole or sorted((window for window in told if shared(window) > 0), key=shared)[-1:]
