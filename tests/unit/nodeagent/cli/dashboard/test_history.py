"""What was seen: how much of it is kept."""

from dataclasses import replace

from nodeagent.cli.dashboard.history import MAX_PODS, MAX_SERIES, NODE_POINTS, POD_POINTS, History, figures_of
from nodeagent.cli.usage import NodeUse, PodUse, Threshold

WEB = PodUse(namespace="shop", name="web", cpu_millicores=250, memory_bytes=9, disk_bytes=1, processes=3)
USE = NodeUse(
    name="n1",
    ready=True,
    pressures=(),
    cpus=2,
    cpu_millicores=500,
    memory_bytes=300,
    memory_total_bytes=1000,
    swap_bytes=0,
    processes=7,
    max_processes=100,
    stalls={"io": (2.5, 1.0)},
    thresholds=(Threshold(signal="nodefs.available", hard=True, available=30, threshold=5, capacity=40),),
    pods=(WEB,),
)


def test_figures_are_percentages() -> None:
    """Of each eviction signal what is used, of CPUs and processes too; what is not known is left out."""
    assert figures_of(USE) == {
        "cpu": 25.0,
        "memory.available": 30.0,
        "nodefs.available": 25.0,
        "pid.available": 7.0,
        "stall.io": 2.5,
    }
    assert figures_of(replace(USE, cpu_millicores=None, memory_total_bytes=0, max_processes=0, thresholds=())) == {
        "stall.io": 2.5
    }


def test_series_share_their_times() -> None:
    """One that comes later has None before, one that goes has None afterwards."""
    history = History()
    history.add(1.0, replace(USE, cpu_millicores=None))
    history.add(3.0, USE)
    history.add(5.0, replace(USE, stalls={}))
    found = history.node()
    assert found["times"] == [1.0, 3.0, 5.0]
    series = found["series"]
    assert isinstance(series, dict)
    assert (series["cpu"], series["stall.io"]) == ([None, 25.0, 25.0], [2.5, 2.5, None])
    assert history.pod(("shop", "web")) == ([250] * 3, [9] * 3)


def test_memory_is_constant() -> None:
    """However long it runs, whatever names come and go: points, series and pods have a bound; a pod that went is forgotten."""
    history = History()
    for look in range(NODE_POINTS + 100):
        pods = tuple(replace(WEB, name=f"web{look}-{number}") for number in range(3)) if look % 2 else (WEB,)
        history.add(float(look), replace(USE, stalls={f"of{look}": (1.0, 0.0)}, pods=pods))
    found = history.node()
    assert isinstance(found["times"], list)
    assert isinstance(found["series"], dict)
    assert (len(found["times"]), found["times"][0]) == (NODE_POINTS, 100.0)
    assert len(found["series"]) == MAX_SERIES
    assert {len(each) for each in found["series"].values()} == {NODE_POINTS}
    assert history.pod(("shop", "web")) == ([], [])
    crowd = tuple(replace(WEB, name=f"{number}") for number in range(MAX_PODS + 5))
    for look in range(POD_POINTS + 10):
        history.add(float(look), replace(USE, pods=crowd))
    assert sum(bool(history.pod(("shop", pod.name))[0]) for pod in crowd) == MAX_PODS
    assert len(history.pod(("shop", "0"))[0]) == POD_POINTS
