"""What a driver is asked for on behalf of a claim, and what the API is told of its answer."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim
from lightkube.models.storage_v1 import StorageClass, VolumeAttributesClass

from csi.values import AccessMode
from nodeagent.provisioner.volume_request import (
    Unusable,
    Wanted,
    create_request,
    persistent_volume,
    quantity_text,
    source_claim,
)
from proto import csi_pb2 as csi

DRIVER = "d.example"
GIB = 1024**3
HERE = {"topology.d.example/node": "n1"}


def claim(**spec: Any) -> PersistentVolumeClaim:
    fixed = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeMode": "Filesystem",
    }
    return msgspec.convert(
        {"metadata": {"name": "c", "namespace": "ns", "uid": "u1"}, "spec": {**fixed, **spec}}, PersistentVolumeClaim
    )


def storage_class(**fields: Any) -> StorageClass:
    fixed = {"metadata": {"name": "s"}, "provisioner": DRIVER, "reclaimPolicy": "Delete"}
    return msgspec.convert({**fixed, **fields}, StorageClass)


def volume(size: str = "1Gi", driver: str = DRIVER, mode: str = "Filesystem") -> PersistentVolume:
    source = {"driver": driver, "volumeHandle": "h"}
    return msgspec.convert(
        {"spec": {"capacity": {"storage": size}, "csi": source, "volumeMode": mode}}, PersistentVolume
    )


def wanted(asked: PersistentVolumeClaim, of: StorageClass | None = None, **fields: Any) -> Wanted:
    return Wanted(claim=asked, storage_class=of or storage_class(), **({"topology": HERE} | fields))


def test_a_request() -> None:
    """By the claim's uid; the class's own parameters, mount options and file system; where this node is."""
    of = storage_class(parameters={"backing": "image", "csi.storage.k8s.io/fstype": "xfs"}, mountOptions=["noatime"])
    asked = claim(accessModes=["ReadWriteOncePod"], resources={"requests": {"storage": "1500M"}})
    request = create_request(wanted(asked, of))
    (capability,) = request.volume_capabilities
    assert (request.name, dict(request.parameters)) == ("pvc-u1", {"backing": "image"})
    assert request.capacity_range == csi.CapacityRange(required_bytes=1_500_000_000)
    assert capability.access_mode.mode == AccessMode.SINGLE_NODE_SINGLE_WRITER
    assert (capability.mount.fs_type, list(capability.mount.mount_flags)) == ("xfs", ["noatime"])
    assert [dict(each.segments) for each in request.accessibility_requirements.requisite] == [HERE]


def test_an_attributes_class() -> None:
    """Its parameters are those that may be changed later; the volume tells what it was made with."""
    metadata = {"metadata": {"name": "gold"}, "driverName": DRIVER, "parameters": {"allocation": "thick"}}
    asked = wanted(claim(), attributes=msgspec.convert(metadata, VolumeAttributesClass))
    request = create_request(asked)
    assert (dict(request.mutable_parameters), dict(request.parameters)) == ({"allocation": "thick"}, {})
    made = persistent_volume(asked, csi.Volume(volume_id="h", capacity_bytes=GIB), DRIVER)
    assert made.spec is not None and made.spec.volumeAttributesClassName == "gold"


def test_a_block_device() -> None:
    """No file system, no mount options."""
    of = storage_class(parameters={"fstype": "xfs"}, mountOptions=["noatime"])
    asked = wanted(claim(volumeMode="Block"), of)
    assert create_request(asked).volume_capabilities[0].HasField("block")
    made = persistent_volume(asked, csi.Volume(volume_id="h", capacity_bytes=GIB), DRIVER)
    assert made.spec is not None and made.spec.csi is not None
    assert (made.spec.csi.fsType, made.spec.mountOptions, made.spec.volumeMode) == (None, None, "Block")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (wanted(claim(selector={"matchLabels": {"a": "b"}})), "claim Selector is not supported"),
        (
            wanted(claim(), storage_class(parameters={"csi.storage.k8s.io/pvc-thing": "x"})),
            'found unknown parameter key "csi.storage.k8s.io/pvc-thing" with reserved namespace csi.storage.k8s.io/',
        ),
        (
            wanted(
                claim(),
                storage_class(allowedTopologies=[{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]),
            ),
            "none of the class's allowedTopologies is that of this node",
        ),
        (wanted(claim(), source=volume("2Gi")), "source is 2147483648"),
        (wanted(claim(), source=volume(driver="other")), "a volume of another driver"),
        (wanted(claim(), source=volume(mode="Block")), "volumeMode Block, not Filesystem"),
    ],
)
def test_what_cannot_be_had(asked: Wanted, told: str) -> None:
    """Is said before the driver is asked."""
    with pytest.raises(Unusable) as raised:
        create_request(asked)
    assert told in str(raised.value)


def test_a_copy() -> None:
    """Of a claim's volume, by its handle. Sources of other kinds are refused."""
    reference = {"kind": "PersistentVolumeClaim", "name": "old"}
    asked = claim(dataSource=reference, dataSourceRef=reference)
    assert (source_claim(asked), source_claim(claim())) == ("old", "")
    assert create_request(wanted(asked, source=volume())).volume_content_source.volume.volume_id == "h"
    for other in (
        {"kind": "VolumeSnapshot", "apiGroup": "snapshot.storage.k8s.io", "name": "s"},
        {**reference, "namespace": "elsewhere"},
    ):
        with pytest.raises(Unusable):
            source_claim(claim(dataSourceRef=other))


def test_a_persistent_volume() -> None:
    """Names its claim, its driver and its node, and holds the data until that is deleted where the class says so."""
    made = csi.Volume(volume_id="h", capacity_bytes=2 * GIB, volume_context={"k": "v"})
    made.accessible_topology.add(segments=HERE)
    of = storage_class(mountOptions=["noatime"], parameters={"csi.storage.k8s.io/fstype": "ext4"})
    shown = msgspec.to_builtins(persistent_volume(wanted(claim(), of), made, DRIVER))
    expression = {"key": "topology.d.example/node", "operator": "In", "values": ["n1"]}
    assert _without_nones(shown) == {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": "pvc-u1",
            "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER},
            "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "2Gi"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": "ns",
                "name": "c",
                "uid": "u1",
            },
            "csi": {"driver": DRIVER, "volumeHandle": "h", "fsType": "ext4", "volumeAttributes": {"k": "v"}},
            "mountOptions": ["noatime"],
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "s",
            "volumeMode": "Filesystem",
        },
    }
    kept = persistent_volume(wanted(claim(), storage_class(reclaimPolicy="Retain")), made, DRIVER)
    assert kept.metadata is not None and kept.metadata.finalizers is None


def _without_nones(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nones(item) for key, item in value.items() if item is not None}
    return [_without_nones(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("size", "text"), [(GIB, "1Gi"), (1536 * 1024**2, "1536Mi"), (1_500_000_257, "1500000257"), (0, "0"), (4096, "4Ki")]
)
def test_sizes_as_people_write_them(size: int, text: str) -> None:
    """In the largest unit that is exact."""
    assert quantity_text(size) == text
