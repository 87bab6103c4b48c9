"""The DRA manager: a pod's ResourceClaims made ready by their drivers before it starts, and given back when it has ended.

gate before the sandbox ─> prepare: check every claim, note it on the disk, ask each driver once for all of its claims
containers ─> cdi_ids: what the drivers said of the requests that the container uses
end ─> unprepare: claims that no other pod is noted for; what vanished meanwhile is given back by `run`

Source: docs/facts/node-resources.md 12.3.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from lightkube.models.core_v1 import Container, ResourceHealth, ResourceStatus
from lightkube.models.resource_v1 import ResourceClaim

from nodeagent.api.errors import ApiError
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources.dra.driver import Driver, DriverError
from nodeagent.resources.dra.drivers import Drivers, NotRegistered
from nodeagent.resources.dra.health import DeviceHealth, Health
from nodeagent.resources.dra.pod_claims import NotPrepared, drivers_of, used_by, wanted
from nodeagent.resources.dra.state import ClaimRecord, ClaimState, DriverPart, Key, PreparedDevice
from proto import dra_pb2 as api

log = logging.getLogger(__name__)

RECONCILE_SECONDS = 60.0


class ClaimApi(Protocol):
    """Where claims are read. Raises ApiError."""

    async def get(self, kind: type[ResourceClaim], name: str, namespace: str) -> ResourceClaim: ...


class OperationObserver(Protocol):
    """Hears of `PrepareResources` and `UnprepareResources` of a pod. Raises nothing."""

    def __call__(self, operation: str, *, failed: bool, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedDevice:
    """A prepared device that a container has. `shown`: the name of its resource in the container's status; `id`: what the status
    calls the device, the first of its CDI ids, else `<driver>/<pool>/<device>`."""

    claim: Key
    shown: str
    driver: str
    device: PreparedDevice
    health: DeviceHealth

    @property
    def id(self) -> str:
        return next(iter(self.device.cdi_ids or ()), f"{self.driver}/{self.device.pool}/{self.device.name}")


@dataclass(slots=True)
class _Turn:
    """`users`: who holds the lock, or waits for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class DRAManager:
    """`claims` None: a node without an API, whose pods can have none. Methods belong to the event loop.

    `known`: pods that may still need their claims, complete once `ready`.
    """

    def __init__(
        self,
        claims: ClaimApi | None,
        drivers: Drivers,
        state: ClaimState,
        health: Health,
        *,
        known: Callable[[], Collection[str]],
        ready: Callable[[], bool],
        observe: OperationObserver,
    ) -> None:
        self._claims = claims
        self._drivers = drivers
        self._state = state
        self._health = health
        self._known = known
        self._ready = ready
        self._observe = observe
        self._prepared: set[str] = set()  # UIDs of claims, by this agent: after a restart drivers are asked again
        self._turns: dict[Key, _Turn] = {}

    async def prepare(self, pod: AgentPod) -> None:
        """Make every claim of the pod ready for use. Repeatable. Raises NotPrepared."""
        with self._observed("PrepareResources"):
            records = [await self._look(pod, name, generated=generated) for name, generated in wanted(pod)]
            async with self._locked(record.key for record in records):
                await self._prepare(pod, records)

    async def unprepare(self, uid: PodUID) -> None:
        """Give back what was prepared for the pod alone. Nothing there is fine. Raises NotPrepared: it is to be tried again."""
        records = self._state.of_pod(uid)
        if not records:
            return
        with self._observed("UnprepareResources"):
            async with self._locked(record.key for record in records):
                await self._unprepare(uid, self._state.of_pod(uid))

    def cdi_ids(self, pod: AgentPod, container: Container) -> tuple[str, ...]:
        """Of all devices that the container uses, each once. Raises NotPrepared."""
        found: dict[str, None] = {}
        for claim, request, _ in used_by(pod, container):
            record = self._state.get((pod.namespace, claim))
            if record is None:
                raise NotPrepared(f"unable to get information for ResourceClaim {claim}")
            for _, device in record.devices(request):
                found |= dict.fromkeys(device.cdi_ids or ())
        return tuple(found)

    def devices_of(self, pod: AgentPod, container: Container) -> Iterator[UsedDevice]:
        """What the container has, with its health as of now. Raises nothing."""
        for claim, request, shown in used_by(pod, container):
            key = (pod.namespace, claim)
            record = self._state.get(key)
            for driver, device in record.devices(request) if record is not None else ():
                health = self._health.of(driver, device.pool, device.name)
                yield UsedDevice(claim=key, shown=shown, driver=driver, device=device, health=health)

    def health_of(self, pod: AgentPod, container: Container) -> tuple[ResourceStatus, ...]:
        """For the container's `allocatedResourcesStatus`: one for each claim, or request of it, that it uses. Raises nothing."""
        found: dict[str, dict[str, ResourceHealth]] = {}
        for used in self.devices_of(pod, container):
            health = ResourceHealth(resourceID=used.id, health=used.health.status, message=used.health.message or None)
            found.setdefault(used.shown, {})[used.id] = health
        return tuple(ResourceStatus(name=name, resources=list(devices.values())) for name, devices in found.items())

    def pods_with(self, devices: Collection[tuple[str, str]]) -> frozenset[str]:
        """UIDs of the pods that have any of these, each (driver, <pool>/<device>). Raises nothing."""
        return frozenset(
            uid
            for record in self._state.all()
            for driver, device in record.devices()
            if (driver, f"{device.pool}/{device.name}") in devices
            for uid in record.pods
        )

    def in_use(self) -> tuple[int, dict[str, int]]:
        """Claims noted on this node: all, and by driver. Raises nothing."""
        records = self._state.all()
        return len(records), {driver: len(own) for driver, own in _by_driver(records).items()}

    async def run(self) -> None:
        """Give back what pods had that are not there any more. Until cancelled."""
        while True:
            await asyncio.sleep(RECONCILE_SECONDS)
            await self.reconcile()

    async def reconcile(self) -> None:
        """One round of `run`. Raises nothing."""
        if not self._ready():
            return
        known = self._known()
        for uid in sorted({uid for record in self._state.all() for uid in record.pods if uid not in known}):
            try:
                await self.unprepare(PodUID(uid))
            except NotPrepared as error:
                log.info("claims of pod %s, which is gone, are given back later: %s", uid, error)

    async def _look(self, pod: AgentPod, name: str, *, generated: bool) -> ClaimRecord:
        """What the claim is to be noted as. Nothing is noted yet: a pod whose driver never was here can go as it came."""
        if self._claims is None:
            raise NotPrepared(f"fetch ResourceClaim {name}: this node has no API server")
        try:
            claim = await self._claims.get(ResourceClaim, name, pod.namespace)
        except ApiError as error:
            raise NotPrepared(f"fetch ResourceClaim {name}: {error}") from error
        drivers = drivers_of(pod, claim, generated=generated)
        for driver in drivers:
            self._driver(driver)
        assert claim.metadata is not None and claim.metadata.uid is not None
        parts = {driver: DriverPart() for driver in drivers}
        return ClaimRecord(uid=claim.metadata.uid, name=name, namespace=pod.namespace, drivers=parts)

    async def _prepare(self, pod: AgentPod, looked_at: list[ClaimRecord]) -> None:
        # by UID: two entries of a pod may name one claim
        records = {record.uid: self._noted(pod, record) for record in looked_at}
        await self._save()
        waiting = [record for uid, record in records.items() if uid not in self._prepared]
        await _side_by_side(self._prepare_by(driver, own) for driver, own in _by_driver(waiting).items())
        self._prepared |= {record.uid for record in waiting}
        await self._save()

    def _noted(self, pod: AgentPod, looked_at: ClaimRecord) -> ClaimRecord:
        record = self._state.get(looked_at.key)
        if record is None:
            record = looked_at
            self._state.add(record)
        elif record.uid != looked_at.uid:
            raise NotPrepared(
                f"old ResourceClaim with same name {record.name} and different UID {record.uid} still exists "
                "(previous pod force-deleted?!)"
            )
        if pod.uid not in record.pods:
            record.pods[pod.uid] = {}
            self._state.changed()
        return record

    async def _prepare_by(self, name: str, records: list[ClaimRecord]) -> None:
        driver = self._driver(name)
        try:
            answers = await driver.prepare([_claim(record) for record in records])
        except DriverError as error:
            raise NotPrepared(str(error)) from error
        for record in records:
            record.drivers[name].devices = [_device(each) for each in answers[record.uid].devices]
        self._state.changed()

    async def _unprepare(self, uid: PodUID, records: list[ClaimRecord]) -> None:
        alone = [record for record in records if len(record.pods) == 1]
        await _side_by_side(self._unprepare_by(driver, own) for driver, own in _by_driver(alone).items())
        for record in records:
            record.pods.pop(uid, None)
            if not record.pods:
                self._state.remove(record.key)
                self._prepared.discard(record.uid)
        self._state.changed()
        await self._save()

    async def _unprepare_by(self, name: str, records: list[ClaimRecord]) -> None:
        driver = self._driver(name)
        try:
            await driver.unprepare([_claim(record) for record in records])
        except DriverError as error:
            raise NotPrepared(str(error)) from error

    def _driver(self, name: str) -> Driver:
        try:
            return self._drivers.get(name)
        except NotRegistered as error:
            raise NotPrepared(str(error)) from error

    async def _save(self) -> None:
        try:
            await self._state.save()
        except OSError as error:
            raise NotPrepared(f"checkpoint ResourceClaim state: {error}") from error

    @contextlib.asynccontextmanager
    async def _locked(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """A claim is prepared and given back by one pod at a time. All lock in one order, so none waits for another in a ring."""
        async with contextlib.AsyncExitStack() as stack:
            for key in sorted(set(keys)):
                turn = self._turns.setdefault(key, _Turn())
                turn.users += 1
                stack.callback(self._leave, key)
                await stack.enter_async_context(turn.lock)
            yield

    def _leave(self, key: Key) -> None:
        self._turns[key].users -= 1
        if not self._turns[key].users:
            del self._turns[key]

    @contextlib.contextmanager
    def _observed(self, operation: str) -> Iterator[None]:
        begin, failed = time.monotonic(), True
        try:
            yield
            failed = False
        finally:
            self._observe(operation, failed=failed, seconds=time.monotonic() - begin)


def _by_driver(records: Iterable[ClaimRecord]) -> dict[str, list[ClaimRecord]]:
    found: dict[str, list[ClaimRecord]] = {}
    for record in records:
        for driver in record.drivers:
            found.setdefault(driver, []).append(record)
    return found


async def _side_by_side(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All of them to their ends, also when one fails: what the others did is noted. Raises the first NotPrepared."""
    for error in await asyncio.gather(*calls, return_exceptions=True):
        if error is not None:
            raise error


def _claim(record: ClaimRecord) -> api.Claim:
    return api.Claim(namespace=record.namespace, uid=record.uid, name=record.name)


def _device(told: api.Device) -> PreparedDevice:
    return PreparedDevice(
        pool=told.pool_name,
        name=told.device_name,
        share_id=told.share_id or None,
        requests=list(told.request_names) or None,
        cdi_ids=list(told.cdi_device_ids) or None,
    )
