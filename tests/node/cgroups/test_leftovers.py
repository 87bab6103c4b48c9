"""What hack/test does with what a run that was killed has left, before it begins (tests/support/leftovers.py)."""

import re
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from leftovers import take_of_pods
from live_trees import remove_cgroups
from node_under_test import eventually

from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.linux.cgroups.detect import detect

pytestmark = pytest.mark.node


def runs(pid: int, program: Path) -> bool:
    """No zombie: the first process may take its time with those."""
    try:
        return str(program) in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_what_a_killed_run_left_is_taken_away(tmp_path: Path) -> None:
    """Orphans, mounts, and cgroups with who is in them; the process of somebody who only looks at its files stays."""
    program, cgroup, disk = tmp_path / "sleep", f"/naleft{uuid.uuid4().hex[:8]}", tmp_path / "disk"
    shutil.copy(shutil.which("sleep") or "", program)
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
    cgroups = detect()
    cgroups.create(cgroup)
    cgroups.apply(cgroup, CgroupLimits(pids_limit=50))
    looks = subprocess.Popen([program, "1000"])
    inside = subprocess.Popen(["sleep", "1000"])
    try:
        cgroups.adopt(cgroup, inside.pid)
        orphan = int(subprocess.check_output(["sh", "-c", f"{program} 1000 > /dev/null & echo $!"]))
        eventually(lambda: runs(orphan, program), "it runs")
        take_of_pods(re.compile(re.escape(str(tmp_path))), (cgroup[1:],))
        assert (inside.wait(10), looks.poll()) == (-9, None)
        assert not runs(orphan, program)
        assert not disk.is_mount()
        assert not cgroups.exists(cgroup)
    finally:
        for process in (looks, inside):
            process.kill()
            process.wait()
        subprocess.run(["umount", "-l", disk], capture_output=True, check=False)
        remove_cgroups(cgroup)
