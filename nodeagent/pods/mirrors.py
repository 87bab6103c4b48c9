"""Static pods in the API: for each a mirror pod, by which clients see it and to which its status is written.

The agent never runs a mirror pod. What the API says of mirrors comes in by `observed`, what runs by `wanted` and `gone`;
one loop brings the two in line, woken by either.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from nodeagent.api.errors import ApiError
from nodeagent.api.outage import Outage
from nodeagent.podspec.pod import AgentPod
from nodeagent.sources.mirror import is_mirror_of

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
_Key = tuple[str, str]


class Mirrors(Protocol):
    """What the pod manager and the status writer need."""

    def observed(self, mirror: AgentPod, *, removed: bool) -> None:
        """The API has this mirror pod, or no longer has it."""
        ...

    def wanted(self, static: AgentPod) -> None: ...

    def gone(self, static: AgentPod) -> None: ...

    def of(self, static: AgentPod) -> AgentPod | None:
        """The static pod's mirror as last seen in the API."""
        ...


class NoMirrors:
    """For an agent without an API."""

    def observed(self, mirror: AgentPod, *, removed: bool) -> None:
        return

    def wanted(self, static: AgentPod) -> None:
        return

    def gone(self, static: AgentPod) -> None:
        return

    def of(self, static: AgentPod) -> AgentPod | None:
        return None


def status_target(mirrors: Mirrors, pod: AgentPod) -> AgentPod | None:
    """The API object that a pod's status belongs to; None: there is none as yet."""
    return mirrors.of(pod) if pod.is_static else pod


class MirrorWriter(Protocol):
    """Writes mirror pods to the API. Errors are ApiError."""

    async def ensure(self, static: AgentPod, mirror: AgentPod | None) -> bool:
        """Make `mirror`, as last seen in the API, the right one; say whether the API has one afterwards."""
        ...

    async def delete_orphan(self, mirror: AgentPod) -> None:
        """Delete a mirror pod that has no static pod any more."""
        ...


class MirrorKeeper:
    """`ready`: every source has told what it wants, so that a mirror without a static pod is known to be one too many.

    `on_mirror(uid)` is called with the static pod's UID when its mirror is there, or is another.
    """

    def __init__(self, mirrors: MirrorWriter, *, ready: Callable[[], bool], on_mirror: Callable[[str], None]) -> None:
        self._mirrors = mirrors
        self._ready = ready
        self._on_mirror = on_mirror
        self._static: dict[_Key, AgentPod] = {}
        self._seen: dict[_Key, AgentPod] = {}
        self._woken = asyncio.Event()
        self._waiting = Outage("mirror pods")

    def observed(self, mirror: AgentPod, *, removed: bool) -> None:
        key = mirror.key
        if removed:
            self._seen.pop(key, None)
        else:
            self._seen[key] = mirror
        static = self._static.get(key)
        if static is not None:
            self._on_mirror(static.uid)
        self._woken.set()

    def wanted(self, static: AgentPod) -> None:
        self._static[static.key] = static
        self._woken.set()

    def gone(self, static: AgentPod) -> None:
        known = self._static.get(static.key)
        if known is not None and known.uid == static.uid:
            del self._static[static.key]
        self._woken.set()

    def of(self, static: AgentPod) -> AgentPod | None:
        mirror = self._seen.get(static.key)
        return mirror if mirror is not None and is_mirror_of(mirror, static) else None

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Bring the API in line, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            if await self._reconcile():
                self._waiting.works()
            else:
                self._waiting.waits("some cannot be made: there is no Node to own them, or others have their names")
                await asyncio.sleep(RETRY_SECONDS)
                self._woken.set()

    def _is_right(self, static: AgentPod) -> bool:
        mirror = self.of(static)
        return mirror is not None and not mirror.is_deleted

    async def _reconcile(self) -> bool:
        """Whether all is as it should be; False: try again later."""
        complete = True
        for key, static in list(self._static.items()):
            try:
                complete &= self._is_right(static) or await self._mirrors.ensure(static, self._seen.get(key))
            except ApiError as error:
                log.warning("mirror pod of static pod %s/%s: %s", *key, error)
                complete = False
        for key, mirror in list(self._seen.items()):
            if self._ready() and key not in self._static:
                try:
                    await self._mirrors.delete_orphan(mirror)
                except ApiError as error:
                    log.warning("mirror pod %s/%s has no static pod and cannot be deleted: %s", *key, error)
                    complete = False
        return complete
