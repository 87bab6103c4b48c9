"""PersistentVolumes and claims of a node under test, and pods that use them."""

import os
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_under_test import NodeUnderTest, eventually, pod_object
from volume_subjects import disk

from runtimes.linux import loop

DISK_BYTES = 16 << 20
STAYS = "trap 'exit 0' TERM; sleep 100000 & wait"


@dataclass
class Storage:
    """What an administrator has on the node: disks and folders, and the objects that tell the cluster of them."""

    folder: Path
    disks: ExitStack = field(default_factory=ExitStack)
    images: dict[Path, Path] = field(default_factory=dict)

    def disk(self, size_bytes: int = DISK_BYTES) -> Path:
        """An empty block device."""
        place = self.directory()
        device = self.disks.enter_context(disk(place, size_bytes))
        self.images[device] = place / "disk"
        return device

    def grow(self, device: Path, size_bytes: int) -> None:
        os.truncate(self.images[device], size_bytes)
        loop.grow(device)

    def directory(self) -> Path:
        place = self.folder / uuid.uuid4().hex[:8]
        place.mkdir()
        return place


def volume_object(name: str, labels: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """A PersistentVolume of the node with these labels, for the claim of the same name."""
    matches = [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]
    here = [{"matchExpressions": matches}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "16Mi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "claimRef": {"namespace": "default", "name": name},
            "nodeAffinity": {"required": {"nodeSelectorTerms": here}},
            **spec,
        },
    }


def host_of(node: NodeUnderTest) -> dict[str, str]:
    """The label that is the node's alone."""
    labels = (node.api.get(f"api/v1/nodes/{node.name}") or {})["metadata"]["labels"]
    return {"kubernetes.io/hostname": labels["kubernetes.io/hostname"]}


def claim_object(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "16Mi"}},
            **spec,
        },
    }


def bind(node: NodeUnderTest, name: str, *, mode: str = "Filesystem", **spec: Any) -> None:
    """A claim and its volume, bound to each other. `spec`: of the volume."""
    node.apply(volume_object(name, host_of(node), volumeMode=mode, **spec), claim_object(name, volumeMode=mode))
    path = f"api/v1/namespaces/default/persistentvolumeclaims/{name}"
    eventually(lambda: ((node.api.get(path) or {}).get("status") or {}).get("phase") == "Bound", f"claim {name} bound")


def user_of(claim: str, name: str, script: str, *, read_only: bool = False, **spec: Any) -> dict[str, Any]:
    """A pod that has a claim at /data, runs a script and stays."""
    source = {"claimName": claim, "readOnly": read_only}
    return pod_object(
        name,
        "sh",
        "-c",
        f"{script}; {STAYS}",
        volumes=[{"name": "data", "persistentVolumeClaim": source}],
        **({"volumeMounts": [{"name": "data", "mountPath": "/data"}]} | spec),
    )


def with_device(pod: dict[str, Any]) -> dict[str, Any]:
    """The claim as a device, /dev/data, instead of a file system."""
    (container,) = pod["spec"]["containers"]
    del container["volumeMounts"]
    container["volumeDevices"] = [{"name": "data", "devicePath": "/dev/data"}]
    return pod


def ended(node: NodeUnderTest, name: str) -> None:
    """The pod is deleted and gone."""
    node.delete_pods(name)
    eventually(lambda: node.find_pod(name) is None, f"pod {name} gone")
