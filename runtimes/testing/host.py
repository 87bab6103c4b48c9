"""What a runtime leaves on the host, and what it needs there."""

import contextlib
import os
import subprocess
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def leaks(directory: Path, cgroup_parent: str) -> list[str]:
    """Mounts, processes and cgroups that name the test's own folder or cgroup."""
    found = [line for line in _mounts() if str(directory) in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                if str(directory) in argv:
                    found.append(f"process {entry.name}: {argv}")
    for root in _CGROUPS.iterdir():
        found += [
            str(path)
            for path in (root / cgroup_parent.lstrip("/"), root)
            if path.name == cgroup_parent[1:] and path.exists()
        ]
    return found


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()


def remove_cgroups(parent: str) -> None:
    """The pods' cgroups, which are the agent's to remove, not every CRI runtime's."""
    for root in (_CGROUPS, *_CGROUPS.iterdir()):
        for path, _, _ in os.walk(root / parent.lstrip("/"), topdown=False):
            Path(path).rmdir()


def mount_hugetlb() -> None:
    """crun wants no controller left to the v2 hierarchy on a host that is hybrid otherwise."""
    unified = _CGROUPS / "unified" / "cgroup.controllers"
    target = _CGROUPS / "hugetlb"
    if unified.exists() and not target.is_mount():
        target.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", str(target)], check=False)
