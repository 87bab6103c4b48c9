"""Memory, huge pages and tasks: processes that want more than they may have, in a container, in a pod, beside a neighbour."""

from typing import Any

import pytest
from cgroup_files import UNIFIED, CgroupFiles, container_cgroup, has_controller, pod_cgroup
from node_under_test import NodeUnderTest, eventually, restart_count
from pods_under_test import container, make_pod, restarted, shell, state_of, status_of

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("limits")]

MIB = 1 << 20
PIDS = 30
EATS = "sleep 0.5; exec tail /dev/zero"


def limits(**amounts: str) -> dict[str, Any]:
    return {"resources": {"limits": amounts, "requests": amounts}}


def delete(node: NodeUnderTest, *names: str) -> None:
    node.delete_pods(*names)


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_container_that_wants_more_is_killed(node: NodeUnderTest, runtime: str) -> None:
    """OOMKilled with 137, told as the last state once it has started again; its neighbour in the pod goes on; without swap."""
    spec = {"runtimeClassName": runtime} if runtime != "runc" else {}
    eater = shell("c", EATS, **limits(cpu="100m", memory="16Mi"))
    node.apply(make_pod(f"eats-{runtime}", eater, container("d", **limits(cpu="10m", memory="16Mi")), **spec))
    pod = node.pod_when(f"eats-{runtime}", restarted(1))
    last = status_of(pod)["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)
    assert (restart_count({"status": {"containerStatuses": [status_of(pod, "d")]}}), state_of(pod, "d")[0]) == (
        0,
        "running",
    )
    calm = container_cgroup(node, pod, "d")
    assert (calm.memory_limit(), pod_cgroup(node, pod).memory_limit()) == (16 * MIB, 32 * MIB)
    assert calm.oom_group() is UNIFIED
    assert without_swap(calm)
    delete(node, f"eats-{runtime}")


def without_swap(cgroup: CgroupFiles) -> bool:
    """Whether nothing of it may go to swap, as far as this kernel counts that."""
    file = cgroup.file("memory", "memory.swap.max" if UNIFIED else "memory.memsw.limit_in_bytes")
    return not file.exists() or file.read_text().strip() == ("0" if UNIFIED else str(cgroup.memory_limit()))


def test_containers_share_what_their_pod_may_have(node: NodeUnderTest) -> None:
    """Each may have all of the pod's; together they may not, and who comes last is killed far below the limit."""
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory"}}]
    holds = "dd if=/dev/zero of=/v/held bs=1M count=24 2>/dev/null; exec sleep 100000"
    mounts = [{"name": "v", "mountPath": "/v"}]
    last = shell("d", "until [ -e /v/held ] && sleep 1; do sleep 0.1; done; exec tail /dev/zero", volumeMounts=mounts)
    pod = make_pod("together", shell("c", holds, volumeMounts=mounts), last, volumes=volumes, restartPolicy="Never")
    pod["spec"] |= limits(cpu="100m", memory="32Mi")
    node.apply(pod)
    ended = node.pod_when("together", lambda found: state_of(found, "d")[0] == "terminated")
    assert state_of(ended, "d")[1:] == ("OOMKilled", 137)
    assert state_of(ended)[0] == "running"
    whole = pod_cgroup(node, ended)
    assert (whole.memory_limit(), container_cgroup(node, ended).memory_limit()) == (32 * MIB, 32 * MIB)
    assert whole.memory_peak() <= 32 * MIB
    delete(node, "together")


def test_a_fork_bomb(node: NodeUnderTest) -> None:
    """It stops at podPidsLimit, for all containers of the pod together; a neighbour forks as ever."""
    bomb = "sleep 0.5; (while :; do sleep 100000 & done); exec sleep 100000"
    node.apply(make_pod("bomb", shell("c", "sleep 100000; :"), shell("d", bomb)), make_pod("calm"))
    whole = pod_cgroup(node, node.pod_when("bomb", lambda found: "containerID" in status_of(found, "d")))
    assert whole.pids_limit() == PIDS
    eventually(lambda: "can't fork" in node.container_log("bomb", "d"), "a fork is refused")
    eventually(
        lambda: whole.pids_usage() == PIDS - 1, "what it has started stays"
    )  # but for the shell that was refused
    assert container_cgroup(node, node.pod("bomb"), "d").pids_usage() == PIDS - 3
    node.running("calm")
    assert node.kubectl("exec", "calm", "--", "sh", "-c", "(echo fine)") == "fine\n"
    delete(node, "bomb", "calm")


@pytest.mark.skipif(not has_controller("hugetlb"), reason="no hugetlb controller")
def test_huge_pages(node: NodeUnderTest, huge_pages: int) -> None:
    """A pod gets the huge pages that it asks for, and the node's others are not for it."""
    if not huge_pages:
        pytest.skip("this kernel has no huge pages to give")
    volumes = [{"name": "v", "emptyDir": {"medium": "HugePages-2Mi"}}]
    amounts = {"cpu": "100m", "memory": "16Mi", "hugepages-2Mi": "4Mi"}
    script = "fallocate -l 4M /v/mine && echo mine; fallocate -l 2M /v/other 2> /dev/null || echo refused; sleep 100000"
    mounts = [{"name": "v", "mountPath": "/v"}]
    resources = {"limits": amounts, "requests": amounts}
    holder = shell("c", script, volumeMounts=mounts, resources=resources)
    node.apply(make_pod("huge", holder, volumes=volumes, restartPolicy="Never"))
    whole = pod_cgroup(node, node.running("huge"))
    eventually(lambda: node.container_log("huge", "c") == "mine\nrefused", "two pages, and no third one")
    assert int(whole.text("hugetlb", "hugetlb.2MB.max" if UNIFIED else "hugetlb.2MB.limit_in_bytes")) == 4 * MIB
    above = CgroupFiles(f"{node.cgroup}/kubepods")
    assert (
        int(above.text("hugetlb", "hugetlb.2MB.max" if UNIFIED else "hugetlb.2MB.limit_in_bytes"))
        == huge_pages * 2 * MIB
    )
    delete(node, "huge")


def test_memory_is_kept(node: NodeUnderTest) -> None:
    """MemoryQoS in tiers: min, low and high of a pod, its container and the node's part; on v1 the node says that it has none."""
    assert ("MemoryQoS is not in force: it needs cgroup v2" in node.log()) is not UNIFIED
    some = {"resources": {"requests": {"memory": "8Mi"}, "limits": {"memory": "16Mi"}}}
    node.apply(
        make_pod("kept", container("c", **limits(cpu="10m", memory="16Mi"))), make_pod("some", container("c", **some))
    )
    kept, less = node.running("kept"), node.running("some")
    files = [of(node, pod).memory_protection() for pod in (kept, less) for of in (pod_cgroup, container_cgroup)]
    none = {"min": 0, "low": 0, "high": None}
    low = none | {"low": 8 * MIB}
    high = (8 * MIB + 8 * MIB * 9 // 10) // 4096 * 4096
    wanted = [none | {"min": 16 * MIB}, none | {"min": 16 * MIB}, low, low | {"high": high}]
    assert files == (wanted if UNIFIED else [{}] * 4)
    if UNIFIED:
        system = CgroupFiles(f"{node.cgroup}/system").memory_protection()
        assert (system["min"], CgroupFiles(f"{node.cgroup}/kubepods").memory_protection()["min"]) == (
            64 * MIB,
            24 * MIB,
        )
    delete(node, "kept", "some")
