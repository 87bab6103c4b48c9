"""How a driver is started."""

from dataclasses import dataclass
from pathlib import Path

NAME = "hostpath.csi.nodeagent.dev"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`capacity_bytes`: what all volumes together may promise; 0: the size of the file system of `state_dir`.

    `attach`: volumes need ControllerPublishVolume before they can be used, as disks of a cloud do. `max_volumes`: how many may be
    attached to the node, 0: no limit. `other_nodes`: ids that the controller knows too, though no volume is there.
    `mount_group`: claim VOLUME_MOUNT_GROUP, so that agents leave a pod's group to the driver. `alpha`: claim what CSI calls alpha
    and common testers do not know: GET_SNAPSHOT, the SnapshotMetadata service.
    """

    state_dir: Path
    node_id: str
    name: str = NAME
    capacity_bytes: int = 0
    attach: bool = False
    max_volumes: int = 0
    other_nodes: frozenset[str] = frozenset()
    mount_group: bool = False
    alpha: bool = False

    @property
    def topology(self) -> dict[str, str]:
        """The volumes are on this node and nowhere else."""
        return {f"topology.{self.name}/node": self.node_id}
