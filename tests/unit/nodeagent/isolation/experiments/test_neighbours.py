"""What a steady worker told, sorted by what its neighbour did meanwhile."""

from typing import Any

from nodeagent.isolation.experiments.neighbours import sorted_out


def window(begin_ms: int, end_ms: int, *, count: int = 10, p99: int = 5) -> dict[str, Any]:
    requests = {"count": count, "p50": 1, "p99": p99, "max": p99}
    return {"begin": begin_ms * 1000, "end": end_ms * 1000, "requests": requests, "syncs": {**requests, "p99": 7 * p99}}


def phase(kind: str, begin_ms: int, end_ms: int, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "begin": begin_ms * 1000, "end": end_ms * 1000, "turns": 3, **more}


def test_windows_within_a_phase_count_for_it() -> None:
    """Not those at its edges, nor those between two; phases of one kind are added up."""
    windows = [window(at, at + 50, p99=at) for at in range(0, 1000, 50)]
    phases = [phase("nothing", 0, 200), phase("cpu", 200, 400), phase("nothing", 400, 530), phase("fork", 530, 535)]
    found = sorted_out([*windows, {"error": "EIO"}], phases)
    assert found["cpu"] == {"p99": [250, 300], "rate": [200.0, 200.0], "sync_p99": [1750, 2100], "turns": 3}
    assert found["nothing"]["p99"] == [50, 100, 450]
    assert found["nothing"]["turns"] == 6


def test_a_worker_that_is_held_up_for_a_whole_phase() -> None:
    """The window that lies in the phase for longest says how slow it was."""
    windows = [window(0, 250), window(250, 1050, count=4, p99=800)]
    found = sorted_out(windows, [phase("disk", 200, 500), phase("cpu", 2000, 2100)])
    assert found["cpu"]["p99"] == []
    assert found["disk"]["p99"] == [800]
    assert found["disk"]["rate"] == [5.0]


def test_a_neighbour_that_could_not() -> None:
    """Its error is kept, and is no figure."""
    assert sorted_out([], [phase("network", 0, 100, error="EPERM")])["network"]["said"] == "EPERM"
