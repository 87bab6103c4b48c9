"""Rules: what a driver is asked for on behalf of a claim, and the PersistentVolume that its answer becomes. Pure.

As external-provisioner does it, so that users find what they know (names, annotations, texts).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import (
    CSIPersistentVolumeSource,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.storage_v1 import StorageClass, VolumeAttributesClass

from csi.values import block_capability, mount_capability
from nodeagent.api.resources import key_of, metadata_of
from nodeagent.provisioner.names import PROVISIONED_BY, RECLAIM_FINALIZER, volume_name
from nodeagent.volumes.csi.volume import ACCESS_MODES
from proto import csi_pb2 as csi
from runtimes.kube import quantity

_OF_SIDECARS: Final = "csi.storage.k8s.io/"
_FS_TYPE: Final = f"{_OF_SIDECARS}fstype"
_OLD_FS_TYPE: Final = "fstype"


class Unusable(ValueError):
    """The claim, or its class, asks for what cannot be had; the text is for an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A claim, its classes, where volumes can be (empty: the driver does not say), and what the volume is to be a copy of."""

    claim: PersistentVolumeClaim
    storage_class: StorageClass
    topology: Mapping[str, str]
    source: PersistentVolume | None = None
    attributes: VolumeAttributesClass | None = None


def requested_bytes(claim: PersistentVolumeClaim) -> int:
    """Rounded up. Raises Unusable."""
    resources = claim.spec.resources if claim.spec else None
    text = ((resources.requests if resources else None) or {}).get("storage")
    if text is None:
        raise Unusable("the claim asks for no storage")
    return -(-quantity.parse(text) // 1)


def create_request(wanted: Wanted) -> csi.CreateVolumeRequest:
    """Raises Unusable."""
    claim, storage_class = wanted.claim, wanted.storage_class
    assert claim.spec is not None
    if claim.spec.selector is not None:
        raise Unusable("claim Selector is not supported")
    parameters, fs_type = _parameters(storage_class)
    block = claim.spec.volumeMode == "Block"
    request = csi.CreateVolumeRequest(name=volume_name(claim), parameters=parameters)
    request.capacity_range.required_bytes = requested_bytes(claim)
    if wanted.attributes is not None:
        request.mutable_parameters.update(wanted.attributes.parameters or {})
    for name in claim.spec.accessModes or ():
        _, mode = ACCESS_MODES[name]
        flags = storage_class.mountOptions or ()
        capability = block_capability(mode) if block else mount_capability(mode, fs_type=fs_type, mount_flags=flags)
        request.volume_capabilities.append(capability)
    if wanted.topology:
        _check_topology(storage_class, wanted.topology)
        request.accessibility_requirements.requisite.add(segments=wanted.topology)
        request.accessibility_requirements.preferred.add(segments=wanted.topology)
    if wanted.source is not None:
        request.volume_content_source.volume.volume_id = _handle_to_copy(wanted)
    return request


def source_claim(claim: PersistentVolumeClaim) -> str:
    """The claim of the same namespace that it is to be a copy of; empty: of none. Raises Unusable for another kind of source."""
    assert claim.spec is not None
    source = claim.spec.dataSourceRef or claim.spec.dataSource
    if source is None:
        return ""
    namespace = getattr(source, "namespace", None)
    if source.kind != "PersistentVolumeClaim" or source.apiGroup or namespace not in (None, key_of(claim)[0]):
        raise Unusable(
            f"a volume made of a {source.kind} is not supported here: only of a PersistentVolumeClaim beside it"
        )
    return source.name


def persistent_volume(wanted: Wanted, made: csi.Volume, driver: str) -> PersistentVolume:
    """What the API is to know of a volume that the driver has made."""
    claim, storage_class = wanted.claim, wanted.storage_class
    assert claim.spec is not None
    metadata, block = metadata_of(claim), claim.spec.volumeMode == "Block"
    delete = storage_class.reclaimPolicy == "Delete"
    return PersistentVolume(
        apiVersion="v1",
        kind="PersistentVolume",
        metadata=ObjectMeta(
            name=volume_name(claim),
            annotations={PROVISIONED_BY: driver},
            finalizers=[RECLAIM_FINALIZER] if delete else None,
        ),
        spec=PersistentVolumeSpec(
            accessModes=list(claim.spec.accessModes or ()),
            capacity={"storage": quantity_text(made.capacity_bytes or requested_bytes(claim))},
            claimRef=ObjectReference(
                apiVersion="v1",
                kind="PersistentVolumeClaim",
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
                resourceVersion=metadata.resourceVersion,
            ),
            csi=CSIPersistentVolumeSource(
                driver=driver,
                volumeHandle=made.volume_id,
                fsType=None if block else _parameters(storage_class)[1] or None,
                volumeAttributes=dict(made.volume_context) or None,
            ),
            mountOptions=None if block else storage_class.mountOptions,
            nodeAffinity=_affinity(made),
            persistentVolumeReclaimPolicy=storage_class.reclaimPolicy,
            storageClassName=metadata_of(storage_class).name,
            volumeAttributesClassName=metadata_of(wanted.attributes).name if wanted.attributes else None,
            volumeMode=claim.spec.volumeMode,
        ),
    )


def wrong_driver(name: str, of: str, driver: str) -> str:
    """Why a VolumeAttributesClass is of no use for a claim."""
    return f"VAC {name} referenced in PVC is for driver {of} which does not match driver name {driver}"


def quantity_text(size_bytes: int) -> str:
    """As people write it: the largest binary unit that is exact."""
    for unit, name in ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki")):
        if size_bytes and size_bytes % unit == 0:
            return f"{size_bytes // unit}{name}"
    return str(size_bytes)


def _parameters(storage_class: StorageClass) -> tuple[dict[str, str], str]:
    """Those that are for the driver, and the file system. Raises Unusable for what is for sidecars and not known here."""
    given = dict(storage_class.parameters or {})
    fs_type = given.pop(_FS_TYPE, "") or given.pop(_OLD_FS_TYPE, "")
    given.pop(_OLD_FS_TYPE, None)
    if unknown := next((key for key in sorted(given) if key.startswith(_OF_SIDECARS)), None):
        raise Unusable(f'found unknown parameter key "{unknown}" with reserved namespace csi.storage.k8s.io/')
    return given, fs_type


def _check_topology(storage_class: StorageClass, topology: Mapping[str, str]) -> None:
    terms = storage_class.allowedTopologies or ()
    if terms and not any(
        all(topology.get(each.key) in each.values for each in term.matchLabelExpressions or ()) for term in terms
    ):
        raise Unusable("none of the class's allowedTopologies is that of this node")


def _handle_to_copy(wanted: Wanted) -> str:
    source, claim = wanted.source, wanted.claim
    assert source is not None and source.spec is not None and claim.spec is not None
    if source.spec.csi is None or source.spec.csi.driver != wanted.storage_class.provisioner:
        raise Unusable("the claim to be copied has a volume of another driver")
    if source.spec.volumeMode != claim.spec.volumeMode:
        raise Unusable(f"the claim to be copied has volumeMode {source.spec.volumeMode}, not {claim.spec.volumeMode}")
    have = quantity.parse((source.spec.capacity or {}).get("storage", "0"))
    if requested_bytes(claim) < have:
        raise Unusable(
            "error, new PVC request must be greater than or equal in size to the specified PVC data source, "
            f"requested {requested_bytes(claim)} but source is {have}"
        )
    return source.spec.csi.volumeHandle


def _affinity(made: csi.Volume) -> VolumeNodeAffinity | None:
    terms = [
        NodeSelectorTerm(
            matchExpressions=[
                NodeSelectorRequirement(key=key, operator="In", values=[value])
                for key, value in sorted(topology.segments.items())
            ]
        )
        for topology in made.accessible_topology
        if topology.segments
    ]
    return VolumeNodeAffinity(required=NodeSelector(nodeSelectorTerms=terms)) if terms else None
