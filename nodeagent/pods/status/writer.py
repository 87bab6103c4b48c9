"""Pod statuses on their way to the API: the newest per pod, one patch in flight per pod, nothing sent twice.

A status is sent as soon as it changes. While a patch is under way newer statuses only replace each other; the last one
follows. A status that could not be sent stays and is tried again, so an API outage loses nothing. A pod's first one, which says
no more than that its start is under way, waits a moment: most starts are over by then, and one patch tells all.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from lightkube.models.core_v1 import Pod, PodStatus

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError, Conflict, Forbidden, NotFound
from nodeagent.api.resources import is_older, metadata_of
from nodeagent.pods.pod_tasks import PodTasks
from nodeagent.pods.status.patch import merge_for_patch, status_patch, transition_error
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
RETRY_CAP_SECONDS = 10.0  # the kubelet's full reconcile
MAX_IN_FLIGHT = 16
HOLD_SECONDS = 0.15
_BEGINNING = ("ContainerCreating", "PodInitializing")


class StatusObserver(Protocol):
    """Hears of statuses on their way, on the event loop; for metrics."""

    def published(self, pod: AgentPod, status: PodStatus) -> None:
        """A new status of the pod, whether or not it says anything new."""
        ...

    def sent(self, pod: AgentPod, status: PodStatus, seconds: float) -> None:
        """The API has this status now; the first change that is in it waited so long."""
        ...

    def forgotten(self, uid: PodUID) -> None: ...


class Unobserved:
    """Nobody hears of them."""

    def published(self, pod: AgentPod, status: PodStatus) -> None:
        return

    def sent(self, pod: AgentPod, status: PodStatus, seconds: float) -> None:
        return

    def forgotten(self, uid: PodUID) -> None:
        return


class StatusSink(Protocol):
    """Where the supervisors' statuses go."""

    def publish(self, pod: AgentPod, status: PodStatus, *, containers_may_run: bool) -> None:
        """Take over the newest status of a pod; returns at once. A terminal phase is withheld while containers may run."""
        ...

    def cached(self, uid: PodUID) -> PodStatus | None: ...

    async def settled(self, uid: PodUID) -> None:
        """Returns when the newest status of the pod is known to the API, or the pod is gone from it."""
        ...

    def in_step(self, pod: AgentPod) -> bool:
        """Whether the API's object says what was published last: nothing is on its way, nobody has edited it."""
        ...

    async def delete(self, pod: AgentPod) -> None:
        """The final delete of a pod that has fully ended; tried until the API has heard it."""
        ...

    def forget(self, uid: PodUID) -> None: ...


@dataclass(slots=True)
class _Entry:
    base: AgentPod  # the newest API object known
    status: PodStatus
    listed: AgentPod | None = None  # as the caller had it last
    containers_may_run: bool = True
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    ignored: dict[str, object] | None = (
        None  # a patch that was taken and changed nothing: an older API drops what it does not know
    )
    sending: asyncio.Task[None] | None = None
    has_news: asyncio.Event = field(default_factory=asyncio.Event)  # more than that a start is under way
    held: bool = False  # long enough, once
    changed_at: float | None = None  # when the first change came that the API does not have; of the monotonic clock

    @property
    def is_sending(self) -> bool:
        return self.sending is not None and not self.sending.done()


