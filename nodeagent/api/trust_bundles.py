"""The trust anchors of the cluster (ClusterTrustBundles) for projected volumes. Watched from the first pod on that wants some.

Source: docs/facts/storage.md 4.6.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Protocol

from lightkube.models.core_v1 import ClusterTrustBundleProjection
from lightkube.models.meta_v1 import LabelSelector
from typing_extensions import override

from nodeagent.api.certificate_kinds import TRUST_BUNDLES, ClusterTrustBundle, served
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import Fault, Unavailable, not_found
from nodeagent.api.informer import Informer
from runtimes.kube.selectors import holds
from runtimes.linux.tasks import end_tasks

log = logging.getLogger(__name__)

SYNC_SECONDS = 10.0
PLURAL = "clustertrustbundles"


class TrustBundles(Protocol):
    """What pods may have of the cluster's trust anchors."""

    async def select(self, pod_uid: str, wanted: ClusterTrustBundleProjection) -> list[str]:
        """The bundles that a volume names, as PEM; the pod is told when they change. Raises NotFound, ApiError."""
        ...

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        ...


class NoTrustBundles(TrustBundles):
    """For an agent without an API."""

    @override
    async def select(self, pod_uid: str, wanted: ClusterTrustBundleProjection) -> list[str]:
        raise Unavailable("ClusterTrustBundle projection is not supported in static kubelet mode", Fault.CLOSED)

    @override
    def forget(self, pod_uid: str) -> None:
        return None


class WatchedTrustBundles(TrustBundles):
    """The real one. `changed(uid)`: for each pod that has some, at every change of one. `close()` ends the watch."""

    def __init__(self, client: ApiClient, changed: Callable[[str], None]) -> None:
        self._client = client
        self._changed = changed
        self._pods: set[str] = set()
        self._starting = asyncio.Lock()
        self._informer: Informer[ClusterTrustBundle] | None = None
        self._task: asyncio.Task[None] | None = None

    @override
    async def select(self, pod_uid: str, wanted: ClusterTrustBundleProjection) -> list[str]:
        informer = await self._running()
        self._pods.add(pod_uid)
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await informer.synced()
        except TimeoutError:
            raise Unavailable(f"the {PLURAL} are not known yet: {informer.trouble}", Fault.TIMEOUT) from None
        found = [each for each in informer.items() if selects(wanted, each)]
        if not found:
            raise not_found(PLURAL, wanted.name or f"of signer {wanted.signerName or ''}")
        return [each.spec.trustBundle for each in found]

    @override
    def forget(self, pod_uid: str) -> None:
        self._pods.discard(pod_uid)

    async def close(self) -> None:
        if self._task is not None:
            await end_tasks(self._task)

    async def _running(self) -> Informer[ClusterTrustBundle]:
        async with self._starting:
            if self._informer is None:
                kind = await served(self._client, TRUST_BUNDLES)
                if kind is None:
                    raise Unavailable("this cluster's API has no ClusterTrustBundles", Fault.CLOSED)
                informer: Informer[ClusterTrustBundle] = Informer(self._client, kind)
                informer.subscribe(self._tell)
                self._task = asyncio.create_task(informer.run(), name=PLURAL, context=Context())
                self._informer = informer
        return self._informer

    def _tell(self, *_: object) -> None:
        if self._informer is not None and self._informer.has_synced:
            for uid in tuple(self._pods):
                self._changed(uid)


def selects(wanted: ClusterTrustBundleProjection, bundle: ClusterTrustBundle) -> bool:
    """By name, or by signer and labels: no selector selects nothing, an empty one everything of the signer."""
    metadata = bundle.metadata
    if wanted.name:
        return metadata is not None and metadata.name == wanted.name
    if wanted.signerName != (bundle.spec.signerName or "") or not wanted.signerName:
        return False
    return _matches(wanted.labelSelector, (metadata.labels if metadata is not None else None) or {})


def _matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    if selector is None:
        return False
    return (selector.matchLabels or {}).items() <= labels.items() and all(
        holds(each.operator, each.values or (), labels.get(each.key)) for each in selector.matchExpressions or ()
    )
