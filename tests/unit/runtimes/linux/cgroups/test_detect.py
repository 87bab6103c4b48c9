"""Reading the mount table, on tables of real machines."""

from pathlib import Path

import pytest

from runtimes.linux.cgroups.contract import CgroupError
from runtimes.linux.cgroups.detect import Mounts, detect, read_mounts

ROOT = Path("/sys/fs/cgroup")

V1 = """\
24 30 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw
31 24 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
33 31 0:28 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
37 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:16 - cgroup cgroup rw,cpu,cpuacct
38 31 0:33 / /sys/fs/cgroup/memory rw,nosuid shared:17 - cgroup cgroup rw,memory
39 31 0:34 / /sys/fs/cgroup/unified rw,nosuid shared:18 - cgroup2 cgroup2 rw,nsdelegate
40 31 0:35 / /elsewhere/pids rw shared:19 - cgroup cgroup rw,pids
"""
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_hybrid_table_gives_every_v1_controller_its_mount_point() -> None:
    """Controllers that share a mount share the path; named hierarchies keep their name; mounts elsewhere do not count."""
    assert read_mounts(ROOT, V1) == Mounts(
        v1={
            "name=systemd": ROOT / "systemd",
            "cpu": ROOT / "cpu,cpuacct",
            "cpuacct": ROOT / "cpu,cpuacct",
            "memory": ROOT / "memory",
        },
        v2=ROOT / "unified",
    )


@pytest.mark.parametrize(("table", "version"), [(V1, 1), (V2, 2)])
def test_the_version_is_that_of_the_root(table: str, version: int, tmp_path: Path) -> None:
    """A unified hierarchy counts only at the root itself; a hybrid machine is v1."""
    (tmp_path / "mountinfo").write_text(table)
    assert detect(ROOT, tmp_path / "mountinfo").version == version


def test_a_machine_without_cgroups_is_refused(tmp_path: Path) -> None:
    """The error names the place that was looked at."""
    (tmp_path / "mountinfo").write_text("24 30 0:22 / /sys rw - sysfs sysfs rw\n")
    with pytest.raises(CgroupError, match="no cgroups are mounted below /sys/fs/cgroup"):
        detect(ROOT, tmp_path / "mountinfo")
