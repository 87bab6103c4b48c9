"""How far a volume is on its way up, how often it has failed there, and in which words that is told (docs/facts/storage.md 2)."""

import asyncio
import enum
from dataclasses import dataclass

from nodeagent.volumes.contract import NodeFull, NotYet
from runtimes.linux.retry import RetryPolicy

RETRY = RetryPolicy(first_seconds=0.5, cap_seconds=122.0)


class Phase(enum.Enum):
    """How far a volume is; the value is the word of a kubelet's event for a failure there, where it has one."""

    RESOLVE = ""
    AFFINITY = "NodeAffinity check"
    ATTACH = "WaitForAttach"
    STAGE = "MountDevice"
    PUBLISH = "SetUp"
    EXPAND = "Setup failed while expanding volume"
    GROW = "NodeExpandVolume"  # while its pod runs


# of those, what is called otherwise for block devices
_MAP_WORDS = {Phase.STAGE: "SetUpDevice", Phase.PUBLISH: "MapPodDevice"}


@dataclass(slots=True)
class Progress:
    """Of one volume: the phase that it is in, and how often it has failed in which; it is not tried before `not_before`.

    `name`: the one that events have (`VolumeSource.name`). `block`: it is a device. `came`: set when it is tried at once.
    `node_full`: there is no room for it on the node.
    """

    name: str
    block: bool = False
    phase: Phase = Phase.RESOLVE
    error: str = ""
    failed_in: Phase | None = None
    failures: int = 0
    not_before: float = 0.0
    came: asyncio.Event | None = None
    node_full: bool = False

    def failed(self, error: Exception, now: float) -> float:
        """Count a failure, another phase's from the first. Returns the seconds until the next attempt."""
        self.failures = self.failures + 1 if self.failed_in is self.phase else 1
        self.failed_in, self.error = self.phase, str(error)
        self.came = error.came if isinstance(error, NotYet) else None
        self.node_full = isinstance(error, NodeFull)
        delay_seconds = RETRY.next_delay(self.failures - 1)
        self.not_before = now + delay_seconds
        return delay_seconds

    @property
    def event(self) -> tuple[str, str]:
        """(reason, message) of a kubelet's event about the last failure; of block devices in words of their own."""
        verb, reason, word = "MountVolume", "FailedMount", self.phase.value
        if self.phase is Phase.GROW:
            verb, reason = "NodeExpandVolume", "VolumeResizeFailed"
        elif self.block:
            verb, reason, word = "MapVolume", "FailedMapVolume", _MAP_WORDS.get(self.phase, word)
        return reason, f'{verb}.{word} failed for volume "{self.name}" : {self.error}'
