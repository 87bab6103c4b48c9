"""The cgroups above the pods': what the node and its parts are held to, what others change, and whom it leaves alone."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cgroup_files import UNIFIED, CgroupFiles, container_cgroup, has_controller, pod_cgroup, qos_cgroup, share_of
from node_under_test import NodeUnderTest, eventually
from pods_under_test import make_pod, shell

from runtimes.linux.cgroups.cleanup import remove_when_empty
from runtimes.linux.cgroups.detect import detect

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("limits")]

MIB = 1 << 20


def request(**amounts: str) -> dict[str, dict[str, str]]:
    return {"requests": amounts}


def test_what_is_reserved(node: NodeUnderTest) -> None:
    """Pods have what the node has less what is reserved; the system is held to its part, the agent to its CPU; it is told."""
    pods = CgroupFiles(f"{node.cgroup}/kubepods")
    total = psutil.virtual_memory().total
    assert pods.memory_limit() == total - 96 * MIB
    assert pods.cpu_share() == share_of(((os.cpu_count() or 1) * 1000 - 300) * 1024 // 1000)
    assert pods.cpu_quota() is None
    tasks = min(int(Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max"))
    assert pods.pids_limit() == tasks - 100
    system, kube = CgroupFiles(f"{node.cgroup}/system"), CgroupFiles(f"{node.cgroup}/kube")
    assert (system.memory_limit(), system.pids_limit(), system.cpu_share()) == (64 * MIB, 100, share_of(102))
    assert (kube.memory_limit(), kube.pids_limit(), kube.cpu_share()) == (None, None, share_of(204))

    def told() -> set[str]:
        found = node.events_of(involvedObject_kind="Node")
        return {item["message"] for item in found if item["reason"] in ("NodeAllocatableEnforced", "CgroupV1")}

    wanted = {"Updated Node Allocatable limit across pods"}
    if not UNIFIED:
        wanted.add("This node runs on cgroup v1, which Kubernetes maintains no longer: boot it with cgroup v2.")
    eventually(lambda: told() == wanted, "the node's events")


def test_classes_follow_their_pods(node: NodeUnderTest) -> None:
    """The Burstable class has the sum of its pods' requests, also when one has gone; BestEffort has the least there is."""
    burstable, least = qos_cgroup(node, "Burstable"), qos_cgroup(node, "BestEffort")
    eventually(lambda: burstable.cpu_share() == share_of(2), "no pods in the class")
    for name, milli in (("one", "400m"), ("two", "200m")):
        node.apply(make_pod(name, shell("c", "exec sleep 100000", resources=request(cpu=milli))))
    pods = [node.running(name) for name in ("one", "two")]
    assert [pod_cgroup(node, pod).cpu_share() for pod in pods] == [share_of(409), share_of(204)]
    assert (burstable.cpu_share(), least.cpu_share()) == (share_of(614), share_of(2))
    node.delete_pods("one")
    eventually(lambda: burstable.cpu_share() == share_of(204), "the class has what the other one asks for")
    node.delete_pods("two")


@pytest.fixture
def foreign(node: NodeUnderTest) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    """Cgroups beside and among the pods', each with a process: of somebody else, and of a pod that nobody knows."""
    cgroups, orphan = detect(), f"pod{uuid.uuid4()}"
    paths = {
        name: f"{node.cgroup}/{name}" for name in ("other", "kubepods/burstable/other", f"kubepods/burstable/{orphan}")
    }
    running = {}
    for name, path in paths.items():
        cgroups.create(path)
        running["orphan" if name.endswith(orphan) else name] = subprocess.Popen(["sleep", "1000"])
        for directory in cgroups.directories(path):
            if directory.exists():
                (directory / "cgroup.procs").write_text(str(list(running.values())[-1].pid))
    yield running
    for process in running.values():
        process.kill()
        process.wait()
    for path in paths.values():
        remove_when_empty(cgroups, path)


def test_orphans_go_and_others_stay(node: NodeUnderTest, foreign: dict[str, "subprocess.Popen[bytes]"]) -> None:
    """What is of a pod that nobody knows ends and goes when the agent looks around; cgroups of others it leaves alone."""
    node.apply(make_pod("passing", shell("c", "exit 0"), restartPolicy="Never"))
    node.pod_when("passing", lambda pod: pod["status"]["phase"] == "Succeeded")
    node.delete_pods("passing")
    assert foreign["orphan"].wait(60) == -9
    eventually(lambda: not list(_pods_of(node)), "the orphan's cgroup goes")
    assert [name for name, process in foreign.items() if process.poll() is None] == [
        "other",
        "kubepods/burstable/other",
    ]


def _pods_of(node: NodeUnderTest) -> list[Path]:
    """Folders of the Burstable pods in whatever hierarchy."""
    root = qos_cgroup(node, "Burstable")
    known = {pod["metadata"]["uid"] for pod in node.pods()}
    folders = {root.file(name, "").resolve() for name in ("cpu", "memory", "pids") if has_controller(name)}
    every = [entry for folder in folders for entry in folder.glob("pod*")]
    return [entry for entry in every if entry.name.removeprefix("pod") not in known]


def test_a_cgroup_that_vanished_is_made_again(node: NodeUnderTest) -> None:
    """Removed by somebody between two of its containers, a pod's cgroup is there again, limits and all, for the next one."""
    limits = {"limits": {"cpu": "100m", "memory": "16Mi"}}
    node.apply(make_pod("vanishing", shell("c", "sleep 0.3; exit 1", resources=limits)))
    pod = node.pod_when("vanishing", lambda found: found["status"].get("containerStatuses", [{}])[0].get("containerID"))
    cgroups, whole = detect(), pod_cgroup(node, pod)

    def has_limits() -> bool:
        with contextlib.suppress(OSError):
            return whole.memory_limit() == 16 * MIB and whole.cpu_quota() == (10_000, 100_000)
        return False

    def remade() -> bool:
        """Nothing ran in it, and it was made anew; what was removed while it was being made is removed again."""
        if not cgroups.remove(whole.path) or whole.exists():
            return False
        eventually(whole.exists, "it is there again")
        with contextlib.suppress(AssertionError):
            eventually(has_limits, "with its limits", 3)
        return has_limits()

    eventually(remade, "it is made again with its limits", 90)
    node.delete_pods("vanishing")


def test_oom_scores(node: NodeUnderTest) -> None:
    """By class, for the kernel's choice; where this host refuses a lower one, the lowest there is, which is said once."""
    sure = {"limits": {"cpu": "10m", "memory": "16Mi"}}
    some = {"requests": {"memory": "64Mi"}}
    node.apply(
        *(
            make_pod(name, shell("c", "exec sleep 100000", **({"resources": given} if given else {})))
            for name, given in (("sure", sure), ("sure-too", sure), ("some", some), ("none", {}))
        )
    )

    def score(name: str) -> int:
        (pid,) = container_cgroup(node, node.running(name)).processes()
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    may = bool(int(status["CapEff"], 16) & 1 << 24)  # CAP_SYS_RESOURCE
    lowest = -1000 if may else int(Path("/proc/self/oom_score_adj").read_text())
    wanted = 1000 - 1000 * 64 * MIB // psutil.virtual_memory().total
    assert [score(name) for name in ("sure", "sure-too", "some", "none")] == [
        max(each, lowest) for each in (-997, -997, min(wanted, 999), 1000)
    ]
    assert node.log().count("cannot be set: CAP_SYS_RESOURCE is missing; clamped") == (0 if may else 1)
    node.delete_pods("sure", "sure-too", "some", "none")
