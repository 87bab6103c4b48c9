"""The noisy neighbour: how much later a steady worker's slowest answers come, and how much less it gets done.

What a probe weighs in the score is the share of the speed that the worst hundredth of its requests loses (`figures.lost`), if it
is beyond the spread of what the worker does alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nodeagent.isolation.contract import Figure, Finding, Probe, Risk, Sight, Verdict
from nodeagent.isolation.experiments.neighbours import KINDS, SETTINGS
from nodeagent.isolation.groups import facts, figures

_ALONE = "nothing"
_MICROSECONDS = 1e-3
_WORDS = {
    "cpu": "computes on every processor",
    "memory": "copies memory on every processor",
    "disk": "writes to the disk",
    "fork": "makes processes",
    "network": "floods a pod",
}
_TERMS = {"limited": "with limits (500m, 128Mi)", "unlimited": "without limits"}
_CHANGE = "resources.limits of the neighbour: cpu, memory"


def _judge(setting: str, kind: str) -> Callable[[Sight], Finding]:
    probe = f"limits.neighbour.{kind}.{setting}"

    def judge(sight: Sight) -> Finding:
        tried = facts.fact(sight.own, "neighbours", setting)
        if "error" in tried:
            raise facts.NoFact(f"{setting}: {tried['error']}")
        alone, beside = tried.get(_ALONE, {}), tried.get(kind, {})
        if beside.get("said"):
            raise facts.NoFact(f"the neighbour could not: {beside['said']}")
        # what a disk is busy with is felt by those who wait for it
        latency = "sync_p99" if kind == "disk" else "p99"
        before = figures.figure(alone.get(latency), "us", scale=_MICROSECONDS)
        found = figures.figure(beside.get(latency), "us", scale=_MICROSECONDS)
        times = figures.slowness(found.median, before.median) or 1.0
        rate, rate_alone = (figures.figure(each.get("rate"), "requests/s") for each in (beside, alone))
        kept = 100 * rate.median / rate_alone.median if rate_alone.median else 0.0
        return Finding(
            probe=probe,
            verdict=Verdict.MEASURED,
            value=f"p99 {found.median:g} us, {times:.2f} times what it is alone; {kept:.0f} % of the throughput",
            evidence=_evidence(latency, found, before, rate, rate_alone, beside),
            change=_CHANGE if setting == "unlimited" else "",
            figure=found,
            exposure=figures.lost(times) if found.low > before.high else 0.0,
        )

    return judge


def _evidence(
    latency: str, found: Figure, before: Figure, rate: Figure, rate_alone: Figure, beside: Mapping[str, Any]
) -> str:
    what = "writes that wait for the disk" if latency == "sync_p99" else "requests"
    return (
        f"p99 of {what}: {figures.spread(found)}, alone {figures.spread(before)}; throughput: {figures.spread(rate)}, "
        f"alone {figures.spread(rate_alone)}; the neighbour did {beside.get('turns')} turns"
    )


PROBES = tuple(
    Probe(
        id=f"limits.neighbour.{kind}.{setting}",
        title=f"slower beside one that {_WORDS[kind]}, {_TERMS[setting]}",
        risk=Risk.LOW,
        why="p99 of somebody who works steadily",
        judge=_judge(setting, kind),
        on_host=False,
    )
    for setting in SETTINGS
    for kind in KINDS
)
