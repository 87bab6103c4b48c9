"""What a pod's claim leads to: the claim, and the PersistentVolume that it is bound to (docs/facts/storage.md 1.3, 4.9).

Both are read for each attempt, by name: a node may read the claims that its pods name and the volumes that these are bound to,
and list neither. So what the API has just been told is what counts, and nothing is kept.
"""

from collections.abc import Iterator
from typing import Protocol, TypeVar

from lightkube.models.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Volume
from typing_extensions import override

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.resources import key_of
from nodeagent.podspec.node_affinity import selects_node
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.references import claim_names
from nodeagent.volumes.claims.expander import ClaimStatuses
from nodeagent.volumes.claims.expansion import wanted_bytes
from nodeagent.volumes.contract import VolumeError, VolumeSource
from nodeagent.volumes.pod_volumes import as_devices, as_mounts
from runtimes.kube.json_object import JsonObject

PROTECTION = "kubernetes.io/pvc-protection"
GROUP_ANNOTATION = "pv.beta.kubernetes.io/gid"
T = TypeVar("T", PersistentVolumeClaim, PersistentVolume)


class Reads(Protocol):
    """Where claims and volumes are read."""

    async def get(self, kind: type[T], name: str, namespace: str | None = None) -> T:
        """The object as it is now. Raises ApiError."""
        ...


class ClaimResolver:
    """Follows persistentVolumeClaim and ephemeral volumes."""

    def __init__(self, api: Reads) -> None:
        self._api = api

    def follows(self, volume: Volume) -> bool:
        return volume.persistentVolumeClaim is not None or volume.ephemeral is not None

    async def resolve(self, pod: AgentPod, volume: Volume) -> VolumeSource:
        namespace, pod_name = pod.key
        (claim_name,) = claim_names(pod_name, [volume])
        try:
            claim = await self._read(PersistentVolumeClaim, claim_name, namespace, "PVC")
            check_claim(claim)
        except VolumeError as error:
            raise _processing(namespace, claim_name, error) from error
        if volume.persistentVolumeClaim is None and not _is_owned(pod, claim):
            owner = f"pod {namespace}/{pod_name}"
            raise VolumeError(f"PVC {namespace}/{claim_name} was not created for {owner} (pod is not owner)")
        try:
            bound = await self._read(PersistentVolume, _volume_name(claim), None, f"PV {_volume_name(claim)}")
            check_bound(claim, bound)
        except VolumeError as error:
            raise _processing(namespace, claim_name, error) from error
        check_mode(pod, volume, bound)
        return VolumeSource(
            volume=volume, claim=claim, persistent_volume=bound, expand_to_bytes=wanted_bytes(claim, bound)
        )

    async def _read(self, kind: type[T], name: str, namespace: str | None, what: str) -> T:
        try:
            return await self._api.get(kind, name, namespace)
        except ApiError as error:
            raise VolumeError(f"failed to fetch {what} from API server: {error}") from error


class ApiClaimStatuses(ClaimStatuses):
    """Written to the API, where nobody has changed the claim since it was read."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    @override
    async def patch(self, claim: PersistentVolumeClaim, patch: JsonObject) -> PersistentVolumeClaim:
        namespace, name = key_of(claim)
        try:
            return await self._client.patch(PersistentVolumeClaim, name, namespace, patch, subresource="status")
        except ApiError as error:
            raise VolumeError(f"cannot write the status of PVC {namespace}/{name}: {error}") from error


def check_claim(claim: PersistentVolumeClaim) -> None:
    """Raises VolumeError: on its way out with nobody to keep it for this pod, or not bound."""
    metadata = claim.metadata
    protected = metadata is not None and PROTECTION in (metadata.finalizers or ())
    if metadata is not None and metadata.deletionTimestamp is not None and not protected:
        raise VolumeError("PVC is being deleted")
    if claim.status is None or claim.status.phase != "Bound":
        raise VolumeError("PVC is not bound")
    if not _volume_name(claim):
        raise VolumeError("PVC has empty pvc.Spec.VolumeName")


def check_bound(claim: PersistentVolumeClaim, bound: PersistentVolume) -> None:
    """Raises VolumeError where the volume does not know of the claim: both have to name each other."""
    name = _volume_name(claim)
    reference = bound.spec.claimRef if bound.spec is not None else None
    uid = claim.metadata.uid if claim.metadata is not None else None
    if reference is None:
        text = "has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
        raise VolumeError(f"found PV object {name} but it {text}")
    if reference.uid != uid:
        text = f"its pv.Spec.ClaimRef.UID {reference.uid or ''} does not point to claim.UID {uid or ''}"
        raise VolumeError(f"found PV object {name} but {text}")


def check_mode(pod: AgentPod, volume: Volume, bound: PersistentVolume) -> None:
    """Raises VolumeError where a container wants a file system of a block device, or the other way round."""
    mode = (bound.spec.volumeMode if bound.spec is not None else None) or "Filesystem"
    for wrong, field in _wrong_uses(pod, mode):
        if volume.name in wrong:
            raise VolumeError(f"volume {volume.name} has volumeMode {mode}, but is specified in {field}")


def _wrong_uses(pod: AgentPod, mode: str) -> Iterator[tuple[frozenset[str], str]]:
    if mode != "Filesystem":
        yield as_mounts(pod.spec), "volumeMounts"
    if mode != "Block":
        yield as_devices(pod.spec), "volumeDevices"


def check_affinity(source: VolumeSource, node: Node | None) -> None:
    """Raises VolumeError where the PersistentVolume is not to be had on this node, or that is not known."""
    spec = source.persistent_spec
    required = spec.nodeAffinity.required if spec is not None and spec.nodeAffinity is not None else None
    if required is None:
        return
    if node is None or node.metadata is None:
        raise VolumeError("the labels of this node are not known yet")
    if not selects_node(required, node.metadata.name or "", node.metadata.labels or {}):
        raise VolumeError("no matching NodeSelectorTerms")


def supplemental_groups(source: VolumeSource) -> tuple[int, ...]:
    """The group that the PersistentVolume's files belong to, where an annotation says so."""
    metadata = source.persistent_volume.metadata if source.persistent_volume is not None else None
    text: str = ((metadata.annotations if metadata is not None else None) or {}).get(GROUP_ANNOTATION, "")
    return (int(text),) if text.isascii() and text.isdecimal() and int(text) < 1 << 32 else ()


def _volume_name(claim: PersistentVolumeClaim) -> str:
    return (claim.spec.volumeName if claim.spec is not None else None) or ""


def _is_owned(pod: AgentPod, claim: PersistentVolumeClaim) -> bool:
    owners = (claim.metadata.ownerReferences if claim.metadata is not None else None) or ()
    return any(owner.controller and owner.uid == pod.uid for owner in owners)


def _processing(namespace: str, name: str, error: VolumeError) -> VolumeError:
    return VolumeError(f"error processing PVC {namespace}/{name}: {error}")
