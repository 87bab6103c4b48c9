"""Keeps the kernel's table as Services and EndpointSlices say: one transaction for all changes that have come together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Protocol

from lightkube.models.core_v1 import Service
from lightkube.models.discovery_v1 import EndpointSlice

from cni.native.nftables.errors import NftablesError, NftablesUnavailable
from nodeagent.api.endpoint_slices import ServiceKey, SlicesByService
from nodeagent.api.informer import Informer
from nodeagent.os_error_retry import UNREPORTED, LoopHealth
from nodeagent.services.elements import Aim, Wants
from nodeagent.services.frontends import View, cluster_addresses, frontends, key_of
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0  # rules that somebody has flushed come back within this
_RETRY = RetryPolicy(first_seconds=0.5, cap_seconds=30.0)


class Table(Protocol):
    """What of `kernel_table.KernelTable` is used here."""

    def apply(self, aim: Aim) -> int: ...

    def was_touched(self) -> bool: ...


class ServiceProxy:
    """`run` waits for both informers before it changes anything: what an agent before it has made stays until then."""

    def __init__(
        self,
        table: Table,
        services: Informer[Service],
        slices: Informer[EndpointSlice],
        view: View,
        health: LoopHealth = UNREPORTED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._table = table
        self._services = services
        self._slices = slices
        self._view = view
        self._health = health
        self._sleep = sleep
        self._changed: set[ServiceKey] = set()
        self._wake = asyncio.Event()
        self._is_in_force = False
        self._aim: dict[str, Wants] = {}
        self._by_service = SlicesByService()

    @property
    def leads_to_pods(self) -> bool:
        """Whether any place leads to more than the API; also while that is not known."""
        endpoints = {one for wants in self._aim.values() for place in wants.places for one in place.behind.endpoints}
        return not self._is_in_force or bool(endpoints - {self._view.api})

    async def run(self) -> None:
        """Until cancelled."""
        undo = (
            self._slices.subscribe(lambda _, old, new: self._slice_changed(old, new)),
            self._services.subscribe(lambda _, old, new: self._service_changed(new or old)),
        )
        try:
            await self._services.synced()
            await self._slices.synced()
            await self._keep()
        finally:
            for each in undo:
                each()

    async def _keep(self) -> None:
        backoff = Backoff(_RETRY, reset_after_seconds=_RETRY.cap_seconds)
        while True:
            self._wake.clear()
            try:
                await self._sync()
            except (NftablesError, NftablesUnavailable) as error:  # this kernel may get the modules it lacks
                log.warning("Services are not in force: %s", error)
                self._health.failed(str(error))
                await self._sleep(backoff.next_delay())
                continue
            self._health.works()
            await self._until_needed()

    async def _until_needed(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
                return
            except TimeoutError:
                if await asyncio.to_thread(self._table.was_touched):
                    return

    async def _sync(self) -> None:
        changed, self._changed = self._changed, set()
        for key in changed:
            service = self._services.get(*key)
            wants = None if service is None else self._wants(key, service)
            if wants is not None and wants.cluster_addresses:
                self._aim["/".join(key)] = wants
            else:
                self._aim.pop("/".join(key), None)
        messages = await asyncio.to_thread(self._table.apply, self._aim)
        self._is_in_force = True
        if messages:
            log.debug("Services: %d changes of rules", messages)

    def _wants(self, key: ServiceKey, service: Service) -> Wants:
        addresses = tuple(ip_address(address) for address in cluster_addresses(service))
        places = frontends(service, self._by_service.of(key), self._view)
        return Wants(places, tuple((address.version, str(address)) for address in addresses))

    def _service_changed(self, service: Service | None) -> None:
        if service is not None:
            self._touch(key_of(service))

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for key in self._by_service.change(old, new):
            self._touch(key)

    def _touch(self, key: ServiceKey) -> None:
        self._changed.add(key)
        self._wake.set()
