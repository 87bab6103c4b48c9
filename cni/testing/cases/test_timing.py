"""How long it takes: measured and told in the report (JUnit: properties), never a failure."""

import time
from collections.abc import Callable

import pytest

from cni.testing.levels import may
from cni.testing.subject import Subject

pytestmark = pytest.mark.asyncio

PERCENTS = (50, 95, 99)


@may
async def test_t1_how_long_add_and_del_take(network: Subject, record_property: Callable[[str, object], None]) -> None:
    """One pod after another: medians and the slowest, in milliseconds. Kubernetes starts no container before ADD has returned."""
    taken: dict[str, list[float]] = {"add": [], "del": []}
    for _ in range(network.implementation.timed_rounds):
        pod = network.pod()
        began = time.perf_counter()
        await network.add(pod)
        added = time.perf_counter()
        await network.delete(pod)
        taken["add"].append((added - began) * 1000)
        taken["del"].append((time.perf_counter() - added) * 1000)
        pod.lose_namespace()
    for verb, milliseconds in taken.items():
        for percent in PERCENTS:
            record_property(f"{verb}_p{percent}_ms", percentile(milliseconds, percent))


def percentile(values: list[float], percent: int) -> float:
    """The smallest of the values that `percent` of them do not exceed, to a tenth. There must be one at least."""
    place = -(-len(values) * percent // 100) - 1
    return round(sorted(values)[place], 1)
