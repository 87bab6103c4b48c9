"""Where cgroups are in their hierarchies, what is missing of them, and how they go."""

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest
from cgroupspy.controllers import Controller

from runtimes.linux.cgroups import tree
from runtimes.linux.cgroups.cleanup import kill_all, missing, remove_when_empty
from runtimes.linux.cgroups.contract import CgroupError, Cgroups
from runtimes.linux.cgroups.detect import detect

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""
PURE = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"


def machine(folder: Path, table: str) -> Cgroups:
    (folder / "mountinfo").write_text(table.replace("/sys/fs/cgroup", str(folder / "cg")))
    return detect(folder / "cg", folder / "mountinfo")


def test_hierarchies(tmp_path: Path) -> None:
    """v1 with its controllers, and the unified one of a hybrid host; v2 has one for all."""
    assert machine(tmp_path, HYBRID).directories("/a") == tuple(
        tmp_path / "cg" / name / "a" for name in ("memory", "cpu,cpuacct", "systemd", "unified")
    )
    assert machine(tmp_path, PURE).directories("/a/b") == (tmp_path / "cg/a/b",)
    assert machine(tmp_path, PURE).directories("a/b/") == (tmp_path / "cg/a/b",), "CRI's parents come in any form"


def test_missing_parents(tmp_path: Path) -> None:
    """What is not there is to be removed later, and what another sandbox has made; shallowest first."""
    cgroups, root = machine(tmp_path, PURE), tmp_path / "cg"
    (root / "a").mkdir(parents=True)
    assert missing(cgroups, "/a/b/c") == [f"{root}/a/b", f"{root}/a/b/c"]
    assert missing(cgroups, "/a") == []
    assert missing(cgroups, "/a/b", {f"{root}/a"}) == [f"{root}/a", f"{root}/a/b"]


def test_removal(tmp_path: Path) -> None:
    """The cgroup and those below it, in every hierarchy."""
    cgroups = machine(tmp_path, HYBRID)
    for directory in cgroups.directories("/pod/ctr/inner"):
        directory.mkdir(parents=True)
    remove_when_empty(cgroups, "/pod/ctr")
    assert [directory.exists() for directory in cgroups.directories("/pod/ctr")] == [False] * 4
    assert [directory.exists() for directory in cgroups.directories("/pod")] == [True] * 4


def test_nested_deeper_than_python_recurses(tmp_path: Path) -> None:
    """A container may do that in a loop: its processes are found and its cgroups go."""
    cgroups, deep = machine(tmp_path, PURE), tmp_path / "cg/c"
    deep.mkdir(parents=True)
    for _ in range(1200):
        deep /= "d"
        deep.mkdir()
    (deep / "cgroup.procs").write_text("7\n")
    assert cgroups.processes("/c") == {7}
    (deep / "cgroup.procs").unlink()
    assert cgroups.remove("/c")
    assert not (tmp_path / "cg/c").exists()


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP])
def test_cgroups_that_list_no_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """One that is gone, is going, or is threaded has none of its own; other errors name the cgroup."""
    directory = str(tmp_path)
    answers = [number, errno.EIO]

    def refuse(*_: object) -> None:
        raise OSError(answers[0], os.strerror(answers.pop(0)))

    monkeypatch.setattr(tree, "open", refuse, raising=False)
    assert tree.processes(directory) == frozenset()
    with pytest.raises(CgroupError, match="Input/output error") as caught:
        tree.processes(directory)
    assert caught.value.filename == directory


@pytest.mark.parametrize("table", [HYBRID, PURE], ids=["v1", "v2"])
def test_everything_in_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """Also without a freezer (v1), and on a kernel that cannot kill a cgroup at once (v2, before 5.14). Zero is nobody."""

    def no_such_file(*_: object) -> int:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(Controller, "set_property", no_such_file)
    cgroups = machine(tmp_path, table)
    child = subprocess.Popen(["sleep", "600"])
    below = cgroups.directories("/c/inner")[0]
    below.mkdir(parents=True)
    (below / "cgroup.procs").write_text(f"0\n{child.pid}\n")
    try:
        assert cgroups.processes("/c") == {child.pid}
        cgroups.kill("/c")
        assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()


def test_nothing_to_kill_is_fine(tmp_path: Path) -> None:
    """At once, and nothing is made."""
    cgroups = machine(tmp_path, HYBRID)
    kill_all(cgroups, "/gone")
    remove_when_empty(cgroups, "/gone")
    assert not (tmp_path / "cg").exists()
