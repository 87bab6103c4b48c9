"""Make the Node object, or put right the one that is there.

Source: docs/facts/node-resources.md 8.1, docs/facts/api-client-and-server.md D.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from lightkube.models.core_v1 import Node, NodeSpec, Taint
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import AlreadyExists, ApiError, Forbidden, NotFound
from nodeagent.node import labels, patch
from nodeagent.node.facts import Machine
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

BACKOFF = RetryPolicy(first_seconds=0.1, factor=2.0, cap_seconds=7.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """How the Node is to look when the agent makes it; its name counts as the machine's. `labels` win over the defaults."""

    name: str
    machine: Machine
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    provider_id: str = ""
    external_cloud: bool = False
    node_ip: str = ""
    controller_attach: bool = True
    schedulable: bool = True

    def node(self) -> Node:
        """Return the Node to create, without its status."""
        taints = list(self.taints)
        if self.external_cloud:
            taints.append(Taint(key=labels.UNINITIALIZED_TAINT, value="true", effect="NoSchedule"))
        if not self.schedulable:  # from the first moment on: the server's own taint comes later
            taints.append(Taint(key=labels.UNSCHEDULABLE_TAINT, effect="NoSchedule"))
        return Node(
            metadata=ObjectMeta(name=self.name, labels=self.all_labels(), annotations=self.annotations() or None),
            spec=NodeSpec(
                taints=taints or None,
                providerID=self.provider_id or None,
                unschedulable=None if self.schedulable else True,
            ),
        )

    def all_labels(self) -> dict[str, str]:
        return {**labels.default_labels(self.name, self.machine), **self.labels}

    def annotations(self) -> dict[str, str]:
        found = {labels.CONTROLLER_ATTACH: "true"} if self.controller_attach else {}
        if self.external_cloud and self.node_ip:
            found[labels.PROVIDED_NODE_IP] = self.node_ip
        return found


class Registrar:
    """Registers the node, until it succeeds. `complete`: fills in the status of a Node about to be created."""

    def __init__(
        self,
        client: ApiClient,
        registration: Registration,
        complete: Callable[[Node], Awaitable[Node]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._registration = registration
        self._complete = complete
        self._sleep = sleep

    async def register(self) -> Node:
        """Return the registered Node; tries again, with growing waits, as long as it takes."""
        backoff = Backoff(BACKOFF)
        while True:
            try:
                return await self._try()
            except ApiError as error:
                log.warning("unable to register node %s with API server: %s", self._registration.name, error)
            await self._sleep(backoff.next_delay())

    async def _try(self) -> Node:
        try:
            node = await self._client.create(await self._complete(self._registration.node()))
        except (AlreadyExists, Forbidden) as error:
            # a node that may not create itself may still exist: somebody else made it
            try:
                existing = await self._client.get(Node, self._registration.name)
            except NotFound:
                raise error from None
            return await self._reconcile(existing)
        log.info("registered node %s", self._registration.name)
        return node

    async def _reconcile(self, existing: Node) -> Node:
        wanted = labels.reconciled(self._registration.all_labels())
        changes = patch.metadata_patch(existing, wanted, self._registration.annotations())
        annotations = (existing.metadata.annotations if existing.metadata else None) or {}
        if not self._registration.controller_attach and labels.CONTROLLER_ATTACH in annotations:
            changes.setdefault("annotations", {})[labels.CONTROLLER_ATTACH] = None
        if not changes:
            log.info("node %s was registered before", self._registration.name)
            return existing
        log.info("node %s was registered before; putting right its %s", self._registration.name, ", ".join(changes))
        return await self._client.patch(Node, self._registration.name, None, {"metadata": changes})
