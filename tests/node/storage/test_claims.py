"""Claims of real pods on runc: what they hold outlives pods and agents."""

import json
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually
from volume_objects import DISK_BYTES, Storage, bind, claim_object, ended, host_of, user_of, volume_object

from runtimes.linux.mounts import mounts_below

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("storage-claims")]


def staged(node: NodeUnderTest, name: str) -> list[Path]:
    """Where a volume is mounted for all pods."""
    return mounts_below(node.root_dir / "plugins/kubernetes.io/local-volume/mounts" / name)


def usages(node: NodeUnderTest) -> dict[str, Any]:
    """By claim, what the node's summary says of its volume."""
    summary = json.loads(node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/stats/summary"))
    volumes = [volume for pod in summary["pods"] for volume in pod.get("volume", ()) if "pvcRef" in volume]
    return {volume["pvcRef"]["name"]: volume for volume in volumes}


def test_what_is_written_outlives_the_pod(node: NodeUnderTest, storage: Storage) -> None:
    """A disk is formatted once, mounted for its pods, unmounted after the last; the next pod reads what the first one wrote."""
    bind(node, "disk", local={"path": str(storage.disk())})
    node.apply(user_of("disk", "writes", "echo kept > /data/file; sync"))
    node.running("writes")
    assert staged(node, "disk") == [node.root_dir / "plugins/kubernetes.io/local-volume/mounts/disk"]
    ended(node, "writes")
    eventually(lambda: not staged(node, "disk"), "the disk is not mounted any more")
    part = {"volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "part"}]}
    node.apply(
        user_of("disk", "reads", "exec 2>&1; cat /data/file; touch /data/new || echo refused", read_only=True),
        user_of("disk", "part", "ls /data; echo", **part),
    )
    node.running("reads")
    node.pod_when("reads", lambda _: node.container_log("reads", "c").endswith("refused"))
    log = node.container_log("reads", "c")
    assert log.startswith("kept\n") and "Read-only file system" in log
    usage = eventually(lambda: usages(node).get("disk"), "the claim's volume in the summary")
    assert usage["usedBytes"] < usage["capacityBytes"] < DISK_BYTES
    metrics = node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/metrics")
    sample = 'kubelet_volume_stats_capacity_bytes{namespace="default",persistentvolumeclaim="disk"} '
    (figure,) = [line.removeprefix(sample) for line in metrics.splitlines() if line.startswith(sample)]
    assert float(figure) == usage["capacityBytes"]
    node.running("part")
    assert len(staged(node, "disk")) == 1
    for name in ("reads", "part"):
        ended(node, name)
    eventually(lambda: not staged(node, "disk"), "the disk is not mounted any more")


def test_an_agent_that_is_killed_while_it_mounts(node: NodeUnderTest, storage: Storage) -> None:
    """The next agent completes it, and mounts nothing twice; one that is killed as the pod goes leaves the rest to the next."""
    bind(node, "killed", local={"path": str(storage.disk())})
    node.apply(user_of("killed", "mounts", "echo kept > /data/file; echo up"))
    notes = "pods/*/plugins/kubernetes.io~local-volume/killed/node-volume.json"
    eventually(lambda: list(node.root_dir.glob(notes)), "the mount begins")
    node.kill()
    node.start()
    node.running("mounts")
    assert len(staged(node, "killed")) == 1
    pods = [path for path in mounts_below(node.root_dir / "pods") if path.name == "killed"]
    assert len(pods) == 1
    node.kill()
    node.start()
    node.running("mounts")
    assert len(staged(node, "killed")) == 1
    assert (pods[0] / "file").read_text() == "kept\n"
    node.delete_pods("mounts")
    node.kill()
    node.start()
    eventually(lambda: node.find_pod("mounts") is None, "pod mounts gone")
    eventually(lambda: not staged(node, "killed"), "the disk is not mounted any more")


def test_a_volume_that_is_still_in_use(node: NodeUnderTest, storage: Storage) -> None:
    """Somebody on the node has a file of it open: it stays mounted, its pod is not gone, and both go when it is closed."""
    bind(node, "busy", local={"path": str(storage.disk())})
    node.apply(user_of("busy", "leaves", "echo kept > /data/file; echo up"))
    node.running("leaves")
    (mounted,) = [path for path in mounts_below(node.root_dir / "pods") if path.name == "busy"]
    with (mounted / "file").open() as held:
        node.delete_pods("leaves")
        refused = f"volumes could not be unmounted: unmount of {mounted} failed: Device or resource busy"
        eventually(lambda: node.log().count(refused) > 2, f"said by the step and by the pod, each time: {refused}")
        assert held.read() == "kept\n"
        assert node.find_pod("leaves") is not None
    eventually(lambda: node.find_pod("leaves") is None, "pod leaves gone")
    eventually(lambda: not staged(node, "busy"), "the disk is not mounted any more")


def test_a_claim_of_a_host_path(node: NodeUnderTest, storage: Storage) -> None:
    """The folder itself is what the pod has, with the group that the volume says it is of."""
    folder = storage.directory()
    (folder / "file").write_text("the host's")
    path = {"hostPath": {"path": str(folder), "type": "Directory"}}
    bound = volume_object("host", host_of(node), **path)
    bound["metadata"]["annotations"] = {"pv.beta.kubernetes.io/gid": "4321"}
    node.apply(bound, claim_object("host"))
    node.apply(user_of("host", "looks", "cat /data/file; echo; id -G"))
    node.running("looks")
    node.pod_when("looks", lambda _: "4321" in node.container_log("looks", "c"))
    assert node.container_log("looks", "c").startswith("the host's\n")
    ended(node, "looks")
    assert (folder / "file").read_text() == "the host's"


def test_a_claim_that_is_made_for_one_pod(node: NodeUnderTest, storage: Storage) -> None:
    """It is the pod's alone: another's of the same name is not taken, however well it is bound."""
    bind(node, "scratch-data", local={"path": str(storage.directory())})
    pod = user_of("-", "scratch", "echo up")
    template = {"spec": claim_object("-")["spec"]}
    pod["spec"]["volumes"] = [{"name": "data", "ephemeral": {"volumeClaimTemplate": template}}]
    pod["spec"]["nodeName"] = node.name
    node.apply(pod)
    uid = node.pod_when("scratch", lambda pod: True)["metadata"]["uid"]
    refusal = "PVC default/scratch-data was not created for pod default/scratch (pod is not owner)"
    eventually(lambda: refusal in node.log(), refusal)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "scratch", "uid": uid, "controller": True}
    node.kubectl(
        "patch",
        "pvc",
        "scratch-data",
        "--type=merge",
        "-p",
        f'{{"metadata":{{"ownerReferences":[{json.dumps(owner)}]}}}}',
    )
    node.running("scratch")
    ended(node, "scratch")


def test_claims_that_lead_nowhere(node: NodeUnderTest, storage: Storage) -> None:
    """The node says which claim is wrong and how, and the pod starts by itself when the cause is gone."""
    pod = user_of("late", "waits", "echo up")
    pod["spec"]["nodeName"] = node.name
    node.apply(pod)
    missing = 'error processing PVC default/late: failed to fetch PVC from API server: persistentvolumeclaims "late"'
    eventually(lambda: missing in node.log(), missing)
    node.apply(claim_object("late"))
    unbound = "error processing PVC default/late: PVC is not bound"
    eventually(lambda: unbound in node.log(), unbound)
    bind(node, "late", local={"path": str(storage.folder / "nothing")})
    message = 'MountVolume.MountDevice failed for volume "late" : path "{}" does not exist'
    assert node.event_when("waits", "FailedMount") == message.format(storage.folder / "nothing")
    (storage.folder / "nothing").mkdir()
    node.running("waits")
    ended(node, "waits")
