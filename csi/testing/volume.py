"""A volume under test, and what is to be undone for it."""

from dataclasses import dataclass, field
from pathlib import Path

from proto import csi_pb2 as csi


@dataclass(slots=True, kw_only=True)
class VolumeUnderTest:
    """`staging`: where it is staged, None: nowhere. `targets`: where it is published. `attached`: to the driver's node."""

    volume_id: str
    capability: csi.VolumeCapability
    capacity_bytes: int = 0
    context: dict[str, str] = field(default_factory=dict)
    publish_context: dict[str, str] = field(default_factory=dict)
    made: bool = True
    attached: bool = False
    staging: Path | None = None
    targets: list[Path] = field(default_factory=list)

    @property
    def block(self) -> bool:
        return self.capability.HasField("block")