class StatusWriter:
    """Sends pod statuses by strategic merge patch of the `status` subresource, with the UID as precondition.

    `target`: the API object that a pod's status belongs to: the pod itself, a static pod's mirror, or None as yet.
    `turn`: returns when the API may be asked; what is sent then is the newest, so that a burst costs fewer patches, not a
    queue of old ones. `api` has no limit of its own.
    """

    def __init__(
        self,
        api: ApiClient,
        tasks: PodTasks,
        target: Callable[[AgentPod], AgentPod | None],
        turn: Callable[[], Awaitable[None]],
        hold_seconds: float = HOLD_SECONDS,
        observer: StatusObserver | None = None,
    ) -> None:
        self._api = api
        self._turn = turn
        self._tasks = tasks
        self._target = target
        self._entries: dict[PodUID, _Entry] = {}
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._hold_seconds = hold_seconds
        self._observer = observer or Unobserved()

    def publish(self, pod: AgentPod, status: PodStatus, *, containers_may_run: bool) -> None:
        uid = pod.uid
        target = self._target(pod)
        entry = self._entries.get(uid)
        illegal = transition_error(pod, (pod.status or PodStatus()) if entry is None else entry.status, status)
        if illegal is not None:
            log.error("status of pod %s is not taken: %s", uid, illegal)  # the API would refuse it for ever
            return
        if entry is None:
            entry = self._entries[uid] = _Entry(base=target or pod, status=status)
        entry.status = status
        entry.containers_may_run = containers_may_run
        self._observer.published(pod, status)
        if not only_begins(status):
            entry.has_news.set()
        if target is None:
            entry.settled.set()  # nobody to tell
            return
        same = entry.base.uid == target.uid
        # an object older than the one before comes of an API that was restored: what was written since is lost
        restored = same and entry.listed is not None and newer(entry.listed, target) is not target
        base = newer(entry.base, target) if same and not restored else target
        entry.listed = target
        if _version(base) != _version(entry.base):
            entry.ignored = None  # somebody else has written: what changed nothing before may do so now
        entry.base = base
        if _patch(entry) in (None, entry.ignored):
            if not entry.is_sending:
                entry.settled.set()
            return
        entry.settled.clear()
        if entry.changed_at is None:
            entry.changed_at = time.monotonic()
        if not entry.is_sending:
            entry.sending = self._tasks.start(functools.partial(self._send, uid, entry), name=f"status {uid}")

    def cached(self, uid: PodUID) -> PodStatus | None:
        entry = self._entries.get(uid)
        return entry.status if entry is not None else None

    async def settled(self, uid: PodUID) -> None:
        entry = self._entries.get(uid)
        if entry is not None:
            await entry.settled.wait()

    def in_step(self, pod: AgentPod) -> bool:
        entry = self._entries.get(pod.uid)
        return entry is not None and _difference(pod, entry) is None

    async def delete(self, pod: AgentPod) -> None:
        namespace, name = pod.key
        backoff = _backoff()
        while True:
            await self._turn()
            try:
                await self._api.delete(Pod, name, namespace, grace_period_seconds=0, uid=pod.uid)
                return
            except (NotFound, Conflict):
                return  # gone, or another pod of that name by now
            except ApiError as error:
                delay = backoff.next_delay()
                log.warning(
                    "cannot delete pod %s/%s from the API, next try in %.0f s: %s", namespace, name, delay, error
                )
            await asyncio.sleep(delay)

    def forget(self, uid: PodUID) -> None:
        self._observer.forgotten(uid)
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.settled.set()
            if entry.sending is not None:
                entry.sending.cancel()

    async def _send(self, uid: PodUID, entry: _Entry) -> None:
        await self._hold(entry)
        backoff = _backoff()
        while self._entries.get(uid) is entry and _patch(entry) not in (None, entry.ignored):
            try:
                async with self._slots:
                    await self._turn()
                    patch = _patch(entry)
                    if patch is not None and patch != entry.ignored:
                        await self._send_once(uid, entry, patch)
                backoff.reset()
            except NotFound:
                self._entries.pop(uid, None)
            except ApiError as error:
                delay = backoff.next_delay()
                log.warning("status of pod %s not written, next try in %.0f s: %s", uid, delay, error)
                await asyncio.sleep(delay)
        entry.settled.set()

    async def _hold(self, entry: _Entry) -> None:
        if not entry.held and not entry.has_news.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._hold_seconds):
                    await entry.has_news.wait()
        entry.held = True

    async def _send_once(self, uid: PodUID, entry: _Entry, patch: dict[str, object]) -> None:
        namespace, name = entry.base.key
        status, changed_at, entry.changed_at = entry.status, entry.changed_at, None
        try:
            answer = await self._api.patch(Pod, name, namespace, patch, subresource="status")
        except Conflict:
            answer = await self._current(name, namespace)
            if metadata_of(answer).uid != entry.base.uid:
                raise NotFound(404, "NotFound", f'pod "{name}" was recreated') from None
        except ApiError:
            entry.changed_at = changed_at
            raise
        else:
            entry.ignored = patch
            now = time.monotonic()
            self._observer.sent(entry.base, status, now - (now if changed_at is None else changed_at))
        entry.base = newer(entry.base, AgentPod.of(answer, entry.base.source))

    async def _current(self, name: str, namespace: str) -> Pod:
        try:
            return await self._api.get(Pod, name, namespace)
        except Forbidden as error:  # how a node hears that the pod of that name is gone, or another node's by now
            raise NotFound(404, "NotFound", f'pod "{name}" is not of this node any more: {error}') from error


class NoStatuses:
    """For agents without an API: statuses are kept for the node's own server, and sent nowhere."""

    def __init__(self) -> None:
        self._statuses: dict[PodUID, PodStatus] = {}

    def publish(self, pod: AgentPod, status: PodStatus, *, containers_may_run: bool) -> None:
        self._statuses[pod.uid] = status

    def cached(self, uid: PodUID) -> PodStatus | None:
        return self._statuses.get(uid)

    async def settled(self, uid: PodUID) -> None:
        return

    def in_step(self, pod: AgentPod) -> bool:
        return False

    async def delete(self, pod: AgentPod) -> None:
        return

    def forget(self, uid: PodUID) -> None:
        self._statuses.pop(uid, None)


def only_begins(status: PodStatus) -> bool:
    """Whether all that it says is that the pod's containers are being made."""
    containers = [
        *(status.initContainerStatuses or ()),
        *(status.containerStatuses or ()),
        *(status.ephemeralContainerStatuses or ()),
    ]
    return (
        status.phase == "Pending"
        and not (status.reason or status.message)
        and all(
            each.state is not None and each.state.waiting is not None and each.state.waiting.reason in _BEGINNING
            for each in containers
        )
    )


def newer(one: AgentPod, other: AgentPod) -> AgentPod:
    """The newer of two versions of an API object, `other` if that is open. Versions are comparable where both are numbers."""
    return one if is_older(other.metadata.resourceVersion, one.metadata.resourceVersion) else other


def _version(pod: AgentPod) -> str:
    return pod.metadata.resourceVersion or ""


def _patch(entry: _Entry) -> dict[str, object] | None:
    return _difference(entry.base, entry)


def _difference(base: AgentPod, entry: _Entry) -> dict[str, object] | None:
    """The patch that makes the object's status the published one; None where it is."""
    there = base.status or PodStatus()
    wanted = merge_for_patch(there, entry.status, containers_may_run=entry.containers_may_run)
    return status_patch(there, wanted, base.uid)


def _backoff() -> Backoff:
    return Backoff(RetryPolicy(first_seconds=RETRY_SECONDS, cap_seconds=RETRY_CAP_SECONDS))
