"""Volumes that are made for one pod, on this node, of what its spec says: nothing is attached, staged or grown."""

from abc import ABC, abstractmethod

from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeRequest, VolumeSource, VolumeUsage
from nodeagent.volumes.usage import measured


class PublishOnly(ABC):
    """The part of the volume contract that such a type has nothing to do for."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    def capabilities(self, source: VolumeSource) -> Capabilities:
        return Capabilities()

    def volume_id(self, source: VolumeSource) -> str:
        return f"{self.name}/{source.name}"

    async def attach(self, request: VolumeRequest) -> None:
        return

    async def stage(self, request: VolumeRequest) -> None:
        return

    async def unstage(self, volume_id: str) -> None:
        return

    async def expand(self, request: VolumeRequest) -> None:
        return

    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        return await measured(volume.host_path)
