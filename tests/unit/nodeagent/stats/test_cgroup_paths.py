"""Which cgroups pods and containers are in."""

from typing import cast

from nodeagent.stats.cgroup_paths import CgroupPaths
from nodeagent.stats.pods import ContainerStats, PodStats
from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import Cgroups


class Kernel:
    """Two pods, made by different runtimes; another whose cgroup has just gone."""

    def __init__(self) -> None:
        self.listed: list[str] = []

    def find(self, uid: str) -> str | None:
        return None if uid == "lost" else f"/kubepods/pod{uid}"

    def children(self, path: str) -> tuple[str, ...]:
        self.listed.append(path)
        names = {"/kubepods/podu1": ("c1", "s1"), "/kubepods/podu2": ("cri-containerd-c2.scope",)}
        if path not in names:
            raise FileNotFoundError(path)
        return names[path]


def pod(uid: str, sandbox: str, *containers: str) -> PodStats:
    found = [
        ContainerStats(
            name=name,
            image="",
            created_ns=0,
            stats=cri.ContainerStats(attributes=cri.ContainerAttributes(id=name)),
        )
        for name in containers
    ]
    stats = cri.PodSandboxStats(attributes=cri.PodSandboxAttributes(id=sandbox))
    return PodStats(namespace="", name="", uid=uid, created_ns=0, stats=stats, containers=tuple(found))


def test_by_the_runtimes_ids() -> None:
    """A pod's id leads to the pod's cgroup, a container's to its own, with systemd too; what is nowhere is left out."""
    kernel = Kernel()
    paths = CgroupPaths(cast(Cgroups, kernel), kernel.find)
    first, second = pod("u1", "s1", "c1"), pod("u2", "s2", "c2")
    assert paths.read([first, second, pod("gone", "s3", "c3"), pod("lost", "s4", "c4")]) == {
        "s1": "/kubepods/podu1",
        "c1": "/kubepods/podu1/c1",
        "s2": "/kubepods/podu2",
        "c2": "/kubepods/podu2/cri-containerd-c2.scope",
        "s3": "/kubepods/podgone",
    }
    kernel.listed.clear()
    assert set(paths.read([first])) == {"s1", "c1"}
    assert kernel.listed == []
    assert set(paths.read([pod("u1", "s1", "c1", "new")])) == {"s1", "c1"}
    assert kernel.listed == ["/kubepods/podu1"]
