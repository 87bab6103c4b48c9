"""Keeps the Node's status in the API true: at once when asked, at the latest after five minutes, else only on change.

A Node that somebody has deleted is made again. Time of day is only shown, never reckoned with: a clock that jumps changes nothing
of what is sent when. Source: docs/facts/node-resources.md 8.4, docs/facts/api-client-and-server.md D.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lightkube.models.core_v1 import Node, NodeAddress, NodeStatus

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError, NotFound
from nodeagent.api.events import NORMAL, WARNING, Events, node_reference
from nodeagent.api.resources import is_older, metadata_of
from nodeagent.node import labels, patch
from nodeagent.node.conditions import READY, transitions
from nodeagent.node.state import NodeState
from nodeagent.node.status import ImageOnNode, NodeConfig, Observed, RuntimeState, node_status
from runtimes.linux.retry import jittered

log = logging.getLogger(__name__)

TRIES = 5
JITTER = 0.04
FAST_PERIOD_SECONDS = 0.1
FAST_LIMIT_SECONDS = 120.0
LAG_SECONDS = 10.0  # so much may the informer's copy be behind the agent's own patch; after that it is the truth


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInputs:
    """What the status shows beside the `NodeState`; all are asked at each computation and must be quick.

    `addresses` is awaited, as it may look up a name. `errors`: further reasons against Ready (CSINode, shutdown, ...).
    `volumes_in_use`: None before the first reconcile.
    """

    addresses: Callable[[], Awaitable[Sequence[NodeAddress]]]
    runtime: Callable[[], RuntimeState]
    images: Callable[[], Sequence[ImageOnNode]] = tuple
    volumes_in_use: Callable[[], Sequence[str] | None] = lambda: None
    errors: Sequence[Callable[[], str]] = field(default_factory=tuple)


class NodePublisher:
    """Computes and patches the status. `lister`: the own Node as the informer has it; `client`: the heartbeat client.

    `state.changed` makes it publish at once. `reset_extended`: what the Node shows of extended resources at the start is not so.
    """

    def __init__(
        self,
        client: ApiClient,
        config: NodeConfig,
        state: NodeState,
        inputs: NodeInputs,
        lister: Callable[[], Node | None],
        events: Events,
        *,
        update_seconds: float = 10.0,
        report_seconds: float = 300.0,
        reset_extended: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._config = config
        self._state = state
        self._inputs = inputs
        self._lister = lister
        self._events = events
        self._update_seconds = update_seconds
        self._report_seconds = report_seconds
        self._reset_extended = reset_extended
        self._now = now
        self._clock = clock
        self._chance = chance
        self._patched: Node | None = None
        self._patched_at = 0.0
        self._last_report_at: float | None = None
        self._report_jitter_seconds = 0.0
        self._boot_reported = False
        self._unschedulable: bool | None = None
        self._ready_reported = False

    async def complete(self, node: Node) -> Node:
        """Return `node` with the status of now, to create it with."""
        node.status = await self._status(node)
        return node

    async def run(self, register: Callable[[], Awaitable[object]] | None = None) -> None:
        """Publish until cancelled: every 100 ms until the node is Ready (at most 2 min), then every update period.

        `register` makes a Node that has gone; None: whoever made it is to make it again.
        """
        started_at = self._clock()
        while True:
            self._state.changed.clear()
            try:
                await self.publish()
            except ApiError as error:
                log.warning("unable to update the status of node %s: %s", self._config.name, error)
                if register is not None and isinstance(error, NotFound):
                    log.warning("node %s is gone from the API: registering it again", self._config.name)
                    await register()
            starting = not self._ready_reported and self._clock() - started_at < FAST_LIMIT_SECONDS
            pause = FAST_PERIOD_SECONDS if starting else jittered(self._update_seconds, JITTER, self._chance())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._state.changed.wait()

    async def publish(self) -> None:
        """Send the status if it changed or is due; up to five tries. Raises the ApiError of the last, NotFound at once."""
        for attempt in range(TRIES):
            try:
                # the first try may start from what is at hand; after a failure only the truth will do
                node = self._newest() if attempt == 0 else None
                if node is None:
                    node = await self._client.get(Node, self._config.name)
                await self._publish(node)
                return
            except NotFound:
                self._patched = None
                raise
            except ApiError as error:
                if attempt == TRIES - 1:
                    raise
                log.info("status of node %s: %s; trying again", self._config.name, error)

    async def _publish(self, node: Node) -> None:
        status = await self._status(node)
        own_labels = {labels.OS: self._config.machine.operating_system, labels.ARCH: self._config.machine.architecture}
        metadata = patch.metadata_patch(node, own_labels)
        changes = patch.status_patch(node, status)
        changed = bool(changes or metadata)
        if not changed and not self._report_due():
            return
        body = {"status": changes or patch.heartbeat_patch(node, status)}
        if metadata:
            body["metadata"] = metadata
        self._patched = await self._client.patch(Node, self._config.name, None, body, subresource="status")
        self._patched_at = self._clock()
        self._reset_extended = False
        self._reported(node, status, changed)

    def _newest(self) -> Node | None:
        """The informer's copy, unless the answer to the last patch is newer; None: neither says anything.

        Versions are compared for a moment only: an API that was set back to a backup begins again with lower ones.
        """
        listed, patched = self._lister(), self._patched
        if patched is None or self._clock() - self._patched_at > LAG_SECONDS:
            return listed
        if listed is None:
            return patched
        ours, theirs = metadata_of(patched), metadata_of(listed)
        newer = is_older(theirs.resourceVersion, ours.resourceVersion) and ours.uid == theirs.uid
        return patched if newer else listed

    def _report_due(self) -> bool:
        if self._last_report_at is None:
            return True
        return self._clock() - self._last_report_at >= self._report_seconds + self._report_jitter_seconds

    def _reported(self, before: Node, status: NodeStatus, changed: bool) -> None:
        first = self._last_report_at is None
        self._last_report_at = self._clock()
        # spreads the nodes of a cluster that all changed at once
        self._report_jitter_seconds = (self._chance() - 0.5) * self._report_seconds if changed or first else 0.0
        conditions = status.conditions or []
        if any(condition.type == READY and condition.status == "True" for condition in conditions):
            self._ready_reported = True
        old = (before.status.conditions if before.status else None) or ()
        for event in transitions(self._config.name, old, conditions):
            self._event(NORMAL, event.reason, event.message)
        self._boot_event(before)
        self._schedulable_event(before)

    def _boot_event(self, before: Node) -> None:
        known = before.status.nodeInfo.bootID if before.status and before.status.nodeInfo else ""
        boot_id = self._config.machine.boot_id
        if not self._boot_reported and known and known != boot_id:
            self._event(WARNING, "Rebooted", f"Node {self._config.name} has been rebooted, boot id: {boot_id}")
        self._boot_reported = True

    def _schedulable_event(self, node: Node) -> None:
        unschedulable = bool(node.spec and node.spec.unschedulable)
        if self._unschedulable is not None and unschedulable != self._unschedulable:
            reason = "NodeNotSchedulable" if unschedulable else "NodeSchedulable"
            self._event(NORMAL, reason, f"Node {self._config.name} status is now: {reason}")
        self._unschedulable = unschedulable

    def _event(self, type: str, reason: str, message: str) -> None:
        self._events.event(node_reference(self._config.name), type, reason, message)

    async def _status(self, node: Node) -> NodeStatus:
        inputs, state = self._inputs, self._state
        observed = Observed(
            addresses=await inputs.addresses(),
            runtime=inputs.runtime(),
            capacity=state.capacity,
            allocatable=state.allocatable,
            declared_features=state.declared_features,
            images=inputs.images(),
            pressure=state.pressure,
            volumes_in_use=inputs.volumes_in_use(),
            errors=[text for check in inputs.errors if (text := check())],
            reset_extended=self._reset_extended,
        )
        return node_status(self._config, observed, node, self._now().replace(microsecond=0))
