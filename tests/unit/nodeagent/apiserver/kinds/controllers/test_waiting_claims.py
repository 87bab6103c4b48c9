"""Claims for which there is no volume: what they wait for, and who is asked for one."""

from typing import Any

import pytest

from nodeagent.apiserver.kinds.controllers.volumes import VolumeBinder
from nodeagent.apiserver.kinds.controllers.waiting_claims import Outlook, outlook

CLASSES = "storageclasses.storage.k8s.io"
CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
BY = "volume.kubernetes.io/storage-provisioner"
EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner 'p.example' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
)
FIRST = "waiting for first consumer to be created before binding"
NONE = "no persistent volumes available for this claim and no storage class is set"


def claim(name: str = "c", *, node: str = "", **spec: Any) -> Any:
    annotations = {"annotations": {"volume.kubernetes.io/selected-node": node}} if node else {}
    fixed = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", **annotations},
        "spec": {**fixed, **spec},
    }


def storage_class(name: str, provisioner: str = "p.example", **fields: Any) -> Any:
    return {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": "Immediate", **fields}


KNOWN = {
    "now": storage_class("now"),
    "late": storage_class("late", volumeBindingMode="WaitForFirstConsumer"),
    "hand": storage_class("hand", "kubernetes.io/no-provisioner"),
}


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        (claim(volumeName="v"), None),
        (claim(), Outlook(reason="FailedBinding", message=NONE)),
        (claim(storageClassName=""), Outlook(reason="FailedBinding", message=NONE)),
        (
            claim(storageClassName="x"),
            Outlook(type="Warning", reason="ProvisioningFailed", message='storageclass.storage.k8s.io "x" not found'),
        ),
        (claim(storageClassName="late"), Outlook(reason="WaitForFirstConsumer", message=FIRST)),
        (
            claim(storageClassName="late", node="n"),
            Outlook(reason="ExternalProvisioning", message=EXTERNAL, provisioner="p.example"),
        ),
        (
            claim(storageClassName="now"),
            Outlook(reason="ExternalProvisioning", message=EXTERNAL, provisioner="p.example"),
        ),
        (
            claim(storageClassName="hand"),
            Outlook(
                type="Warning",
                reason="ProvisioningFailed",
                message="no volume plugin matched name: kubernetes.io/no-provisioner",
            ),
        ),
    ],
)
def test_outlook(waiting: Any, expected: Outlook | None) -> None:
    """By its class: nobody can make one; somebody will once a node is chosen; somebody is asked."""
    assert outlook(waiting, KNOWN) == expected


async def test_a_provisioner_is_asked(cluster: Any, running: Any, settled: Any) -> None:
    """A claim is told once what it waits for, the provisioner finds its own name there, and its volume is bound when it comes."""
    cluster.put(CLASSES, storage_class("now"))
    async with running(VolumeBinder(cluster)):
        await cluster.create(CLAIMS, claim(storageClassName="now"))
        await settled()
        cluster.put(CLASSES, storage_class("other"))
        await settled()
        (told,) = cluster.all("events")
        assert (told["reason"], told["message"], told["involvedObject"]["name"]) == (
            "ExternalProvisioning",
            EXTERNAL,
            "c",
        )
        waiting = cluster.objects[(CLAIMS, "default", "c")]
        assert waiting["metadata"]["annotations"][BY] == "p.example"
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "p.example", "volumeHandle": "h"},
            "storageClassName": "now",
            "claimRef": {"namespace": "default", "name": "c", "uid": waiting["metadata"]["uid"]},
        }
        await cluster.create(VOLUMES, {"metadata": {"name": "pvc-c"}, "spec": spec})
        await settled()
    assert cluster.objects[(CLAIMS, "default", "c")]["status"]["phase"] == "Bound"
    assert cluster.objects[(VOLUMES, "", "pvc-c")]["status"]["phase"] == "Bound"


async def test_a_binding_that_was_cut_off(cluster: Any, running: Any, settled: Any) -> None:
    """A server that was killed between the volume's half and the claim's goes on with the claim's."""
    cluster.put(CLAIMS, claim(volumeMode="Filesystem") | {"status": {"phase": "Pending"}})
    held = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/d"},
        "claimRef": {"namespace": "default", "name": "c", "uid": "uid-c"},
    }
    cluster.put(VOLUMES, {"metadata": {"name": "v"}, "spec": held, "status": {"phase": "Bound"}})
    async with running(VolumeBinder(cluster)):
        await settled()
    assert cluster.objects[(CLAIMS, "default", "c")]["spec"]["volumeName"] == "v"


async def test_a_default_class_that_comes_later(cluster: Any, running: Any, settled: Any) -> None:
    """A claim without a class gets it; one that wants none keeps none."""
    async with running(VolumeBinder(cluster)):
        await cluster.create(CLAIMS, claim("open"))
        await cluster.create(CLAIMS, claim("none", storageClassName=""))
        await settled()
        marked = storage_class("std")
        marked["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
        cluster.put(CLASSES, marked)
        await settled()
    assert cluster.objects[(CLAIMS, "default", "open")]["spec"]["storageClassName"] == "std"
    assert cluster.objects[(CLAIMS, "default", "none")]["spec"]["storageClassName"] == ""
