"""One node for the tests of limits: on one CPU, in a gigabyte, with few tasks, so that nothing here endangers the machine.

They run on cgroup v1 and, in a kernel of their own, on v2: what the kernel says is read through `cgroup_files`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cgroup_files import CgroupFiles, has_controller
from node_fixtures import demo_image, own_node
from node_under_test import NodeUnderTest, import_image, make_node
from runtime_classes import runtime_class

from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.linux.cgroups.detect import detect

__all__ = ["demo_image", "huge_pages", "node", "own_node"]

MIB = 1 << 20
PIDS = 30
PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
HUGE_PAGES = 4
KUBELET: dict[str, Any] = {
    "podPidsLimit": PIDS,
    "systemReserved": {"cpu": "100m", "memory": "64Mi", "pid": "100"},
    "kubeReserved": {"cpu": "200m", "memory": "32Mi"},
    "enforceNodeAllocatable": ["pods", "system-reserved", "kube-reserved-compressible"],
    # of cgroup v2; on v1 the node says that it is not in force
    "featureGates": {"MemoryQoS": True},
    "memoryReservationPolicy": "TieredReservation",
    "evictionHard": {"memory.available": "1Mi"},
    "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
}


@pytest.fixture(scope="session")
def huge_pages() -> Iterator[int]:
    """Huge pages that the machine has meanwhile, 2 MiB each; 0: none can be had."""
    before = PAGES.read_text() if PAGES.exists() and has_controller("hugetlb") else ""
    if before:
        PAGES.write_text(str(int(before) + HUGE_PAGES))
    yield int(PAGES.read_text()) if before else 0
    if before:
        PAGES.write_text(before)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path, huge_pages: int) -> Iterator[NodeUnderTest]:
    """runc, and crun as a RuntimeClass; everything of the node's pods is in a cgroup that is small."""
    runtimes = {name: {"type": "oci", "path": shutil.which(name)} for name in ("runc", "crun")}
    made = make_node(tmp_path_factory.mktemp("limits"), runtimes=runtimes, defaultRuntime="runc")
    reserved = {f"{kind}ReservedCgroup": f"{made.cgroup}/{kind}" for kind in ("system", "kube")}
    made.config["kubelet"] = KUBELET | reserved
    made.directory.mkdir()
    import_image(made, demo_image)
    cgroups = detect()
    cgroups.create(made.cgroup)
    cpus = (
        {"cpuset_cpus": "0"} if has_controller("cpuset") else {}
    )  # the kernel of cgroup v2 has one CPU, and no such controller
    bounds = CgroupLimits(memory_limit_bytes=1024 * MIB, pids_limit=600, **cpus)
    cgroups.apply(made.cgroup, bounds)
    for path in reserved.values():
        cgroups.create(path)
    assert CgroupFiles(made.cgroup).memory_limit() == 1024 * MIB
    try:
        made.start()
        made.apply(runtime_class("crun"))
        yield made
    finally:
        made.clean()
