"""Limits, neighbours, costs with real runtimes. No figure is held to a time: each has its spread, and what must differ does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from components import needs

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("isolation"), needs("crun", "runsc", "cc")]

REPO = Path(__file__).resolve().parents[3]


def evaluated(handler: str, *groups: str) -> dict[str, dict[str, Any]]:
    """Probe -> finding."""
    work = subprocess.run(
        (
            *(sys.executable, "-m", "nodeagent", "isolation", "--quick", "--output=json", f"--runtime={handler}"),
            *(f"--only={group}" for group in groups),
        ),
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert work.returncode == 0, work.stderr
    column = next(column for column in json.loads(work.stdout)["columns"] if column["name"] == handler)
    assert column["error"] == ""
    return {finding["probe"]: finding for finding in column["findings"]}


def failed(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {probe: finding["evidence"] for probe, finding in found.items() if finding["verdict"] == "failed"}


def check_figures(found: dict[str, dict[str, Any]]) -> None:
    """Every one says how far its runs lie apart, and those of costs what the host has."""
    figures = {probe: finding["figure"] for probe, finding in found.items() if finding.get("figure")}
    assert figures
    for probe, figure in figures.items():
        assert 0 < figure["low"] <= figure["median"] <= figure["high"], probe
        assert not probe.startswith("cost.") or figure["host"] > 0, probe


@pytest.fixture(scope="module")
def crun() -> dict[str, dict[str, Any]]:
    return evaluated("crun", "limits", "cost")


def test_limits_hold_and_neighbours_are_felt(crun: dict[str, dict[str, Any]]) -> None:
    """A pod that takes more than it may is stopped, by what is said, and the one beside it lives; every aggressor is tried."""
    assert failed(crun) == {}
    assert {
        probe: (finding["verdict"], finding.get("by", ""))
        for probe, finding in crun.items()
        if probe.startswith("limits.") and not probe.startswith(("limits.neighbour.", "limits.files", "limits.cpu"))
    } == {
        "limits.memory": ("blocked", "cgroup"),
        "limits.oom_locality": ("blocked", "cgroup"),
        "limits.pids": ("blocked", "cgroup"),
        "limits.disk.layer": ("limited", "eviction"),
        "limits.disk.volume": ("limited", "eviction"),
    }
    assert crun["limits.cpu"]["verdict"] != "open"
    check_figures(crun)


def test_a_kernel_between_costs_what_it_must(crun: dict[str, dict[str, Any]]) -> None:
    """gVisor: system calls that a tracer takes are slower by far than the kernel's own; its sandbox is in a pod's memory."""
    gvisor = evaluated("gvisor", "cost")
    assert failed(gvisor) == {}
    check_figures(gvisor)
    own, kernel = (found["cost.getpid"]["figure"]["median"] for found in (gvisor, crun))
    assert own > 10 * kernel
    assert "runsc-sandbox" in gvisor["cost.memory"]["evidence"]
    assert "conmon" in crun["cost.memory"]["evidence"]
    assert gvisor["cost.memory"]["figure"]["median"] > crun["cost.memory"]["figure"]["median"]
