"""Claims whose volumes have grown: the file system follows, and the claim says so."""

import os
from typing import Any

import pytest
from components import needs
from node_under_test import NodeUnderTest, eventually
from volume_objects import Storage, bind, ended, user_of

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("storage-expansion")]

MI = 1 << 20


def claim_of(node: NodeUnderTest, name: str) -> dict[str, Any]:
    found = node.api.get(f"api/v1/namespaces/default/persistentvolumeclaims/{name}")
    assert found is not None
    return found


def let_grow(node: NodeUnderTest, name: str, size: str) -> None:
    """What an administrator does after he has given the disk more room."""
    node.kubectl("patch", "pv", name, "--type=merge", "-p", f'{{"spec":{{"capacity":{{"storage":"{size}"}}}}}}')


def has_grown(node: NodeUnderTest, claim: str, pod: str, size: str) -> None:
    eventually(lambda: claim_of(node, claim)["status"]["capacity"] == {"storage": size}, f"claim {claim} has {size}")
    told = f'MountVolume.NodeExpandVolume succeeded for volume "{claim}" {node.name}'
    for name in (pod, claim):
        assert node.event_when(name, "FileSystemResizeSuccessful") == told


def test_it_grows_when_it_is_mounted(node: NodeUnderTest, storage: Storage) -> None:
    """An ext4, which grows mounted for who has CAP_SYS_RESOURCE alone, before; what is in it stays, and its claim follows."""
    device = storage.disk(16 * MI)
    bind(node, "offline", local={"path": str(device)})
    node.apply(user_of("offline", "before", "echo kept > /data/file; sync"))
    node.running("before")
    ended(node, "before")
    storage.grow(device, 32 * MI)
    let_grow(node, "offline", "32Mi")
    node.apply(user_of("offline", "after", "cat /data/file; df -k /data"))
    node.running("after")
    has_grown(node, "offline", "after", "32Mi")
    log = node.container_log("after", "c").splitlines()
    assert log[0] == "kept"
    assert int(log[-1].split()[1]) > 20 * 1024
    ended(node, "after")


@needs("mkfs.xfs", "xfs_growfs")
def test_it_grows_while_its_pod_runs(node: NodeUnderTest, storage: Storage) -> None:
    """An xfs, with a file of its pod open: the pod sees the room, and is not started again."""
    device = storage.disk(320 * MI)
    bind(node, "online", local={"path": str(device), "fsType": "xfs"}, capacity={"storage": "320Mi"})
    node.kubectl("create", "configmap", "wakes", "--from-literal=a=1")
    pod = user_of("online", "grows", "exec 3>/data/file; echo kept >&3")
    pod["spec"]["volumes"].append({"name": "config", "configMap": {"name": "wakes"}})
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "config", "mountPath": "/config"})
    node.apply(pod)
    started = node.running("grows")
    (mounted,) = (node.root_dir / "pods").glob("*/volumes/kubernetes.io~local-volume/online")
    before = os.statvfs(mounted)
    storage.grow(device, 384 * MI)
    let_grow(node, "online", "384Mi")
    # volumes are looked at every minute or so, and at once when one of them has changed
    node.kubectl("patch", "configmap", "wakes", "--type=merge", "-p", '{"data":{"a":"2"}}')
    has_grown(node, "online", "grows", "384Mi")
    after = os.statvfs(mounted)
    assert (after.f_blocks - before.f_blocks) * after.f_frsize > 60 * MI
    assert (mounted / "file").read_text() == "kept\n"
    assert node.pod("grows")["status"]["containerStatuses"] == started["status"]["containerStatuses"]
    ended(node, "grows")
