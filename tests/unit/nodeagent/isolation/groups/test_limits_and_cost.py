"""What facts of limits, neighbours and costs mean: verdict, who is behind it, what it weighs."""

from collections.abc import Mapping
from typing import Any

import pytest

from nodeagent.isolation.contract import By, Finding, Sight, Verdict
from nodeagent.isolation.evaluation import judged
from nodeagent.isolation.groups import cost, limits

PROBES = {probe.id: probe for group in (limits.GROUP, cost.GROUP) for probe in group.probes}
OOM = {"reason": "OOMKilled", "exit_code": 137}
DONE = {"reason": "Completed", "exit_code": 0}
GROWN = {"allowed": 16, "most": 48, "mib": 48, "said": "ok", "seconds": 9.5}
BOMB = {"allowed": 512, "most": 800, "counted": 512}


def judge(probe: str, experiment: str, told: Mapping[str, Any]) -> Finding:
    return judged(PROBES[probe], Sight(own={experiment: told}))


def cpu(*runs: float) -> dict[str, Any]:
    return {"cpu": {"millicores": 500, "processes": 2, "runs": list(runs)}}


@pytest.mark.parametrize(
    ("probe", "told", "verdict", "by"),
    [
        ("cpu", cpu(99, 101, 100), Verdict.BLOCKED, By.CGROUP),
        ("cpu", cpu(120, 130, 140), Verdict.LIMITED, By.CGROUP),
        ("cpu", cpu(399, 400, 390), Verdict.OPEN, By.UNKNOWN),
        ("memory", {"memory": {"allowed": 96, "most": 256, "mib": 92, "said": "ok", **OOM}}, Verdict.BLOCKED, By.CGROUP),
        ("memory", {"memory": {"allowed": 96, "most": 256, "mib": 256, "said": "ok", **DONE}}, Verdict.OPEN, By.UNKNOWN),
        ("oom_locality", {"memory": OOM, "beside": {"windows": 50, "since": 20}}, Verdict.BLOCKED, By.CGROUP),
        ("oom_locality", {"memory": OOM, "beside": {"windows": 30, "since": 0}}, Verdict.OPEN, By.UNKNOWN),
        ("oom_locality", {"memory": {"error": "refused"}, "beside": {"windows": 3, "since": 3}}, Verdict.FAILED, By.UNKNOWN),
        ("pids", {"pids": {**BOMB, "processes": 511, "said": "EAGAIN", **DONE}}, Verdict.BLOCKED, By.CGROUP),
        ("pids", {"pids": {**BOMB, "processes": None, "said": "", **OOM}}, Verdict.LIMITED, By.CGROUP),
        ("pids", {"pids": {**BOMB, "processes": 800, "said": "ok", **DONE}}, Verdict.LIMITED, By.RUNTIME),
        ("pids", {"pids": {**BOMB, "counted": 801, "processes": 800, "said": "ok", **DONE}}, Verdict.OPEN, By.UNKNOWN),
        ("files", {"files": {"most": 65536, "open": 1021, "limit": 1024, "said": "EMFILE"}}, Verdict.BLOCKED, By.RLIMIT),
        ("files", {"files": {"most": 65536, "open": 65536, "limit": -1, "said": "ok"}}, Verdict.LIMITED, By.CGROUP),
        ("files", {"files": {"most": 65536, "open": None, **OOM}}, Verdict.FAILED, By.UNKNOWN),
        ("disk.layer", {"layer": {**GROWN, "reason": "Evicted"}}, Verdict.LIMITED, By.EVICTION),
        ("disk.layer", {"layer": {**GROWN, **DONE}}, Verdict.OPEN, By.UNKNOWN),
        ("disk.layer", {"layer": {**GROWN, "mib": 0, "said": "EROFS", **DONE}}, Verdict.NOT_APPLICABLE, By.MOUNT),
        ("disk.volume", {"volume": {**GROWN, "mib": 16, "said": "ENOSPC", **DONE}}, Verdict.BLOCKED, By.MOUNT),
        ("disk.volume", {"volume": {"error": "does not end"}}, Verdict.FAILED, By.UNKNOWN),
    ],
)  # fmt: skip
def test_limits(probe: str, told: Mapping[str, Any], verdict: Verdict, by: By) -> None:
    """Held, held late, held by half, not held; what could not be tried is no verdict."""
    found = judge(f"limits.{probe}", "limits", told)
    assert (found.verdict, found.by) == (verdict, by), found.evidence


