"""The node's lease: the sign of life that the node controller watches.

Source: docs/facts/api-client-and-server.md H, docs/facts/node-resources.md 9.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from lightkube.models.coordination_v1 import Lease, LeaseSpec
from lightkube.models.core_v1 import Node
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError, Conflict, NotFound
from nodeagent.api.outage import Outage
from nodeagent.apitypes.times import micro_time
from runtimes.linux.retry import Backoff, RetryPolicy, jittered

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
RENEW_SHARE = 0.25
JITTER = 0.04
TRIES = 5
ENSURE = RetryPolicy(first_seconds=0.2, factor=2.0, cap_seconds=7.0)


class LeaseRenewer:
    """Creates and renews the lease until cancelled; it is not deleted at the end.

    `client`: the heartbeat client, without rate limit and with a short deadline. `node`: the own Node as last seen.
    """

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        node: Callable[[], Node | None],
        *,
        duration_seconds: int = 40,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._name = node_name
        self._node = node
        self._duration_seconds = duration_seconds
        self._now = now
        self._sleep = sleep
        self._chance = chance
        self._lease: Lease | None = None
        self._waiting = Outage(f"lease of node {node_name}")

    async def run(self) -> None:
        while True:
            await self._once()
            self._waiting.works()
            period_seconds = self._duration_seconds * RENEW_SHARE
            await self._sleep(jittered(period_seconds, JITTER, self._chance()))

    async def _once(self) -> None:
        if self._lease is None:
            self._lease, created = await self._ensure()
            if created:
                return
        try:
            self._lease = await self._renew(self._lease)
        except ApiError as error:
            log.warning("lease of node %s: %s; starting over with the next period", self._name, error)
            self._lease = None

    async def _renew(self, lease: Lease) -> Lease:
        for attempt in range(TRIES):
            try:
                return await self._client.replace(self._renewed(lease))
            except Conflict:
                lease = await self._client.get(Lease, self._name, NAMESPACE)
            except ApiError as error:
                if attempt == TRIES - 1 or isinstance(error, NotFound):
                    raise
                log.info("lease of node %s: %s; trying again", self._name, error)
        return await self._client.replace(self._renewed(lease))

    async def _ensure(self) -> tuple[Lease, bool]:
        """Return the lease and whether it was just created; waits as long as that takes."""
        backoff = Backoff(ENSURE)
        while True:
            try:
                try:
                    return await self._client.get(Lease, self._name, NAMESPACE), False
                except NotFound:
                    fresh = self._renewed(Lease(metadata=ObjectMeta(name=self._name, namespace=NAMESPACE)))
                    if fresh.metadata and fresh.metadata.ownerReferences:
                        return await self._client.create(fresh), True
                    self._waiting.waits("it waits for the Node object, its owner")
            except ApiError as error:
                log.warning("lease of node %s: %s", self._name, error)
            await self._sleep(backoff.next_delay())

    def _renewed(self, lease: Lease) -> Lease:
        metadata = lease.metadata or ObjectMeta()
        node = self._node()
        uid = node.metadata.uid if node and node.metadata else None
        # a Node that was made again has another uid: the lease of the one before would be collected with it
        if uid and uid not in [owner.uid for owner in metadata.ownerReferences or ()]:
            owner = OwnerReference(apiVersion="v1", kind="Node", name=self._name, uid=uid)
            metadata = msgspec.structs.replace(metadata, ownerReferences=[owner])
        spec = msgspec.structs.replace(
            lease.spec or LeaseSpec(),
            holderIdentity=self._name,
            leaseDurationSeconds=self._duration_seconds,
            renewTime=micro_time(self._now()),
        )
        return msgspec.structs.replace(lease, metadata=metadata, spec=spec)
