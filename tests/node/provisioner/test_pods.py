"""Pods with volumes that were made for them: what is written stays, volumes grow under them, whoever dies comes back."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from components import needs
from node_under_test import NodeUnderTest, eventually, import_image, make_node
from pods_under_test import finished, make_pod, shell

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("provisioner-pods"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs("mkfs.xfs", "xfs_growfs"),
]
DRIVER = "local.csi.nodeagent.dev"
STAYS = "trap 'exit 0' TERM; sleep 100000 & wait"


@pytest.fixture(scope="module")
def node(demo_image: Path) -> Iterator[NodeUnderTest]:
    with tempfile.TemporaryDirectory(prefix="nap-") as folder:
        made = make_node(Path(folder))
        made.directory.mkdir()
        import_image(made, demo_image)
        made.start()
        yield made
        made.clean()


def claim(node: NodeUnderTest, name: str, size: str = "16Mi", **spec: Any) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    node.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec})


def storage_class(node: NodeUnderTest, name: str, **fields: Any) -> None:
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
    node.apply({**kind, "provisioner": DRIVER, "allowVolumeExpansion": True, **fields})


def pod(name: str, claimed: str, script: str = STAYS, **spec: Any) -> dict[str, Any]:
    """With the claim's volume at /data."""
    return make_pod(
        name,
        shell("c", script, volumeMounts=[{"name": "v", "mountPath": "/data"}]),
        volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": claimed}}],
        **{"restartPolicy": "Never", **spec},
    )


def delete(node: NodeUnderTest, kind: str, name: str) -> None:
    node.kubectl("delete", kind, name, "--wait=false")


def gone(node: NodeUnderTest, name: str) -> None:
    delete(node, "pod", name)
    eventually(lambda: node.find_pod(name) is None, f"pod {name} is gone")


def claimed(node: NodeUnderTest, name: str) -> dict[str, Any]:
    found = node.api.get(f"api/v1/namespaces/default/persistentvolumeclaims/{name}")
    assert found is not None
    return found


def volumes(node: NodeUnderTest) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in (node.api.get("api/v1/persistentvolumes") or {})["items"]}


def output(node: NodeUnderTest, name: str) -> str:
    node.pod_when(name, finished)
    return node.container_log(name, "c")


def test_what_a_pod_writes_stays(node: NodeUnderTest) -> None:
    """A claim of the default class, made together with its pod; the next pod reads it; the volume goes with the claim."""
    claim(node, "data")
    node.apply(pod("writer", "data", "id -G; echo precious > /data/file", securityContext={"fsGroup": 4321}))
    assert "4321" in output(node, "writer")
    delete(node, "pvc", "data")
    assert "kubernetes.io/pvc-protection" in claimed(node, "data")["metadata"]["finalizers"]  # while a pod is there
    gone(node, "writer")
    eventually(lambda: volumes(node) == {}, "volume gone")
    claim(node, "kept")
    node.apply(pod("first", "kept", "echo precious > /data/file"))
    output(node, "first")
    gone(node, "first")
    node.apply(pod("second", "kept", "cat /data/file"))
    assert output(node, "second") == "precious"
    gone(node, "second")
    delete(node, "pvc", "kept")
    eventually(lambda: volumes(node) == {}, "volume gone")


