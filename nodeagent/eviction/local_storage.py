"""Ends pods that use more of the node's disk than they may. Source: docs/facts/node-resources.md 5.3, 5.6, 5.8."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from nodeagent.api.events import WARNING, Events
from nodeagent.eviction.evictor import MINIMUM_GRACE_SECONDS, REASON, Pods, Usages
from nodeagent.eviction.local_limits import Violation, has_limits, violation
from nodeagent.eviction.pressure import PressureWatch
from nodeagent.eviction.rules import PERIOD_SECONDS
from nodeagent.pods.admission.gate import KillError
from nodeagent.pods.rules.model import Termination
from nodeagent.podspec.critical import is_critical
from nodeagent.podspec.pod import AgentPod, PodUID

log = logging.getLogger(__name__)


LEAST_SECONDS = 2.0
SHARE = 50  # of the time, at most one part in so many is spent on looking


def pause_seconds(took_seconds: float) -> float:
    """Between two looks: the shorter, the less a look takes. Pure."""
    return min(PERIOD_SECONDS, max(LEAST_SECONDS, SHARE * took_seconds))


class LocalStorage:
    """Looks at all pods that have limits; every one that exceeds one is evicted, but critical ones, of which it is said once."""

    def __init__(
        self, watch: PressureWatch, pods: Pods, usages: Usages, events: Events, *, counted: Callable[[str], None]
    ) -> None:
        self._watch = watch
        self._pods = pods
        self._usages = usages
        self._events = events
        self._counted = counted
        self._spared: set[PodUID] = set()

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await self.look()
            except Exception:
                log.exception("limits of local storage could not be looked at, will try again")
            await asyncio.sleep(pause_seconds(clock() - began))

    async def look(self) -> None:
        pods = [pod for pod in self._pods.active_pods() if has_limits(pod)]
        if not pods:
            return
        usages = await self._usages.read(pods, disks=True)
        found = [(usage.pod, violation(usage, self._watch.layout)) for usage in usages]
        violators = [(pod, wrong) for pod, wrong in found if wrong is not None]
        self._say_spared([(pod, wrong) for pod, wrong in violators if is_critical(pod)])
        await asyncio.gather(*(self._evict(pod, wrong) for pod, wrong in violators if not is_critical(pod)))

    def _say_spared(self, violators: Sequence[tuple[AgentPod, Violation]]) -> None:
        for pod, wrong in violators:
            if pod.uid not in self._spared:
                log.warning("pod %s is critical and stays: %s", pod.describe(), wrong.message)
        self._spared = {pod.uid for pod, _ in violators}

    async def _evict(self, pod: AgentPod, wrong: Violation) -> None:
        log.warning("pod %s is evicted: %s", pod.describe(), wrong.message)
        self._events.event(pod, WARNING, REASON, wrong.message)
        self._counted(wrong.signal)
        termination = Termination(
            grace_seconds=MINIMUM_GRACE_SECONDS, reason=REASON, message=wrong.message, failed=True
        )
        try:
            await self._pods.end(pod, termination)
        except KillError as error:
            log.warning("pod %s: %s", pod.describe(), error)
