"""Volumes that a controller attaches to the node: whether they are, and what the driver has to know of it.

The controller says so in the Node's status, where it takes the word back before it detaches; the VolumeAttachment tells how, and
why not. A node may read one of these by name, and may not watch them. Source: docs/facts/storage.md 1.1, 10.2.
"""

import asyncio
import hashlib
from typing import Protocol

from lightkube.models.storage_v1 import VolumeAttachment, VolumeAttachmentStatus

from nodeagent.api.errors import ApiError
from nodeagent.volumes.attached import NodeInformed, reported
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.csi.volume import CSIVolume

# so long the Node's status is waited for before the cause is looked for; it comes by watch
LOOK_SECONDS = 20.0
EXHAUSTED = 8  # of attachError.errorCode: RESOURCE_EXHAUSTED


class AttachmentReads(Protocol):
    async def get(self, kind: type[VolumeAttachment], name: str, namespace: str | None = None) -> VolumeAttachment:
        """Raises ApiError."""
        ...


class NotAttached(VolumeError):
    """`code`: of the driver's error, where it has told one."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class Attachments:
    def __init__(
        self, api: AttachmentReads, nodes: NodeInformed, node_name: str, *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._api = api
        self._nodes = nodes
        self._node_name = node_name
        self._look_seconds = look_seconds

    def name(self, volume: CSIVolume) -> str:
        return attachment_name(volume, self._node_name)

    async def wait(self, volume: CSIVolume) -> None:
        """Until the volume is reported as attached. Raises VolumeError with what is known of the cause, after a while."""
        try:
            async with asyncio.timeout(self._look_seconds):
                await reported(self._nodes, volume.id)
        except TimeoutError:
            await self._read(volume)
            raise NotAttached(
                f"volume {volume.handle} is attached, and not reported in node.status.volumesAttached"
            ) from None

    async def context(self, volume: CSIVolume) -> dict[str, str]:
        """The publish context. Raises VolumeError where it is not attached any more."""
        return (await self._read(volume)).attachmentMetadata or {}

    async def _read(self, volume: CSIVolume) -> VolumeAttachmentStatus:
        name = self.name(volume)
        try:
            found = await self._api.get(VolumeAttachment, name)
        except ApiError as error:
            text = f"volume {volume.handle} has GET error for volume attachment {name}: {error}"
            raise NotAttached(text) from error
        if found.metadata is not None and found.metadata.deletionTimestamp is not None:
            raise NotAttached("volume attachment is being deleted")
        status = found.status
        if status is None or not status.attached:
            told = status.attachError if status is not None else None
            if told is not None and told.message:
                raise NotAttached(f"attachment of volume {volume.handle} failed: {told.message}", told.errorCode)
            raise NotAttached(f"volume {volume.handle} is not attached")
        return status


def attachment_name(volume: CSIVolume, node_name: str) -> str:
    return f"csi-{hashlib.sha256(f'{volume.handle}{volume.driver}{node_name}'.encode()).hexdigest()}"