def test_an_ephemeral_volume(node: NodeUnderTest) -> None:
    """A claim is made for the pod, of the default class, and goes with it."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    made = pod("brief", "", "echo precious > /data/file && cat /data/file")
    made["spec"]["volumes"] = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]
    node.apply(made)
    assert output(node, "brief") == "precious"
    assert claimed(node, "brief-v")["metadata"]["ownerReferences"][0]["name"] == "brief"
    gone(node, "brief")
    eventually(lambda: volumes(node) == {}, "volume gone")


def test_growing_while_it_is_used(node: NodeUnderTest) -> None:
    """An xfs volume is edited larger under a running pod: the claim, the volume and the pod's file system come to agree."""
    storage_class(
        node, "xfs", parameters={"csi.storage.k8s.io/fstype": "xfs"}, volumeBindingMode="WaitForFirstConsumer"
    )
    claim(node, "grows", "300Mi", storageClassName="xfs")
    node.apply(pod("user", "grows"))
    before = node.running("user")
    total = "df -k /data | tail -1 | awk '{print $2}'"
    small = int(node.kubectl("exec", "user", "--", "sh", "-c", f"echo precious > /data/file; {total}"))
    change = '{"spec": {"resources": {"requests": {"storage": "400Mi"}}}}'
    node.kubectl("patch", "pvc", "grows", "-p", change)
    waits = {"storage": "NodeResizePending"}
    eventually(lambda: claimed(node, "grows")["status"].get("allocatedResourceStatuses") == waits, "left to the node")
    node.kubectl("annotate", "pod", "user", "look=again")  # else when it is time to sync the pod anyway
    eventually(lambda: claimed(node, "grows")["status"]["capacity"] == {"storage": "400Mi"}, "claim grown", 100)
    status = claimed(node, "grows")["status"]
    assert not status.get("conditions")
    assert not status.get("allocatedResourceStatuses")
    (volume,) = volumes(node).values()
    assert volume["spec"]["capacity"] == {"storage": "400Mi"}
    large = node.kubectl("exec", "user", "--", "sh", "-c", f"cat /data/file; {total}").split()
    assert (large[0], int(large[1]) - small > 80 * 1024) == ("precious", True)
    assert node.pod("user")["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    reasons = {each["reason"] for each in node.events_of(involvedObject_name="grows")}
    expected = {"WaitForFirstConsumer", "ProvisioningSucceeded", "Resizing", "FileSystemResizeRequired"}
    assert expected | {"FileSystemResizeSuccessful"} <= reasons
    gone(node, "user")
    delete(node, "pvc", "grows")
    eventually(lambda: volumes(node) == {}, "volume gone")


def test_deaths_under_a_pod(node: NodeUnderTest) -> None:
    """Driver, then agent, killed while a volume is mounted: the pod writes on, and everything can be taken down afterwards."""
    claim(node, "held")
    node.apply(pod("holder", "held"))
    node.running("holder")
    (driver,) = node.process_ids("csi.driver")
    os.kill(driver, signal.SIGKILL)
    node.kubectl("exec", "holder", "--", "sh", "-c", "echo one > /data/file")
    node.kill()
    node.start()
    node.running("holder")
    again = ("exec", "holder", "--", "sh", "-c", "grep -q two /data/file || echo two >> /data/file")
    eventually(lambda: "rror" not in node.kubectl(*again, check=False), "written again")
    node.apply(pod("beside", "held", "cat /data/file"))
    assert output(node, "beside").split() == ["one", "two"]
    for name in ("holder", "beside"):
        gone(node, name)
    delete(node, "pvc", "held")
    eventually(lambda: volumes(node) == {}, "volume gone")
    assert not list((node.directory / "state/storage/volumes").glob("vol-*"))


def test_a_retained_volume_is_used_again(node: NodeUnderTest) -> None:
    """The claim goes, the data stays; freed of its old claim, the volume is bound to a new one with all that is in it."""
    storage_class(node, "keep", reclaimPolicy="Retain")
    claim(node, "old", storageClassName="keep")
    node.apply(pod("writes", "old", "echo precious > /data/file"))
    output(node, "writes")
    (name,) = volumes(node)
    gone(node, "writes")
    delete(node, "pvc", "old")
    eventually(lambda: volumes(node)[name]["status"]["phase"] == "Released", "released")
    node.kubectl("patch", "pv", name, "--type=json", "-p", '[{"op": "remove", "path": "/spec/claimRef"}]')
    claim(node, "new", storageClassName="keep", volumeName=name)
    node.apply(pod("reads", "new", "cat /data/file"))
    assert output(node, "reads") == "precious"
    gone(node, "reads")
    node.kubectl("patch", "pv", name, "-p", '{"spec": {"persistentVolumeReclaimPolicy": "Delete"}}')
    delete(node, "pvc", "new")
    eventually(lambda: volumes(node) == {}, "volume gone")
