"""What an agent refuses before it makes anything."""

from pathlib import Path
from typing import Any

import pytest
from configured import config

from nodeagent.assembly import preflight
from nodeagent.errors import AgentStartError, Misconfigured


def test_swap_is_refused(tmp_path: Path) -> None:
    """A line for a device in /proc/swaps, and failSwapOn as it is by default: the node does not start, and says what to do."""
    swaps = tmp_path / "swaps"
    header = "Filename\tType\tSize\tUsed\tPriority\n"
    swaps.write_text(header)
    preflight.refuse_swap(config(tmp_path), swaps)
    swaps.write_text(f"{header}/dev/sda2 partition 8 0 -2\n/swapfile file 8 0 -3\n")
    with pytest.raises(
        AgentStartError, match=r"^running with swap on is not supported \(/dev/sda2, /swapfile\): .*failSwapOn"
    ):
        preflight.refuse_swap(config(tmp_path), swaps)
    preflight.refuse_swap(config(tmp_path, failSwapOn=False), swaps)
    preflight.refuse_swap(config(tmp_path), tmp_path / "no such kernel")


ALL = ("cpu", "cpuacct", "cpuset", "memory")


@pytest.mark.parametrize(
    ("fields", "controllers", "told"),
    [
        ({"failCgroupV1": True}, ALL, "failCgroupV1 is true; set it to false to run here"),
        ({}, ("cpu", "cpuacct"), "cgroup v1 without the controllers cpuset, memory: mount them, see `nodeagent check`"),
        ({"memorySwap": {"swapBehavior": "LimitedSwap"}}, ALL, "LimitedSwap needs cgroup v2, and this host has v1"),
    ],
)
def test_what_cgroup_v1_cannot_do(
    tmp_path: Path, fields: dict[str, Any], controllers: tuple[str, ...], told: str
) -> None:
    """Named at start, with what to do about it."""
    with pytest.raises(AgentStartError, match=told):
        preflight.refuse_v1(config(tmp_path, **fields), controllers)
    preflight.refuse_v1(config(tmp_path), (*ALL, "pids"))


def test_reserved_cpus_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the configuration's fault, and what the machine has is told."""
    monkeypatch.setattr(preflight, "online_cpus", lambda: frozenset(range(12)))
    preflight.refuse_absent_cpus(config(tmp_path, reservedSystemCPUs="0,11"))
    with pytest.raises(Misconfigured) as caught:
        preflight.refuse_absent_cpus(config(tmp_path, reservedSystemCPUs="0,99"))
    assert str(caught.value) == "reservedSystemCPUs: 0,99 are not all online; the machine has 0-11"
