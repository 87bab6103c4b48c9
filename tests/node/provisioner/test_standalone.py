"""Storage of a standalone node, as kubectl shows it; its driver and its agent killed."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, make_node

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("provisioner-standalone"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]
DRIVER = "local.csi.nodeagent.dev"


@pytest.fixture(scope="module")
def node() -> Iterator[NodeUnderTest]:
    """In a folder with a short name: the driver's sockets are below it."""
    with tempfile.TemporaryDirectory(prefix="nas-") as folder:
        made = make_node(Path(folder))
        made.start()
        yield made
        made.clean()


def claim(name: str, size: str = "16Mi", **spec: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def rows(node: NodeUnderTest, *arguments: str) -> list[list[str]]:
    """kubectl get, a list of words a row."""
    return [line.split() for line in node.kubectl("get", *arguments).splitlines()]


def phase(node: NodeUnderTest, name: str) -> str:
    found = node.api.get(f"api/v1/namespaces/default/persistentvolumeclaims/{name}")
    return found["status"]["phase"] if found else ""


def test_what_kubectl_shows(node: NodeUnderTest) -> None:
    """The class from the first start on, its driver only once a claim needs one; then claim and volume, bound to each other."""
    (_, shown) = eventually(lambda: len(found := rows(node, "sc")) == 2 and found, "class")
    assert shown[:-1] == ["standard", "(default)", DRIVER, "Delete", "Immediate", "true"]
    assert node.process_ids("csi.driver") == []
    node.apply(claim("shown"))
    eventually(lambda: phase(node, "shown") == "Bound", "bound")
    (head, row) = rows(node, "pvc")
    assert " ".join(head).startswith("NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS")
    name, state, volume, *rest = row
    assert (name, state, rest[:3]) == ("shown", "Bound", ["16Mi", "RWO", "standard"])
    (head, row) = rows(node, "pv")
    assert " ".join(head).startswith("NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS")
    assert row[:7] == [volume, "16Mi", "RWO", "Delete", "Bound", "default/shown", "standard"]
    described = node.kubectl("describe", "pvc", "shown")
    assert f"Successfully provisioned volume {volume}" in described
    node.kubectl("delete", "pvc", "shown")
    eventually(lambda: node.api.get(f"api/v1/persistentvolumes/{volume}") is None, "volume gone")


def test_a_driver_that_dies(node: NodeUnderTest) -> None:
    """It is started again, and goes on with what it was asked for."""
    node.apply(claim("before"))
    eventually(lambda: phase(node, "before") == "Bound", "bound")
    (running,) = node.process_ids("csi.driver")
    os.kill(running, signal.SIGKILL)
    node.apply(claim("after"))
    eventually(lambda: phase(node, "after") == "Bound", "bound by the next one")
    node.kubectl("delete", "pvc", "before", "after")
    eventually(lambda: not (node.api.get("api/v1/persistentvolumes") or {})["items"], "volumes gone")
    assert running not in node.process_ids("csi.driver")


def test_an_agent_that_dies(node: NodeUnderTest) -> None:
    """Its driver goes with it; the next one finds volumes and claims, and takes back those whose claims are gone."""
    node.apply(claim("kept"), claim("given-back"))
    for name in ("kept", "given-back"):
        eventually(lambda name=name: phase(node, name) == "Bound", "bound")
    node.api.request("DELETE", "api/v1/namespaces/default/persistentvolumeclaims/given-back", {})
    node.kill()
    node.start()
    eventually(lambda: len((node.api.get("api/v1/persistentvolumes") or {})["items"]) == 1, "one volume left")
    assert phase(node, "kept") == "Bound"
    assert len(list((node.directory / "state/storage/volumes").glob("vol-*"))) == 1
    node.kubectl("delete", "pvc", "kept")
    eventually(lambda: not list((node.directory / "state/storage/volumes").glob("vol-*")), "data gone")
