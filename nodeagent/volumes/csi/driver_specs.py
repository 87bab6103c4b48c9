"""What the CSIDriver objects say of drivers: the cluster's word on how a driver is to be treated, here or not.

Source: docs/facts/storage.md 4.9, 7, 10.2, 10.3.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from lightkube.models.storage_v1 import CSIDriver, CSIDriverSpec

from nodeagent.volumes.contract import VolumeError

SYNC_SECONDS = 10.0
_DEFAULT_GROUP_POLICY = "ReadWriteOnceWithFSType"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSpec:
    """The defaults are those of a driver without an object.

    `declared`: there is one. `pod_info`: the driver is told of the pod. `tokens`: (audience, seconds; None: the default) of the
    service account's tokens that it wants, `tokens_in_secrets`: there, not in the volume's context. `group_policy`: who sees to
    fsGroup. `recount_seconds`: how often it is asked how many volumes it can have, None: never again.
    """

    declared: bool = False
    attach: bool = True
    pod_info: bool = False
    ephemeral: bool = False
    republish: bool = False
    group_policy: str = _DEFAULT_GROUP_POLICY
    selinux: bool = False
    tokens: tuple[tuple[str, int | None], ...] = ()
    tokens_in_secrets: bool = False
    recount_seconds: int | None = None

    @classmethod
    def of(cls, found: CSIDriver | None) -> "DriverSpec":
        if found is None:
            return cls()
        spec = found.spec or CSIDriverSpec()
        return cls(
            declared=True,
            attach=spec.attachRequired is not False,
            pod_info=bool(spec.podInfoOnMount),
            ephemeral="Ephemeral" in (spec.volumeLifecycleModes or ()),
            republish=bool(spec.requiresRepublish),
            group_policy=spec.fsGroupPolicy or _DEFAULT_GROUP_POLICY,
            selinux=bool(spec.seLinuxMount),
            tokens=tuple((each.audience or "", each.expirationSeconds) for each in spec.tokenRequests or ()),
            tokens_in_secrets=bool(spec.serviceAccountTokenInSecrets),
            recount_seconds=spec.nodeAllocatableUpdatePeriodSeconds,
        )


class CSIDriverObjects(Protocol):
    """The objects as last seen (`api.informer.Informer`)."""

    @property
    def has_synced(self) -> bool: ...

    @property
    def trouble(self) -> str:
        """Why they may be incomplete."""
        ...

    def get(self, namespace: str, name: str) -> CSIDriver | None: ...

    async def synced(self) -> None: ...


class DriverSpecs:
    def __init__(self, objects: CSIDriverObjects, *, sync_seconds: float = SYNC_SECONDS) -> None:
        self._objects = objects
        self._sync_seconds = sync_seconds

    def known(self, driver: str) -> DriverSpec:
        """As far as is known: before the API has told, as if there were no object."""
        return DriverSpec.of(self._objects.get("", driver))

    async def get(self, driver: str) -> DriverSpec:
        """Waits until the API has told, for a while. Raises VolumeError."""
        if not self._objects.has_synced:
            try:
                async with asyncio.timeout(self._sync_seconds):
                    await self._objects.synced()
            except TimeoutError:
                why = f": {self._objects.trouble}" if self._objects.trouble else ""
                raise VolumeError(f"CSIDrivers has not been synced yet{why}") from None
        return self.known(driver)
