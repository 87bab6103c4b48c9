"""Let the volumes that claims lead to grow, and tell the claims (docs/facts/storage.md 9)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from lightkube.models.core_v1 import PersistentVolumeClaim
from typing_extensions import override

from nodeagent.api.events import Events
from nodeagent.volumes import expansion
from nodeagent.volumes.contract import (
    CannotGrowInUse,
    SizeInfeasible,
    VolumeError,
    VolumePlugin,
    VolumeRequest,
)
from nodeagent.volumes.sources import OwnNode
from runtimes.kube.json_object import JsonObject


class ClaimStatuses(Protocol):
    """Where the status of claims is written."""

    async def patch(self, claim: PersistentVolumeClaim, patch: JsonObject) -> PersistentVolumeClaim:
        """Returns the claim as it is then. Raises VolumeError."""
        ...


class Unreported(ClaimStatuses):
    """Nobody is told."""

    @override
    async def patch(self, claim: PersistentVolumeClaim, patch: JsonObject) -> PersistentVolumeClaim:
        return claim


class Expander:
    """`own_node` names this one in events."""

    def __init__(
        self,
        statuses: ClaimStatuses,
        events: Events,
        own_node: OwnNode,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._statuses = statuses
        self._events = events
        self._own_node = own_node
        self._now = now

    async def expand(self, plugin: VolumePlugin, request: VolumeRequest) -> None:
        """Let a published volume grow to what its source asks for, and have its claim say so.

        Raises VolumeError: to be tried again, but for CannotGrowInUse.
        """
        source = request.source
        if (target_bytes := source.expand_to_bytes) is None:
            return
        if source.read_only:
            text = f'MountVolume.NodeExpandVolume failed for volume "{source.name}" requested read-only file system'
            self._tell(request, "Warning", "FileSystemResizeFailed", text)
            return
        claim = source.claim
        if claim is not None and expansion.recorded_bytes(claim) >= target_bytes:
            claim = None  # another node has reported it
        if claim is not None and (patch := expansion.begun(claim)) is not None:
            claim = await self._statuses.patch(claim, patch)
        try:
            await plugin.expand(request)
        except CannotGrowInUse:
            raise
        except VolumeError as error:
            if claim is not None:
                await self._report_failure(claim, error, target_bytes)
            raise
        if claim is not None:
            await self._statuses.patch(claim, expansion.finished(claim, target_bytes))
        text = f'MountVolume.NodeExpandVolume succeeded for volume "{source.name}" {self._node_name()}'
        self._tell(request, "Normal", "FileSystemResizeSuccessful", text)

    async def _report_failure(self, claim: PersistentVolumeClaim, error: Exception, target_bytes: int) -> None:
        infeasible = isinstance(error, SizeInfeasible) or expansion.is_given_up(claim, target_bytes)
        await self._statuses.patch(claim, expansion.failed(claim, error, self._now(), infeasible=infeasible))

    def _tell(self, request: VolumeRequest, type: str, reason: str, text: str) -> None:
        self._events.event(request.pod, type, reason, text)
        if request.source.claim is not None:
            self._events.event(request.source.claim, type, reason, text)

    def _node_name(self) -> str:
        node = self._own_node()
        return (node.metadata.name if node is not None and node.metadata is not None else None) or ""
