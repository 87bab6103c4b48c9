"""A node with a CSI driver: the reference driver behind one that can be faulty, a registrar, and volumes with their claims."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csi_driver import MEBIBYTE, DriverProcess
from csi_under_test import FrontDriver, Registrar
from node_under_test import NodeUnderTest, eventually
from pods_under_test import make_pod, shell

from csi.driver.settings import NAME
from csi.values import AccessMode, block_capability, mount_capability
from nodeagent.volumes.csi.attachments import attachment_name
from nodeagent.volumes.csi.volume import CSIVolume
from proto import csi_pb2 as csi
from runtimes.linux import mounts, syscalls

STAYS = "trap 'exit 0' TERM; sleep 100000 & wait"


@dataclass
class Site:
    node: NodeUnderTest
    driver: DriverProcess
    front: FrontDriver
    registrar: Registrar

    @property
    def name(self) -> str:
        return NAME

    def csi_driver(self, **spec: Any) -> None:
        """The driver's object, as it is to be from now on."""
        path = f"apis/storage.k8s.io/v1/csidrivers/{NAME}"
        self.node.api.request("DELETE", path, {})
        wanted = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": NAME}}
        self.node.apply({**wanted, "spec": {"attachRequired": False, **spec}})

    def csi_node(self) -> dict[str, Any]:
        """By driver, what the CSINode object says."""
        found = self.node.api.get(f"apis/storage.k8s.io/v1/csinodes/{self.node.name}")
        assert found is not None
        return {each["name"]: each for each in found["spec"]["drivers"] or ()}

    def node_ids(self) -> dict[str, str]:
        found = self.node.api.get(f"api/v1/nodes/{self.node.name}")
        assert found is not None
        ids: dict[str, str] = json.loads(found["metadata"]["annotations"].get("csi.volume.kubernetes.io/nodeid", "{}"))
        return ids

    def provision(self, name: str, *, block: bool = False, mode: str = "ReadWriteOnce", **source: Any) -> str:
        """A volume of the driver, with a claim of that name bound to it. Returns its handle."""
        capability = (block_capability if block else mount_capability)(AccessMode.SINGLE_NODE_WRITER)
        request = csi.CreateVolumeRequest(name=name, volume_capabilities=[capability])
        request.capacity_range.required_bytes = 16 * MEBIBYTE
        handle = asyncio.run(self.driver.client.controller.create_volume(request)).volume.volume_id
        options = source.pop("mountOptions", None)
        spec = {
            "capacity": {"storage": "16Mi"},
            "accessModes": [mode],
            "volumeMode": "Block" if block else "Filesystem",
            "storageClassName": "",
            "claimRef": {"namespace": "default", "name": name},
            "csi": {"driver": NAME, "volumeHandle": handle, **source},
            **({"mountOptions": options} if options else {}),
        }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{name}"}, "spec": spec}
        claim = {
            "accessModes": [mode],
            "volumeMode": spec["volumeMode"],
            "storageClassName": "",
            "volumeName": f"pv-{name}",
            "resources": {"requests": {"storage": "16Mi"}},
        }
        metadata = {"name": name, "namespace": "default"}
        self.node.apply(
            volume, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}
        )
        return handle

    def staging(self, handle: str) -> Path:
        found = list((self.node.root_dir / "plugins/kubernetes.io/csi" / NAME).glob("*/globalmount"))
        return found[0] if found else Path("/nowhere")

    def delete_pod(self, name: str) -> None:
        path = f"api/v1/namespaces/default/pods/{name}"
        self.node.api.request("DELETE", path, {"gracePeriodSeconds": 1})
        eventually(lambda: self.node.find_pod(name) is None, f"pod {name} is gone")

    def delete_pods(self) -> None:
        """All, with a driver that does what it should."""
        self.front.honest()
        for pod in self.node.pods():
            self.delete_pod(pod["metadata"]["name"])

    def attachment(self, handle: str) -> str:
        volume = CSIVolume(driver=NAME, handle=handle, spec_name="")
        return attachment_name(volume, self.node.name)

    def left(self) -> list[str]:
        """What of CSI volumes is on the node: mounts, and files that agents leave."""
        top = self.node.root_dir / "plugins/kubernetes.io/csi"
        files = [str(path) for path in top.rglob("*") if path.name == "vol_data.json"]
        return [
            *files,
            *(str(point) for point in mounts.mounts_below(self.node.root_dir) if point != self.node.root_dir),
        ]


def claim_pod(name: str, claim: str, script: str = STAYS, **spec: Any) -> dict[str, Any]:
    """A pod with a claim's volume at /data."""
    source = {"claimName": claim, **({"readOnly": True} if spec.pop("read_only", False) else {})}
    return make_pod(
        name,
        shell("c", script, volumeMounts=[{"name": "v", "mountPath": "/data"}]),
        volumes=[{"name": "v", "persistentVolumeClaim": source}],
        **{"restartPolicy": "Never", **spec},
    )


def inline_pod(
    name: str, script: str = STAYS, *, csi_source: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A pod with a volume of the driver in its own spec, at /data."""
    return make_pod(
        name,
        shell("c", script, volumeMounts=[{"name": "v", "mountPath": "/data"}]),
        volumes=[{"name": "v", "csi": {"driver": NAME, **(csi_source or {})}}],
        **{"restartPolicy": "Never", **spec},
    )


def serve_inline(front: FrontDriver) -> None:
    """Let the driver in front make inline volumes by itself: a file system in memory for each."""

    def publish(request: Any) -> Any:
        target = Path(request.target_path)
        target.mkdir(exist_ok=True)
        if not mounts.is_mount_point(target):
            syscalls.mount("inline", str(target), "tmpfs", options="size=1m")
        (target / "context.json").write_text(json.dumps(dict(request.volume_context)))
        return csi.NodePublishVolumeResponse()

    def unpublish(request: Any) -> Any:
        target = Path(request.target_path)
        mounts.unmount_all(target)
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        return csi.NodeUnpublishVolumeResponse()

    front.own = {"NodePublishVolume": publish, "NodeUnpublishVolume": unpublish}


def made_site(node: NodeUnderTest, folder: Path) -> Iterator[Site]:
    """Until it is taken down: the driver registered at the node. What it still has mounted then fails the test."""
    driver = DriverProcess(folder)
    asyncio.run(driver.start())
    front = FrontDriver(folder / "front.sock", folder / "csi.sock").start()
    registrar = Registrar(node.root_dir / "plugins_registry" / "d-reg.sock", NAME, str(front.socket))
    try:
        registrar.start()
        eventually(lambda: registrar.registered, "the driver is registered")
        site = Site(node, driver, front, registrar)
        yield site
        site.delete_pods()
        eventually(lambda: site.left() == [], "no CSI volume is left")
    finally:
        registrar.stop()
        front.stop()
        left = driver.clear()
        shutil.rmtree(folder, ignore_errors=True)
    assert left == []
