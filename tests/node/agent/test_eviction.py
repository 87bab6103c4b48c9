"""A node that runs short of memory, disk or tasks: in a cgroup and on a disk that are small, so that the machine never does."""

import os
import signal
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from node_under_test import NodeUnderTest, eventually, import_image, is_ready, make_node
from pods_under_test import conditions, container, finished, make_pod, shell, state_of, told
from small_disk import small_disk

from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.linux.cgroups.detect import detect

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("eviction")]

MIB = 2**20
THRESHOLDS = {
    "memory.available": "150Mi",
    "pid.available": "200",
    "nodefs.available": "60Mi",
    "nodefs.inodesFree": "20%",
}
KUBELET = {
    "evictionHard": THRESHOLDS,
    "evictionSoft": {"pid.available": "300"},
    "evictionSoftGracePeriod": {"pid.available": "1s"},
    "evictionPressureTransitionPeriod": "1s",
    "evictionMaxPodGracePeriod": 1,
    "podPidsLimit": 1000,
}
MEMORY = {"name": "memory", "emptyDir": {"medium": "Memory"}}
IN_MEMORY = {"volumeMounts": [{"name": "memory", "mountPath": "/memory"}]}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """400 MiB of memory, 500 tasks, a disk of 192 MiB with 8192 inodes, and a folder of static pods."""
    folder, cgroups = tmp_path_factory.mktemp("eviction"), detect()
    with small_disk(folder, 192, "-N", "8192") as disk:
        manifests = folder / "manifests"
        manifests.mkdir()
        made = make_node(disk, kubelet=KUBELET | {"staticPodPath": str(manifests)})
        cgroups.create(made.cgroup)
        cgroups.apply(made.cgroup, CgroupLimits(memory_limit_bytes=400 * MIB, pids_limit=500))
        made.directory.mkdir()
        import_image(made, demo_image)
        try:
            made.start()
            yield made
        finally:
            made.clean()


def takes_memory(name: str, mebibytes: int, *, then: str = "sleep 100000", **spec: Any) -> dict[str, Any]:
    script = f"trap '' TERM; dd if=/dev/zero of=/memory/taken bs=1M count={mebibytes} 2>/dev/null; {then}"
    return make_pod(name, shell("c", script, **IN_MEMORY), volumes=[MEMORY], **spec)