def neighbour(kind: str, p99: list[int], rate: list[float]) -> Finding:
    alone = {"p99": [1000, 1100, 1200], "rate": [100.0, 100, 100], "sync_p99": [9000, 9000, 9000]}
    beside = {"p99": p99, "rate": rate, "sync_p99": [10 * each for each in p99], "turns": 7}
    return judge(f"limits.neighbour.{kind}.limited", "neighbours", {"limited": {"nothing": alone, kind: beside}})


def test_what_a_neighbour_does() -> None:
    """p99 as a figure, the share of speed that it costs as its weight, if that is beyond the spread; for disks, of what waits."""
    found = neighbour("cpu", [2200, 2200, 2200], [50.0, 50, 50])
    assert (found.verdict, found.exposure) == (Verdict.MEASURED, pytest.approx(0.5))
    assert found.value == "p99 2.2 us, 2.00 times what it is alone; 50 % of the throughput"
    assert neighbour("cpu", [1000, 1300, 4000], [90.0, 90, 90]).exposure == 0
    disk = neighbour("disk", [1800, 1800], [10.0, 10])
    assert disk.figure is not None
    assert (disk.figure.median, disk.exposure) == (18, pytest.approx(0.5))


def test_a_neighbour_that_could_not_attack() -> None:
    """No figure: what was not tried is not held."""
    facts = {"unlimited": {"nothing": {}, "network": {"said": "EPERM"}}}
    found = judge("limits.neighbour.network.unlimited", "neighbours", facts)
    assert (found.verdict, found.evidence) == (Verdict.FAILED, "the neighbour could not: EPERM")


def costs(**pod: Any) -> dict[str, Any]:
    host = {"calls": {"getpid": [100, 100]}, "storage": {"write": [4000, 4000]}, "tcp": {"error": "ECONNREFUSED"}}
    return {"pod": pod, "host": host}


def test_costs_beside_the_host() -> None:
    """The ratio, and the share of speed that is lost; what is within the spread loses nothing; rates the other way around."""
    slow = judge("cost.getpid", "costs", costs(calls={"getpid": [400, 410, 390]}))
    assert (slow.value, slow.exposure) == ("400 ns, 4.00 times the host's time", 0.75)
    assert slow.figure is not None
    assert (slow.figure.host, slow.figure.low, slow.figure.high) == (100, 395, 405)
    assert judge("cost.getpid", "costs", costs(calls={"getpid": [90, 105, 130]})).exposure == 0
    half = judge("cost.volume.write", "costs", costs(volume={"write": [2000]}))
    assert (half.value, half.exposure) == ("2000 MiB/s, 2.00 times the host's time", 0.5)


def test_costs_without_a_figure() -> None:
    """Of the host: no weight. Of the pod: failed, with the reason."""
    found = judge("cost.pod_round_trip", "costs", costs(tcp={"round trip": [9000]}))
    assert (found.verdict, found.exposure) == (Verdict.MEASURED, None)
    found = judge("cost.pod_round_trip", "costs", costs(tcp={"error": "not done in 60 s"}))
    assert (found.verdict, found.evidence) == (Verdict.FAILED, "tcp: not done in 60 s")
    found = judge("cost.getpid", "costs", costs(calls={"getpid": "ENOSYS"}))
    assert found.evidence == "it could not be done: ENOSYS"


def test_start_and_memory() -> None:
    """Figures without a weight: a process of the host is no pod."""
    facts = {
        "start": {"pod": [200, 210, 220], "host": [2]},
        "memory": {"pod": [2**20, 3 * 2**20], "of": {"conmon": 2**19, "probe": 2**19}, "host": []},
    }
    start, memory = (judge(f"cost.{name}", "costs", facts) for name in ("start", "memory"))
    assert (start.value, start.exposure) == ("210 ms", None)
    assert (memory.value, memory.exposure) == ("2 MiB", None)
    assert memory.evidence == "PSS of conmon 0.50 MiB, probe 0.50 MiB"
