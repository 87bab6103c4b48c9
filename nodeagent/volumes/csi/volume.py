"""A pod's volume as a driver has to be told of it. Pure. Source: docs/facts/storage.md 4.9, 10.3."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from lightkube.models.core_v1 import CSIPersistentVolumeSource, SecretReference

from csi.values import AccessMode, NodeCapability, block_capability, mount_capability
from nodeagent.volumes.contract import VolumeSource
from proto import csi_pb2 as csi

PLUGIN = "kubernetes.io/csi"
# of a PersistentVolume -> for drivers without SINGLE_NODE_MULTI_WRITER, and with it
ACCESS_MODES = {
    "ReadWriteOnce": (AccessMode.SINGLE_NODE_WRITER, AccessMode.SINGLE_NODE_MULTI_WRITER),
    "ReadWriteOncePod": (AccessMode.SINGLE_NODE_WRITER, AccessMode.SINGLE_NODE_SINGLE_WRITER),
    "ReadOnlyMany": (AccessMode.MULTI_NODE_READER_ONLY, AccessMode.MULTI_NODE_READER_ONLY),
    "ReadWriteMany": (AccessMode.MULTI_NODE_MULTI_WRITER, AccessMode.MULTI_NODE_MULTI_WRITER),
}
_DEFAULT_MODE = "ReadWriteOnce"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretName:
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CSIVolume:
    """`spec_name`: the PersistentVolume's, else the one in the pod. `ephemeral`: it lives and dies with its pod."""

    driver: str
    handle: str
    spec_name: str
    ephemeral: bool = False
    block: bool = False
    read_only: bool = False
    fs_type: str = ""
    mount_flags: tuple[str, ...] = ()
    access_modes: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    stage_secret: SecretName | None = None
    publish_secret: SecretName | None = None
    expand_secret: SecretName | None = None

    @property
    def id(self) -> str:
        """Unique on the node, as in node.status.volumesInUse."""
        return f"{PLUGIN}/{self.driver}^{self.handle}"

    @property
    def single_node(self) -> bool:
        """One node at a time writes to it, so that its group is this node's business."""
        return self.ephemeral or bool({"ReadWriteOnce", "ReadWriteOncePod"} & set(self.access_modes))

    def capability(self, driver: frozenset[NodeCapability], mount_group: str = "") -> csi.VolumeCapability:
        """Of the PersistentVolume's access modes the first counts. `driver`: what it can do."""
        plain, several = ACCESS_MODES.get(
            self.access_modes[0] if self.access_modes else _DEFAULT_MODE, ACCESS_MODES[_DEFAULT_MODE]
        )
        mode = several if NodeCapability.SINGLE_NODE_MULTI_WRITER in driver else plain
        if self.block:
            return block_capability(mode)
        return mount_capability(mode, fs_type=self.fs_type, mount_flags=self.mount_flags, mount_group=mount_group)


def names_driver(source: VolumeSource) -> bool:
    return source.volume.csi is not None or persistent(source) is not None


def persistent(source: VolumeSource) -> CSIPersistentVolumeSource | None:
    volume = source.persistent_volume
    return volume.spec.csi if volume is not None and volume.spec is not None else None


def volume_of(source: VolumeSource, uid: str, namespace: str) -> CSIVolume:
    """Of a source that `names_driver`, for a pod."""
    if (spec := persistent(source)) is not None:
        return CSIVolume(
            driver=spec.driver,
            handle=spec.volumeHandle,
            spec_name=source.name,
            block=source.block,
            read_only=source.read_only,
            fs_type=spec.fsType or "",
            mount_flags=source.mount_options,
            access_modes=source.access_modes,
            attributes=spec.volumeAttributes or {},
            stage_secret=_secret(spec.nodeStageSecretRef),
            publish_secret=_secret(spec.nodePublishSecretRef),
            expand_secret=_secret(spec.nodeExpandSecretRef),
        )
    inline = source.volume.csi
    assert inline is not None
    reference = inline.nodePublishSecretRef
    return CSIVolume(
        driver=inline.driver,
        handle=inline_handle(uid, source.volume.name),
        spec_name=source.volume.name,
        ephemeral=True,
        read_only=bool(inline.readOnly),
        fs_type=inline.fsType or "",
        attributes=inline.volumeAttributes or {},
        publish_secret=SecretName(namespace=namespace, name=reference.name or "") if reference is not None else None,
    )


def inline_handle(uid: str, name: str) -> str:
    return f"csi-{hashlib.sha256(f'{uid}{name}'.encode()).hexdigest()}"


def parted(volume_id: str) -> tuple[str, str]:
    """(driver, handle) of `CSIVolume.id`. Raises ValueError for another's."""
    driver, separator, handle = volume_id.removeprefix(f"{PLUGIN}/").partition("^")
    if not separator or not volume_id.startswith(f"{PLUGIN}/"):
        raise ValueError(f"{volume_id!r} is not the id of a CSI volume")
    return driver, handle


def _secret(reference: SecretReference | None) -> SecretName | None:
    return SecretName(namespace=reference.namespace or "", name=reference.name or "") if reference is not None else None
