"""Names and trees of cgroups."""

import pytest

from proto import cri_pb2 as cri
from runtimes.oci.cgroups import CgroupTree, container_cgroup, expand_slice, oci_cgroups_path
from runtimes.oci.statistics import CgroupReader

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""
PURE = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"


def tree(tmp_path, text):
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(text.replace("/sys/fs/cgroup", str(tmp_path / "cg")))
    return CgroupTree.detect(mountinfo)


@pytest.mark.parametrize(
    ("parent", "driver", "cgroup", "oci"),
    [
        ("/kubepods/pod1", "cgroupfs", "/kubepods/pod1/abc", "/kubepods/pod1/abc"),
        ("/", "cgroupfs", "/abc", "/abc"),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx_1.slice",
            "systemd",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx_1.slice/nodeagent-abc.scope",
            "kubepods-burstable-podx_1.slice:nodeagent:abc",
        ),
        ("system.slice", "systemd", "/system.slice/nodeagent-abc.scope", "system.slice:nodeagent:abc"),
    ],
)
def test_names(parent, driver, cgroup, oci):
    """A path for cgroupfs; slice, prefix and name for systemd, whose scope is then where the dashes say."""
    assert container_cgroup(parent, "abc", driver) == cgroup
    assert oci_cgroups_path(parent, "abc", driver) == oci


def test_slices():
    """Every dash is a parent."""
    assert expand_slice("a-b-c.slice") == "/a.slice/a-b.slice/a-b-c.slice"


def test_hierarchies(tmp_path):
    """v1 with its controllers, hybrid or not; v2 when no controller is v1."""
    hybrid = tree(tmp_path, HYBRID)
    assert not hybrid.unified
    assert hybrid.directory("memory", "/a/b") == tmp_path / "cg/memory/a/b"
    assert hybrid.directory("cpuacct", "/a") == tmp_path / "cg/cpu,cpuacct/a"
    assert hybrid.directories("/a") == [
        tmp_path / "cg" / name / "a" for name in ("memory", "cpu,cpuacct", "systemd", "unified")
    ]
    pure = tree(tmp_path, PURE)
    assert pure.unified
    assert pure.directory("memory", "/a") == tmp_path / "cg/a"


def test_missing_parents(tmp_path):
    """What is not there is to be removed later, and what another sandbox has made; shallowest first."""
    found = tree(tmp_path, PURE)
    root = tmp_path / "cg"
    (root / "a").mkdir(parents=True)
    assert found.missing("/a/b/c") == [f"{root}/a/b", f"{root}/a/b/c"]
    assert found.missing("/a") == []
    assert found.missing("/a/b", {f"{root}/a"}) == [f"{root}/a", f"{root}/a/b"]


def test_oom_kills(tmp_path):
    """The counter of either version; none when the cgroup is gone."""
    old, new = tree(tmp_path, HYBRID), tree(tmp_path, PURE)
    for path, text in (
        ("memory/pod/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ("pod/memory.events", "low 0\noom 5\noom_kill 3\noom_group_kill 1\n"),
    ):
        file = tmp_path / "cg" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert (old.oom_kills("/pod"), new.oom_kills("/pod"), new.oom_kills("/gone")) == (2, 3, 0)


def test_removal(tmp_path):
    """The cgroup and those below it, in every hierarchy."""
    found = tree(tmp_path, HYBRID)
    for directory in found.directories("/pod/ctr/inner"):
        directory.mkdir(parents=True)
    found.remove("/pod/ctr")
    assert [directory.exists() for directory in found.directories("/pod/ctr")] == [False] * 4
    assert [directory.exists() for directory in found.directories("/pod")] == [True] * 4


FILES_V1 = {
    "cpu,cpuacct/c/cpuacct.usage": "123456789\n",
    "memory/c/memory.usage_in_bytes": "1000\n",
    "memory/c/memory.memsw.usage_in_bytes": "1500\n",
    "memory/c/memory.limit_in_bytes": "5000\n",
    "memory/c/memory.stat": "inactive_file 1\ntotal_inactive_file 300\ntotal_rss 400\ntotal_pgfault 7\ntotal_pgmajfault 2\n",
}
FILES_V2 = {
    "c/cpu.stat": "usage_usec 123456\nuser_usec 1\n",
    "c/memory.current": "1000\n",
    "c/memory.max": "max\n",
    "c/memory.swap.current": "50\n",
    "c/memory.swap.max": "80\n",
    "c/memory.stat": "anon 400\ninactive_file 300\npgfault 7\npgmajfault 2\n",
    "c/memory.pressure": "some avg10=1.50 avg60=0.25 avg300=0.00 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
}


@pytest.mark.parametrize(("mounts", "files", "available"), [(HYBRID, FILES_V1, 4300), (PURE, FILES_V2, 0)])
def test_figures(tmp_path, mounts, files, available):
    """Usage, working set, faults and swap, whatever the files are called."""
    for name, text in files.items():
        path = tmp_path / "cg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    reader = CgroupReader(tree(tmp_path, mounts), "/c")
    assert reader.cpu_usage_ns() == (123456789 if files is FILES_V1 else 123456000)
    memory, swap = cri.MemoryUsage(), cri.SwapUsage()
    reader.fill_memory(memory)
    reader.fill_swap(swap)
    assert memory.usage_bytes.value == 1000
    assert memory.working_set_bytes.value == 700
    assert memory.rss_bytes.value == 400
    assert (memory.page_faults.value, memory.major_page_faults.value) == (7, 2)
    assert memory.available_bytes.value == available
    if files is FILES_V2:
        assert (swap.swap_usage_bytes.value, swap.swap_available_bytes.value) == (50, 30)
        assert memory.psi.Some == cri.PsiData(Avg10=1.5, Avg60=0.25, Total=12345)
        assert memory.psi.Full.Total == 7
    else:
        assert swap.swap_usage_bytes.value == 500


def test_figures_of_nothing(tmp_path):
    """A cgroup that is gone has none."""
    reader = CgroupReader(tree(tmp_path, PURE), "/gone")
    memory = cri.MemoryUsage()
    reader.fill_memory(memory)
    assert (reader.cpu_usage_ns(), reader.process_count(), memory) == (None, 0, cri.MemoryUsage())
