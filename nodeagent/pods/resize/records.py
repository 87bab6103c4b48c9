"""What is known of the resources of this node's pods: wanted, allocated, in force. The one owner, in memory and on the disk.

What was decided is in `allocated_pods_state`, what is in force in `actuated_pods_state`; an agent that starts again goes on from
there. Source: docs/facts/pod-lifecycle.md 15.2.
"""

import asyncio
import contextlib
import logging
from pathlib import Path

from nodeagent.pods.resize.allocation import PodResources
from nodeagent.pods.resize.changes import Actuated
from nodeagent.pods.resize.checkpoint import Checkpoint
from nodeagent.pods.resize.conditions import NONE, ResizeConditions
from nodeagent.podspec.pod import AgentPod, PodUID

log = logging.getLogger(__name__)

ALLOCATED_FILE = "allocated_pods_state"
ACTUATED_FILE = "actuated_pods_state"
_NOTHING = Actuated()


class ResizeRecords:
    """All methods belong to the event loop."""

    def __init__(self, root_dir: Path) -> None:
        self.allocated = Checkpoint(root_dir / ALLOCATED_FILE, PodResources)  # ahead of `given` until it is on the disk
        self.actuated = Checkpoint(root_dir / ACTUATED_FILE, Actuated)
        self.wanted: dict[PodUID, AgentPod] = {}  # as the sources have them
        self.given: dict[PodUID, PodResources] = {}  # what is allocated, and on the disk if it was ever resized
        self.conditions: dict[PodUID, ResizeConditions] = {}
        self._woken = asyncio.Event()

    def load(self) -> None:
        """Before the first pod. Raises CorruptCheckpoint."""
        self.allocated.load()
        self.actuated.load()
        for uid in self.allocated.uids():
            given = self.allocated.get(uid)
            if given is not None:
                self.given[PodUID(uid)] = given

    def in_force(self, uid: PodUID) -> Actuated:
        return self.actuated.get(uid) or _NOTHING

    def conditions_of(self, uid: PodUID) -> ResizeConditions:
        return self.conditions.get(uid, NONE)

    def forget(self, uid: PodUID) -> None:
        """The pod is gone."""
        self.wanted.pop(uid, None)
        self.given.pop(uid, None)
        self.conditions.pop(uid, None)
        self.allocated.remove(uid)
        self.actuated.remove(uid)

    def drop_unknown(self) -> None:
        """What is on the disk of pods that went while no agent ran."""
        for uid in {*self.allocated.uids(), *self.actuated.uids()} - self.wanted.keys():
            self.allocated.remove(uid)
            self.actuated.remove(uid)
            self.given.pop(PodUID(uid), None)

    def wake(self) -> None:
        """Something has changed: pending resizes are decided on again, and the files brought up to date."""
        self._woken.set()

    async def changed(self) -> None:
        """Returns after the next `wake`."""
        await self._woken.wait()
        self._woken.clear()

    async def save(self) -> None:
        """Raises OSError; what was not written stays to be."""
        await self.allocated.flush()
        await self.actuated.flush()

    def save_now(self) -> None:
        """The same while the agent goes, as far as it can be done."""
        with contextlib.suppress(OSError):
            self.allocated.flush_now()
            self.actuated.flush_now()
