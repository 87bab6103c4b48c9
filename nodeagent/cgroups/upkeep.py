"""The cgroups above the pods', held to their limits for as long as the agent runs. Source: docs/facts/node-resources.md 2.3.

Others may change or remove them: systemd, an operator, a clean-up script. A pod's own cgroup is written when it is made and when
the pod is resized, and is made again where it is gone when the next container of the pod starts (`pods.steps.cgroup`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nodeagent.api.events import NORMAL, WARNING, NodeEvents
from nodeagent.cgroups.pod_cgroups import PodCgroups
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits

log = logging.getLogger(__name__)

PERIOD_SECONDS = 60.0


class CgroupUpkeep:
    """`refresh_classes`: brings the Burstable class in line with its pods.

    `enforced`: the limits are allocatable, which is told once, and again after a failure. A failure is told when it is new.
    """

    def __init__(
        self,
        cgroups: PodCgroups,
        node_limits: CgroupLimits,
        *,
        refresh_classes: Callable[[], Awaitable[None]],
        events: NodeEvents,
        enforced: bool,
    ) -> None:
        self._cgroups = cgroups
        self._node_limits = node_limits
        self._refresh_classes = refresh_classes
        self._events = events
        self._enforced = enforced
        self._last: str | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.hold()
            await asyncio.sleep(PERIOD_SECONDS)

    async def hold(self) -> None:
        """One pass. What the kernel refuses is told, and left for the next one."""
        try:
            await self._cgroups.start(self._node_limits)
            await self._refresh_classes()
        except CgroupError as error:
            text = f"Failed to update Node Allocatable limit across pods: {error}"
            if text != self._last:
                log.warning("%s", text)
                self._events.node_event(WARNING, "FailedNodeAllocatableEnforcement", text)
            self._last = text
            return
        if self._enforced and self._last != "":
            text = "Updated Node Allocatable limit across pods"
            self._events.node_event(NORMAL, "NodeAllocatableEnforced", text)
        self._last = ""
