"""A CSI driver that is missing, fails, hangs and lies, under a real agent: the pod's owner is told, nothing is left, and the pod
starts by itself when the cause is gone."""

import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from csi_site import Site, claim_pod
from csi_under_test import Fault
from node_under_test import eventually

from proto import csi_pb2 as csi
from runtimes.linux import mounts

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("csi-on-the-node")]
CODE = grpc.StatusCode


def failed_mount(site: Site, pod: str, part: str) -> str:
    """The message of the pod's first event FailedMount with these words."""
    found: str = eventually(
        lambda: next((text for reason, text in site.node.events(pod) if reason == "FailedMount" and part in text), ""),
        f"{pod} is told {part!r}",
    )
    return found


def published(site: Site) -> list[Path]:
    return [point for point in mounts.mounts_below(site.node.root_dir / "pods") if "kubernetes.io~csi" in str(point)]


def test_a_driver_that_is_not_there(site: Site) -> None:
    """The pod waits, and is told for which driver; it runs as soon as that has registered, whatever back-off there is."""
    site.provision("early")
    site.registrar.stop()
    eventually(lambda: site.csi_node() == {}, "the driver is gone")
    site.node.apply(claim_pod("early", "early"))
    text = failed_mount(site, "early", "not found")
    assert text == (
        'MountVolume.MountDevice failed for volume "pv-early" : kubernetes.io/csi: attacher.MountDevice failed to create '
        f"newCsiDriverClient: driver name {site.name} not found in the list of registered CSI drivers"
    )
    assert text in site.node.kubectl("describe", "pod", "early")
    site.registrar.start()
    site.node.running("early")


@pytest.mark.parametrize("method", ["NodeStageVolume", "NodePublishVolume"])
@pytest.mark.parametrize(
    ("code", "shown", "certain"),
    [(CODE.INTERNAL, "Internal", True), (CODE.DEADLINE_EXCEEDED, "DeadlineExceeded", False)],
)
def test_an_answer_that_says_no(site: Site, method: str, code: CODE, shown: str, certain: bool) -> None:
    """The event has the driver's words. A refusal leaves nothing on the node; what may have been done is remembered, so that it
    is undone. The pod starts when the driver does what it should."""
    name = f"{method[4:9].lower()}-{shown.lower()}"
    site.provision(name)
    site.front.faults[method] = Fault(code, "the disk is on fire")
    site.node.apply(claim_pod(name, name))
    stage = "MountDevice" if method == "NodeStageVolume" else "SetUp"
    words = f"rpc error: code = {shown} desc = the disk is on fire ({method} of driver {site.name})"
    assert failed_mount(site, name, "on fire") == f'MountVolume.{stage} failed for volume "pv-{name}" : {words}'
    folder = site.node.root_dir / f"pods/{site.node.pod(name)['metadata']['uid']}/volumes/kubernetes.io~csi/pv-{name}"
    if method == "NodePublishVolume":
        eventually(lambda: folder.exists() is not certain, "what is not there is not kept on the disk, and only that")
    site.front.faults.clear()
    site.node.running(name)
    site.delete_pod(name)
    assert site.left() == []


def test_an_answer_that_is_lost(site: Site) -> None:
    """The volume is published, and the agent is not told: a pod that goes away then has it unpublished and unstaged."""
    site.provision("lost")
    site.front.faults["NodePublishVolume"] = Fault(CODE.UNAVAILABLE, done=True)
    site.node.apply(claim_pod("lost", "lost"))
    failed_mount(site, "lost", "Unavailable")
    assert len(published(site)) == 1
    site.delete_pod("lost")
    assert site.left() == []
    assert [name for name, _ in site.front.calls if name.startswith("NodeUn")] == [
        "NodeUnpublishVolume",
        "NodeUnstageVolume",
    ]


@pytest.mark.parametrize("method", ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"])
def test_the_agent_is_killed_in_the_middle_of_a_call(site: Site, method: str) -> None:
    """The call goes on, or never began; the next agent asks again, and ends with one mount, or none."""
    node, name = site.node, f"cut-{method[4:-6].lower()}"
    goes_down = method.startswith("NodeUn")
    site.provision(name)
    gate = threading.Event()
    if not goes_down:
        site.front.faults[method] = Fault(gate=gate, times=1)
    node.apply(claim_pod(name, name))
    if goes_down:
        node.running(name)
        site.front.faults[method] = Fault(gate=gate, times=1)
        node.api.request("DELETE", f"api/v1/namespaces/default/pods/{name}", {"gracePeriodSeconds": 1})
    eventually(lambda: site.front.named(method), f"{method} is under way")
    node.kill()
    gate.set()
    node.start()
    if not goes_down:
        node.running(name)
        assert len(published(site)) == 1
        site.delete_pod(name)
    eventually(lambda: node.find_pod(name) is None and site.left() == [], "nothing is left", 120)


def test_a_driver_that_hangs(site: Site) -> None:
    """It holds up the pod of that volume, and no other."""
    site.provision("hangs")
    site.provision("goes")
    gate = threading.Event()
    site.front.faults["NodeStageVolume"] = Fault(gate=gate, times=1)
    site.node.apply(claim_pod("hangs", "hangs"))
    eventually(lambda: site.front.named("NodeStageVolume"), "the driver hangs")
    site.node.apply(claim_pod("goes", "goes"))
    site.node.running("goes")
    gate.set()
    site.node.running("hangs")


def test_a_driver_that_lies(site: Site) -> None:
    """It says that it has published the volume, and there is nothing: no container starts on an empty folder."""
    site.provision("lies")

    def lie(request: Any) -> Any:
        return csi.NodePublishVolumeResponse()

    site.front.own["NodePublishVolume"] = lie
    site.node.apply(claim_pod("lies", "lies"))
    failed_mount(site, "lies", f"driver {site.name} says that the volume is published, and")
    site.front.own.clear()
    site.node.running("lies")


def test_a_volume_that_cannot_be_taken_down_yet(site: Site) -> None:
    """The pod stays until its volume is down: what is mounted is not deleted. It goes when that can be done."""
    node = site.node
    site.provision("busy")
    node.apply(claim_pod("busy", "busy"))
    pod = node.running("busy")
    site.front.faults["NodeUnpublishVolume"] = Fault(CODE.INTERNAL, "target is busy", times=2)
    node.api.request("DELETE", "api/v1/namespaces/default/pods/busy", {"gracePeriodSeconds": 1})
    eventually(lambda: site.front.named("NodeUnpublishVolume"), "it is tried")
    assert (node.root_dir / "pods" / pod["metadata"]["uid"]).is_dir()
    eventually(lambda: node.find_pod("busy") is None, "the pod is gone", 120)
    assert site.left() == []
    assert len(site.front.named("NodeUnpublishVolume")) == 3


def test_secrets_that_are_missing(site: Site) -> None:
    """The pod waits for a secret that its volume needs, and is told which."""
    site.provision("locked", nodeStageSecretRef={"name": "key", "namespace": "default"})
    site.node.apply(claim_pod("locked", "locked"))
    text = failed_mount(site, "locked", "NodeStageSecretRef")
    assert text == (
        'MountVolume.MountDevice failed for volume "pv-locked" : fetching NodeStageSecretRef default/key failed: '
        'secrets "key" not found'
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "default"}}
    site.node.apply(secret)
    site.node.running("locked")
