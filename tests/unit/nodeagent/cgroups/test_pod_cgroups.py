"""The order of things in PodCgroups, on cgroups that only record."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from nodeagent.cgroups.naming import SystemdNaming
from nodeagent.cgroups.pod_cgroups import PodCgroups
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits, CgroupStats


@dataclass
class Recorder:
    """A machine with one huge page size; `busy` counts how often removal of a path fails."""

    version: int = 2
    controllers: frozenset[str] = frozenset({"cpu", "memory", "pids", "hugetlb"})
    huge_page_sizes: tuple[str, ...] = ("2MB",)
    made: dict[str, Mapping[str, int]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    busy: dict[str, int] = field(default_factory=dict)
    refuse: str = ""

    def exists(self, path: str) -> bool:
        return path in self.made

    def create(self, path: str) -> None:
        self.calls.append(f"create {path}")
        self.made[path] = {}

    def apply(self, path: str, limits: CgroupLimits) -> None:
        self.calls.append(f"apply {path} shares={limits.cpu_shares} huge={dict(limits.hugetlb_bytes)}")
        if path == self.refuse:
            raise CgroupError("refused")

    def stats(self, path: str) -> CgroupStats:
        raise NotImplementedError

    def children(self, path: str) -> tuple[str, ...]:
        return tuple(known.rpartition("/")[2] for known in self.made if known.rpartition("/")[0] == path)

    def processes(self, path: str) -> frozenset[int]:
        return frozenset({7})

    def kill(self, path: str) -> None:
        self.calls.append(f"kill {path}")

    def remove(self, path: str) -> bool:
        self.calls.append(f"remove {path}")
        if self.busy.get(path, 0) > 0:
            self.busy[path] -= 1
            return False
        self.made.pop(path, None)
        return True


@dataclass
class Units:
    calls: list[str]

    async def start(self, path: str, limits: CgroupLimits) -> None:
        self.calls.append(f"unit start {path}")

    async def update(self, path: str, limits: CgroupLimits) -> None:
        self.calls.append(f"unit update {path}")

    async def stop(self, path: str) -> None:
        self.calls.append(f"unit stop {path}")


async def no_sleep(seconds: float) -> None:
    return


async def test_start_makes_parents_first_and_bounds_huge_pages_at_the_node() -> None:
    """kubepods gets 0 of every page size that it was not given, its classes no bound; burstable keeps its shares."""
    kernel = Recorder()
    await PodCgroups(kernel).start(CgroupLimits(cpu_shares=2048))
    assert kernel.calls == [
        "create /kubepods",
        "apply /kubepods shares=2048 huge={'2MB': 0}",
        "create /kubepods/burstable",
        f"apply /kubepods/burstable shares=None huge={{'2MB': {1 << 62}}}",
        "create /kubepods/besteffort",
        f"apply /kubepods/besteffort shares=2 huge={{'2MB': {1 << 62}}}",
    ]


async def test_a_pod_that_has_its_cgroup_is_left_alone() -> None:
    """Limits are written once, at creation."""
    kernel = Recorder()
    pods = PodCgroups(kernel)
    for _ in range(2):
        assert await pods.ensure("u", "Guaranteed", CgroupLimits(cpu_shares=10)) == "/kubepods/podu"
    assert kernel.calls == ["create /kubepods/podu", "apply /kubepods/podu shares=10 huge={'2MB': 0}"]


async def test_a_cgroup_without_its_limits_is_not_left_behind() -> None:
    """When the limits are refused, the next try starts from nothing."""
    kernel = Recorder(refuse="/kubepods/podu")
    pods = PodCgroups(kernel)
    with pytest.raises(CgroupError, match="refused"):
        await pods.ensure("u", "Guaranteed", CgroupLimits())
    assert kernel.made == {}


async def test_removal_kills_until_it_is_empty() -> None:
    """The first try needs no kill; a busy cgroup is killed and tried again until it goes."""
    kernel = Recorder(busy={"/kubepods/burstable/podu": 2})
    pods = PodCgroups(kernel, sleep=no_sleep)
    await pods.remove("u")
    busy = "/kubepods/burstable/podu"
    assert kernel.calls == [
        "remove /kubepods/podu",
        *(f"remove {busy}", f"kill {busy}", f"remove {busy}", f"kill {busy}", f"remove {busy}"),
        "remove /kubepods/besteffort/podu",
    ]


async def test_what_cannot_be_killed_is_an_error_with_its_processes() -> None:
    """After five kills and the last pause the error names the cgroup and what is in it."""
    kernel = Recorder(busy={"/kubepods/podu": 1000})
    with pytest.raises(CgroupError, match=r"cgroup /kubepods/podu cannot be removed: processes \[7\]"):
        await PodCgroups(kernel, sleep=no_sleep).remove("u")
    assert kernel.calls.count("kill /kubepods/podu") == 5


async def test_pods_of_all_classes_are_listed() -> None:
    """UIDs come back from the directory names; the class directories are none."""
    pods = PodCgroups(Recorder(), root=("natest",))
    await pods.start(CgroupLimits())
    for uid, qos in (("a", "Guaranteed"), ("b", "Burstable"), ("c", "BestEffort")):
        await pods.ensure(uid, qos, CgroupLimits())
    assert await pods.list() == {"a", "b", "c"}
    assert [await pods.exists(uid, "Burstable") for uid in ("a", "b")] == [False, True]


async def test_systemd_hears_of_every_cgroup_before_the_kernel() -> None:
    """The unit is started before the directory is used, updated before files are written, stopped before removal."""
    kernel = Recorder(huge_page_sizes=())
    pods = PodCgroups(kernel, naming=SystemdNaming(), slices=Units(kernel.calls))
    path = await pods.ensure("a-b", "Guaranteed", CgroupLimits())
    assert path == "/kubepods.slice/kubepods-poda_b.slice"
    await pods.apply("a-b", "Guaranteed", CgroupLimits())
    await pods.remove("a-b")
    assert kernel.calls[:7] == [
        f"unit start {path}",
        f"create {path}",
        f"apply {path} shares=None huge={{}}",
        f"unit update {path}",
        f"apply {path} shares=None huge={{}}",
        f"unit stop {path}",
        f"remove {path}",
    ]


def test_a_pods_cgroup_is_found_by_its_uid() -> None:
    """In whatever class it is; a pod without one has none."""
    recorder = Recorder(made={"/kubepods/burstable/podu1": {}, "/kubepods/podu2": {}})
    cgroups = PodCgroups(recorder)  # type: ignore[arg-type]
    found = [cgroups.find(uid) for uid in ("u1", "u2", "u3")]
    assert found == ["/kubepods/burstable/podu1", "/kubepods/podu2", None]
