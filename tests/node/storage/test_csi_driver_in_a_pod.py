"""A CSI driver as clusters run them: in a privileged pod of the node, with the agent's folders and nothing else in common."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from csi_site import Site, claim_pod
from csi_under_test import Registrar
from node_under_test import REPO, NodeUnderTest, eventually
from pods_under_test import container, finished, make_pod

from csi import errors
from csi.client import Client
from csi.values import AccessMode, mount_capability
from proto import csi_pb2 as csi
from runtimes.linux.mounts import mounts_below

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("csi-on-the-node")]

NAME = "pod.csi.example.com"


def interpreter() -> Iterator[Path]:
    """The folders without which Python does not run."""
    every = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, REPO, *sys.path) if Path(path).is_dir()}
    every |= {Path(path) for path in ("/usr", "/lib", "/lib64") if Path(path).is_dir()}
    yield from sorted(path for path in every if not any(other in path.parents for other in every))


def driver_pod(node: NodeUnderTest, socket: Path, state: Path) -> dict[str, Any]:
    """As the manifests of drivers have it: mounts that it makes in the agent's folder appear on the node."""
    command = [sys.executable, "-m", "csi.driver", "--endpoint", f"unix://{socket}", "--node-id", "n"]
    folders = [*interpreter(), state, node.root_dir]
    mounts = [{"name": f"f{number}", "mountPath": str(path)} for number, path in enumerate(folders)]
    mounts[-1]["mountPropagation"] = "Bidirectional"
    return make_pod(
        "driver",
        container(
            "c",
            *(*command, "--state-dir", str(state / "volumes"), "--driver-name", NAME),
            env=[{"name": "PYTHONPATH", "value": ":".join([str(REPO), *filter(None, sys.path)])}],
            securityContext={"privileged": True},
            volumeMounts=mounts,
        ),
        volumes=[{"name": f"f{number}", "hostPath": {"path": str(path)}} for number, path in enumerate(folders)],
        terminationGracePeriodSeconds=5,
    )


def test_its_volumes_are_there_for_other_pods(site: Site, tmp_path: Path) -> None:
    """Staged and published from the driver's mount namespace, they are in the node's and in the pods'; taken down likewise."""
    node = site.node
    socket = node.root_dir / "plugins" / NAME / "csi.sock"
    socket.parent.mkdir(parents=True)
    node.apply(driver_pod(node, socket, tmp_path))
    node.running("driver")
    client = Client.at(str(socket))

    def answers() -> bool:
        try:
            return asyncio.run(client.identity.ready())
        except errors.CSIError:
            return False

    eventually(answers, "the driver answers")
    registrar = Registrar(node.root_dir / "plugins_registry" / "p-reg.sock", NAME, str(socket)).start()
    eventually(lambda: registrar.registered, "the driver is registered")
    wanted = csi.CreateVolumeRequest(name="v", volume_capabilities=[mount_capability(AccessMode.SINGLE_NODE_WRITER)])
    handle = asyncio.run(client.controller.create_volume(wanted)).volume.volume_id
    node.apply(*objects(handle), claim_pod("writes", "c", "echo hello >/data/file; sync"))
    node.pod_when("writes", finished)
    assert [path.read_text() for path in tmp_path.rglob("file")] == ["hello\n"]
    node.api.request("DELETE", "api/v1/namespaces/default/pods/writes", {"gracePeriodSeconds": 1})
    eventually(lambda: mounts_below(node.root_dir) == [node.root_dir], "nothing is mounted any more")
    registrar.stop()


def objects(handle: str) -> Iterator[dict[str, Any]]:
    """The driver's object, a PersistentVolume, and the claim that is bound to it."""
    spec: dict[str, Any] = {"attachRequired": False}
    yield {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": NAME}, "spec": spec}
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    source = {"capacity": {"storage": "1Mi"}, "csi": {"driver": NAME, "volumeHandle": handle}}
    claim = {"volumeName": "pv-c", "resources": {"requests": {"storage": "1Mi"}}}
    reference = {"claimRef": {"namespace": "default", "name": "c"}}
    for kind, name, own in (
        ("PersistentVolume", "pv-c", {**source, **reference}),
        ("PersistentVolumeClaim", "c", claim),
    ):
        yield {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": {**common, **own}}
