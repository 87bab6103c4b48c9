"""How cgroups are mounted, and whether the controllers that hold pods' limits are there."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nodeagent.cli.check.finding import Finding, absent, degraded, found, missing
from nodeagent.config import Config
from runtimes.linux.cgroups.contract import LIMITING

_GROUP = "cgroups"
_USEFUL = ("cpuset", "hugetlb", "io")
_V1_NAMES = {"io": "blkio"}
MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """`v1`: controllers of v1 hierarchies. `v2_path`: where the unified hierarchy is, if anywhere; `v2`: its controllers."""

    v1: frozenset[str]
    v2_path: Path | None
    v2: frozenset[str]

    @property
    def mode(self) -> str:
        if self.v2_path is None:
            return "v1" if self.v1 else "none"
        return "hybrid" if self.v1 else "v2"


def examine(config: Config, mounts: Path = MOUNTS) -> list[Finding]:
    mounted = read(mounts.read_text())
    if mounted.mode == "none":
        return [missing(_GROUP, "mode", "no cgroup hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup")]
    if mounted.mode != "v2" and config.kubelet.failCgroupV1:
        return [missing(_GROUP, "mode", f"{mounted.mode}, and failCgroupV1 is set", "boot with cgroup v2, or unset it")]
    findings = [found(_GROUP, "mode", mounted.mode), *controllers(mounted)]
    crun = [name for name, runtime in config.agent.runtimes.items() if Path(runtime.path).name == "crun"]
    return [*findings, *(crun_on_hybrid(mounted) if crun else ())]


def read(mounts: str, controllers_file: str = "cgroup.controllers") -> Mounted:
    """Understand /proc/self/mounts; reads the unified hierarchy's list of controllers."""
    v1: set[str] = set()
    v2_path: Path | None = None
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        if fields[2] == "cgroup":
            v1 |= set(fields[3].split(","))
        elif fields[2] == "cgroup2" and v2_path is None:
            v2_path = Path(fields[1])
    v2: frozenset[str] = frozenset()
    if v2_path is not None:
        try:
            v2 = frozenset((v2_path / controllers_file).read_text().split())
        except OSError:
            v2_path = None
    known = {*LIMITING, *_USEFUL, *_V1_NAMES.values(), "cpuacct", "devices", "freezer"}
    return Mounted(v1=frozenset(v1 & known), v2_path=v2_path, v2=v2)


def controllers(mounted: Mounted) -> Iterable[Finding]:
    there = mounted.v1 | mounted.v2 if mounted.mode == "hybrid" else (mounted.v2 or mounted.v1)
    for name in LIMITING:
        if name in there:
            yield found(_GROUP, name)
        else:
            fix = f"boot with cgroup_enable={name}"
            yield missing(_GROUP, name, f"no {name} controller: limits cannot be held", fix)
    for name in _USEFUL:
        if name in there or _V1_NAMES.get(name) in there:
            yield found(_GROUP, name)
        else:
            yield absent(_GROUP, name, "no such controller", f"boot with cgroup_enable={name}")


def crun_on_hybrid(mounted: Mounted) -> Iterable[Finding]:
    """crun refuses to start while both kinds are mounted and the v2 hierarchy owns a controller."""
    if mounted.mode != "hybrid":
        return
    if not mounted.v2:
        yield found(_GROUP, "crun on a hybrid host", "the v2 hierarchy owns no controller")
        return
    owned = ", ".join(sorted(mounted.v2))
    commands = [
        f"mkdir -p /sys/fs/cgroup/{name} && mount -t cgroup -o {name} cgroup /sys/fs/cgroup/{name}"
        for name in (_V1_NAMES.get(name, name) for name in sorted(mounted.v2))
    ]
    detail = f"crun does not start a container while the v2 hierarchy owns {owned}"
    yield degraded(_GROUP, "crun on a hybrid host", detail, " && ".join(commands))