def evicted(node: NodeUnderTest, name: str) -> str:
    """The message of a pod that was evicted, as its status and its event say it."""
    status = node.pod_when(name, finished, f"pod {name} is evicted")["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    event = eventually(lambda: [item for item in told(node, name) if item[1] == "Evicted"], "event")
    assert event == [("Warning", "Evicted", status["message"], "")]
    return str(status["message"])


def condition(node: NodeUnderTest, kind: str) -> str:
    found = node.api.get(f"api/v1/nodes/{node.name}")
    assert found is not None
    return str(conditions(found)[kind][0])


def node_events(node: NodeUnderTest) -> set[tuple[str, str]]:
    return {(item["reason"], item["message"]) for item in node.events_of(involvedObject_kind="Node")}


def calm(node: NodeUnderTest, kind: str) -> None:
    eventually(lambda: condition(node, kind) == "False", f"no {kind} any more")


def test_memory(node: NodeUnderTest) -> None:
    """Who takes more than it asked for goes; who keeps to it, and who is critical, stays."""
    request = {"resources": {"requests": {"memory": "100Mi"}}}
    node.apply(
        make_pod("modest", container("c", **request)),
        takes_memory("critical", 100, priorityClassName="system-node-critical"),
    )
    node.running("modest")
    node.running("critical")
    node.apply(takes_memory("greedy", 200))
    message = evicted(node, "greedy")
    assert message.startswith("The node was low on resource: memory. Threshold quantity: 150Mi, available: "), message
    assert "Container c was using " in message and message.endswith(
        ", request is 0, has larger consumption of memory. "
    ), message
    pod = node.pod("greedy")
    assert conditions(pod)["DisruptionTarget"] == ("True", "TerminationByKubelet", message)
    assert state_of(pod)[0] == "terminated" and state_of(pod)[2] == 137
    assert is_ready(node.pod("modest")) and is_ready(node.pod("critical"))
    assert ("EvictionThresholdMet", "Attempting to reclaim memory") in node_events(node)
    (event,) = node.events_of(involvedObject_name="greedy", reason="Evicted")
    annotations = event["metadata"]["annotations"]
    assert (annotations["offending_containers"], annotations["starved_resource"]) == ("c", "memory")
    eventually(lambda: "NodeHasInsufficientMemory" in {reason for reason, _ in node_events(node)}, "node's event")
    calm(node, "MemoryPressure")
    node.kubectl("delete", "pod", "modest", "critical", "greedy", "--grace-period=1")


def test_admission_under_pressure(node: NodeUnderTest) -> None:
    """While the critical alone keep the memory, BestEffort pods are sent away, and others are not."""
    node.apply(takes_memory("pinned", 280, priorityClassName="system-node-critical"))
    eventually(lambda: condition(node, "MemoryPressure") == "True", "MemoryPressure")
    node.apply(make_pod("best-effort", nodeName=node.name))  # the scheduler would not send it
    status = node.pod_when("best-effort", finished)["status"]
    assert (status["reason"], status["message"]) == (
        "Evicted",
        "Pod was rejected: The node had condition: [MemoryPressure]. ",
    )
    assert is_ready(node.running("pinned"))
    node.kubectl("delete", "pod", "pinned", "best-effort", "--grace-period=1")
    calm(node, "MemoryPressure")


def test_tasks(node: NodeUnderTest) -> None:
    """A soft threshold: the pod with the most processes goes when its grace is over, with time for its end."""
    script = "trap 'exit 7' TERM; for i in $(seq 250); do sleep 100000 & done; wait; wait"
    node.apply(make_pod("few"), make_pod("many", shell("c", script)))
    message = evicted(node, "many")
    assert message.startswith("The node was low on resource: pids. Threshold quantity: 300, available: "), message
    assert is_ready(node.running("few"))
    calm(node, "PIDPressure")
    node.kubectl("delete", "pod", "few", "many", "--grace-period=1")


def test_disk(node: NodeUnderTest) -> None:
    """What the ended left goes first, and may be enough; then the pod that wrote the most beyond what it asked for."""
    writes = "dd if=/dev/zero of=/written bs=1M count={} 2>/dev/null"
    node.apply(make_pod("ended", shell("c", writes.format(45)), restartPolicy="Never"))
    node.pod_when("ended", finished)
    node.apply(make_pod("writes", shell("c", f"{writes.format(75)}; sleep 100000")))
    eventually(lambda: ("EvictionThresholdMet", "Attempting to reclaim ephemeral-storage") in node_events(node), "met")
    calm(node, "DiskPressure")
    assert is_ready(node.running("writes"))
    assert node.pod("ended")["status"]["phase"] == "Succeeded"
    node.apply(make_pod("more", shell("c", f"{writes.format(45)}; sleep 100000")))
    message = evicted(node, "writes")
    assert message.startswith("The node was low on resource: ephemeral-storage. Threshold quantity: 60Mi, available: ")
    assert "Container c was using " in message
    calm(node, "DiskPressure")
    assert is_ready(node.running("more"))
    node.kubectl("delete", "pod", "ended", "writes", "more", "--grace-period=1")


def test_inodes(node: NodeUnderTest) -> None:
    """Empty files take no room, and still fill the disk: who makes them goes, and the node has its inodes back."""
    script = (
        "i=0; while [ $i -lt 8000 ]; do i=$((i+1)); : > /f$i; [ $((i % 100)) = 0 ] && sleep 0.05; done; sleep 100000"
    )
    node.apply(make_pod("tidy"), make_pod("files", shell("c", script)))
    message = evicted(node, "files")
    threshold = int(os.statvfs(node.directory).f_files * Fraction(20, 100))
    assert message.startswith(f"The node was low on resource: inodes. Threshold quantity: {threshold}, available: "), (
        message
    )
    assert ("EvictionThresholdMet", "Attempting to reclaim inodes") in node_events(node)
    assert is_ready(node.running("tidy"))
    calm(node, "DiskPressure")
    node.kubectl("delete", "pod", "tidy", "files", "--grace-period=1")


def test_a_static_pod_keeps_the_disk(node: NodeUnderTest) -> None:
    """It is the node's own and stays, under pressure and above its own limit; other pods are sent away, critical ones are not."""
    limit = {"resources": {"limits": {"ephemeral-storage": "100Mi"}}}
    script = "dd if=/dev/zero of=/x bs=1M count=125 2>/dev/null; sleep 100000"
    manifest = Path(node.config["kubelet"]["staticPodPath"]) / "fixed.yaml"
    manifest.write_text(yaml.safe_dump(make_pod("fixed", shell("c", script, **limit), terminationGracePeriodSeconds=1)))
    try:
        eventually(lambda: condition(node, "DiskPressure") == "True", "DiskPressure")
        node.apply(
            make_pod("refused", container("c", resources={"requests": {"memory": "1Mi"}}), nodeName=node.name),
            make_pod("critical", priorityClassName="system-node-critical", nodeName=node.name),
        )
        status = node.pod_when("refused", finished)["status"]
        assert (status["reason"], status["message"]) == (
            "Evicted",
            "Pod was rejected: The node had condition: [DiskPressure]. ",
        )
        assert is_ready(node.running("critical"))
        eventually(
            lambda: "is critical and stays: Pod ephemeral local storage usage exceeds" in node.log(), "it is said"
        )
        assert is_ready(node.running(f"fixed-{node.name}"))
    finally:  # or the disk is short for all that follows, and the node cannot be cleaned
        manifest.unlink()
    calm(node, "DiskPressure")
    node.kubectl("delete", "pod", "refused", "critical", "--grace-period=1")


def test_local_limits(node: NodeUnderTest) -> None:
    """A volume, a container's layer and logs, a pod as a whole, each beyond its limit; no pressure, so no DisruptionTarget."""
    limit = {"resources": {"limits": {"ephemeral-storage": "3Mi"}}}
    volume = {"name": "v", "emptyDir": {"sizeLimit": "2Mi"}}
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    write = "dd if=/dev/zero of={} bs=1M count={} 2>/dev/null; sleep 100000"
    unlimited = {"name": "u", "emptyDir": {}}
    in_unlimited = {"volumeMounts": [{"name": "u", "mountPath": "/u"}]}
    # not so fast that the node's disk is full before somebody looks
    long_line = "while :; do head -c 65536 /dev/zero | tr '\\0' x; sleep 0.05; done"
    node.apply(
        make_pod("volume", shell("c", write.format("/v/x", 4), **mounts), volumes=[volume]),
        make_pod("layer", shell("c", write.format("/x", 5), **limit), shell("d", "sleep 100000", **limit)),
        make_pod("whole", shell("c", write.format("/u/x", 5), **limit, **in_unlimited), volumes=[unlimited]),
        make_pod("logs", shell("c", long_line, **limit)),
        make_pod("within", shell("c", write.format("/v/x", 1), **limit, **mounts), volumes=[volume]),
    )
    assert evicted(node, "volume") == 'Usage of EmptyDir volume "v" exceeds the limit "2Mi". '
    assert evicted(node, "layer") == 'Container c exceeded its local ephemeral storage limit "3Mi". '
    whole = "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. "
    assert evicted(node, "whole") == evicted(node, "logs") == whole
    assert "DisruptionTarget" not in conditions(node.pod("volume"))
    assert is_ready(node.running("within"))
    node.kubectl("delete", "pod", "volume", "layer", "whole", "logs", "within", "--grace-period=1")


def test_the_kernel_was_faster(node: NodeUnderTest) -> None:
    """A process beside the pods uses up the node's memory at once: the kernel's victim is told, by name and pid."""
    outside = f"{node.cgroup}/outside"
    cgroups = detect()
    cgroups.create(outside)
    folders = [path for path in cgroups.directories(outside) if list(path.glob("memory.*"))]
    script = "echo 1000 > /proc/self/oom_score_adj; echo $$ > $0/cgroup.procs; exec tail /dev/zero"
    process = subprocess.Popen(["sh", "-c", script, str(folders[0])], stderr=subprocess.DEVNULL)
    try:
        assert process.wait(60) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait(10)
    message = f"System OOM encountered, victim process: tail, pid: {process.pid}"
    eventually(lambda: ("SystemOOM", message) in node_events(node), "event SystemOOM")
