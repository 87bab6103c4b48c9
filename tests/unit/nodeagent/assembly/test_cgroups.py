"""What the configuration gives to pods, to the system and to the agent."""

import dataclasses
from pathlib import Path

import pytest
import small_machine
from configured import config

from nodeagent.assembly import cgroups
from runtimes.linux.cgroups.contract import CgroupLimits

MACHINE = dataclasses.replace(
    small_machine.MACHINE, memory_bytes=8 << 30, hugepages={2 << 20: 8, 1 << 30: 0}, max_pids=10000
)
RESERVED = {
    "systemReserved": {"cpu": "500m", "memory": "1Gi", "pid": "100"},
    "kubeReserved": {"cpu": "500m", "memory": "1Gi"},
    "systemReservedCgroup": "/system",
    "kubeReservedCgroup": "/kube",
}
HUGE = {"2MB": 16 << 20, "1GB": 0}
ALLOCATABLE = CgroupLimits(cpu_shares=3072, memory_limit_bytes=6 << 30, pids_limit=9900, hugetlb_bytes=HUGE)
ALL = CgroupLimits(cpu_shares=4096, memory_limit_bytes=8 << 30, pids_limit=10000, hugetlb_bytes=HUGE)


@pytest.mark.parametrize(
    ("enforced", "limits"),
    [
        (None, ALLOCATABLE),
        (["pods"], ALLOCATABLE),
        (["none"], ALL),
        ([], ALL),
        (["system-reserved"], ALL),
    ],
)
def test_what_pods_are_held_to(tmp_path: Path, enforced: list[str] | None, limits: CgroupLimits) -> None:
    """Capacity less what is reserved, where "pods" is enforced; else all of it."""
    fields = RESERVED if enforced is None else RESERVED | {"enforceNodeAllocatable": enforced}
    assert cgroups.node_cgroup_limits(config(tmp_path, **fields), MACHINE) == limits


@pytest.mark.parametrize(
    ("enforced", "limits"),
    [
        (["pods"], {}),
        (["none"], {}),
        (
            ["pods", "system-reserved", "kube-reserved"],
            {
                "/system": CgroupLimits(cpu_shares=512, memory_limit_bytes=1 << 30, pids_limit=100),
                "/kube": CgroupLimits(cpu_shares=512, memory_limit_bytes=1 << 30),
            },
        ),
        (
            ["system-reserved-compressible", "kube-reserved-compressible"],
            {"/system": CgroupLimits(cpu_shares=512), "/kube": CgroupLimits(cpu_shares=512)},
        ),
    ],
)
def test_what_the_system_is_held_to(tmp_path: Path, enforced: list[str], limits: dict[str, CgroupLimits]) -> None:
    """The reservations' own cgroups: all that is reserved for them, or of it only what can be squeezed."""
    fields = RESERVED | {"enforceNodeAllocatable": enforced}
    assert cgroups.reserved_cgroup_limits(config(tmp_path, **fields)) == limits
