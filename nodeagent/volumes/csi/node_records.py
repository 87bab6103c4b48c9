"""Keeps the Node and the CSINode object true: which drivers are here, what they call the node, how many volumes it can have.

One write at a time. What was registered is written before the driver is told that it is; what is gone is struck as soon as the
API can be asked. Source: docs/facts/storage.md 10.1.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from lightkube.models.core_v1 import Node
from lightkube.models.storage_v1 import CSINodeDriver

from csi.values import NodeInfo
from nodeagent.api.client import ApiClient, PatchType
from nodeagent.api.csi_node import CSINode
from nodeagent.api.errors import AlreadyExists, ApiError, Conflict, NotFound, NotServed
from nodeagent.api.resources import metadata_of
from nodeagent.volumes.csi import node_objects
from nodeagent.volumes.csi.registration import NodeRecordFailed
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

UPDATE = RetryPolicy(first_seconds=0.01, factor=5.0, jitter=0.1)
UPDATE_TRIES = 4
INIT = RetryPolicy(first_seconds=0.03, factor=8.0, cap_seconds=30.0)
GONE = RetryPolicy(first_seconds=0.5, cap_seconds=122.0)
NOT_YET = "CSINode is not yet initialized"
WAIT_SECONDS = 120.0
Change = Callable[[list[CSINodeDriver]], list[CSINodeDriver]]
Sleep = Callable[[float], Awaitable[None]]


class NodeRecords:
    """`initialise` and `run` are loops. What is added before there is a CSINode object waits for it."""

    def __init__(self, client: ApiClient, node_name: str, *, sleep: Sleep = asyncio.sleep) -> None:
        self._client = client
        self._node_name = node_name
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._gone: dict[str, None] = {}
        self._here: dict[str, NodeInfo] = {}
        self._woken = asyncio.Event()
        self._trouble = NOT_YET
        self._initialised = asyncio.Event()

    def trouble(self) -> str:
        """Why pods with such volumes must not be sent here yet; empty: nothing is in the way."""
        return self._trouble

    async def settled(self, seconds: float) -> None:
        """Wait until there is no trouble, for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._initialised.wait()

    async def initialise(self) -> None:
        """Make the CSINode object, once there is a Node; as long as it takes. Drivers that it lists stay listed."""
        backoff = Backoff(INIT)
        while True:
            try:
                async with self._lock:
                    await self._csi_node(await self._node_uid())
                return self._begun()
            except NotServed:  # nobody here schedules by it
                return self._begun()
            except ApiError as error:
                log.info("CSINode %s: %s", self._node_name, error)
                self._trouble = f"{NOT_YET}: {error}"
                await self._sleep(backoff.next_delay())

    def _begun(self) -> None:
        self._trouble = ""
        self._initialised.set()

    async def add(self, driver: str, info: NodeInfo) -> None:
        """Raises NodeRecordFailed."""
        self._gone.pop(driver, None)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._initialised.wait()
        except TimeoutError:
            raise NodeRecordFailed(self._trouble) from None
        try:
            async with self._lock:
                node = await self._client.get(Node, self._node_name)
                await self._patch(node_objects.with_driver(node, driver, info))
                await self._update(lambda found: node_objects.listing(found, driver, info))
        except (ApiError, node_objects.LabelTaken) as error:
            raise NodeRecordFailed(str(error)) from error
        self._here[driver] = info

    async def begin_again(self) -> None:
        """The Node was made again: so is its CSINode object, with the drivers that are here; as long as it takes."""
        await self.initialise()
        for driver, info in tuple(self._here.items()):
            try:
                await self.add(driver, info)
            except NodeRecordFailed as error:
                log.warning("CSI driver %s is not listed for the Node that was made again: %s", driver, error)

    async def recount(self, driver: str, info: NodeInfo) -> None:
        """How many volumes it can have may have changed. Raises NodeRecordFailed."""
        self._here[driver] = info
        try:
            async with self._lock:
                await self._update(lambda found: node_objects.listing(found, driver, info))
        except ApiError as error:
            raise NodeRecordFailed(str(error)) from error

    def remove(self, driver: str) -> None:
        self._here.pop(driver, None)
        self._gone[driver] = None
        self._woken.set()

    async def run(self) -> None:
        """Strikes what is gone, until cancelled."""
        backoff = Backoff(GONE)
        while True:
            self._woken.clear()
            try:
                await self._strike_all()
                backoff.reset()
                await self._woken.wait()
            except ApiError as error:
                log.info("CSI drivers that are gone stay listed for now: %s", error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(backoff.next_delay()):
                        await self._woken.wait()

    async def _strike_all(self) -> None:
        """Raises ApiError."""
        for driver in tuple(self._gone):
            async with self._lock:
                if driver not in self._gone:  # it is back
                    continue
                node = await self._client.get(Node, self._node_name)
                await self._patch(node_objects.without_driver(node, driver))
                await self._update(lambda found, driver=driver: node_objects.not_listing(found, driver))  # type: ignore[misc]
                self._gone.pop(driver, None)

    async def _patch(self, metadata: dict[str, object]) -> None:
        if metadata:
            await self._client.patch(Node, self._node_name, None, {"metadata": metadata}, subresource="status")

    async def _update(self, change: Change) -> None:
        """Raises ApiError, that of the last try."""
        for attempt in range(UPDATE_TRIES):
            try:
                found = await self._csi_node(await self._node_uid())
                if (wanted := change(found.drivers)) != found.drivers:
                    body = node_objects.drivers_patch(found, wanted)
                    await self._client.patch(CSINode, self._node_name, None, body, patch_type=PatchType.MERGE)
                return
            except ApiError:
                if attempt == UPDATE_TRIES - 1:
                    raise
            await self._sleep(UPDATE.next_delay(attempt))

    async def _csi_node(self, uid: str) -> CSINode:
        """The node's own, made where there is none. Raises ApiError."""
        try:
            found = await self._client.get(CSINode, self._node_name)
        except NotFound:
            found = None
        if found is not None and node_objects.is_of(found, uid):
            return found
        if found is not None:  # of a Node that had the name before
            with contextlib.suppress(NotFound, Conflict):
                await self._client.delete(CSINode, self._node_name, uid=metadata_of(found).uid)
        try:
            return await self._client.create(node_objects.new_csi_node(self._node_name, uid))
        except AlreadyExists:
            return await self._client.get(CSINode, self._node_name)

    async def _node_uid(self) -> str:
        return metadata_of(await self._client.get(Node, self._node_name)).uid or ""
