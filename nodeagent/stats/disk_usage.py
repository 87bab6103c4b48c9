"""What somebody takes of a file system, as a value. What is not measured counts nothing."""

from dataclasses import dataclass

from nodeagent.volumes.contract import VolumeUsage
from proto import cri_pb2 as cri


@dataclass(frozen=True, slots=True)
class DiskUsage:
    used_bytes: int = 0
    inodes_used: int = 0

    def __add__(self, other: "DiskUsage") -> "DiskUsage":
        return DiskUsage(self.used_bytes + other.used_bytes, self.inodes_used + other.inodes_used)


NOTHING = DiskUsage()


def of_volume(usage: VolumeUsage) -> DiskUsage:
    return DiskUsage(usage.used_bytes or 0, usage.inodes_used or 0)


def of_layer(usage: cri.FilesystemUsage) -> DiskUsage:
    """Of what a container has written."""
    return DiskUsage(usage.used_bytes.value, usage.inodes_used.value)
