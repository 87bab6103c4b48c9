"""What a fleet makes in the API beside what its nodes make themselves, and how all of it goes again."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from urllib.parse import urlencode

import msgspec
from lightkube.models.coordination_v1 import Lease
from lightkube.models.core_v1 import Container, Node, Pod, PodSpec, ResourceRequirements, Toleration
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api import wire
from nodeagent.api.acting import ActingSender, as_node
from nodeagent.api.client import ApiClient
from nodeagent.api.csi_node import CSINode
from nodeagent.api.errors import AlreadyExists, Forbidden, NotFound
from nodeagent.api.transport import Transport
from nodeagent.errors import Misconfigured, leaves
from nodeagent.hollow.settings import FLEET_LABEL, FleetSettings
from nodeagent.node.lease import NAMESPACE as LEASES

_Item = TypeVar("_Item")

AT_ONCE = 16
IMAGE = "registry.example/hollow:1"


def pod_of(settings: FleetSettings, node: int, name: str) -> Pod:
    """A pod that asks for little and tolerates all."""
    requests = ResourceRequirements(requests={"cpu": "1m", "memory": "1Mi"})
    return Pod(
        metadata=ObjectMeta(name=name, namespace=settings.namespace, labels={FLEET_LABEL: settings.name}),
        spec=PodSpec(
            nodeName=settings.node_names[node],
            containers=[Container(name="main", image=IMAGE, imagePullPolicy="IfNotPresent", resources=requests)],
            tolerations=[Toleration(operator="Exists")],
            terminationGracePeriodSeconds=1,
            automountServiceAccountToken=None if settings.tokens else False,
        ),
    )


class Workload:
    """`client`: with the rights of who runs the fleet. Every verb raises ApiError."""

    def __init__(self, client: ApiClient, settings: FleetSettings) -> None:
        self._client = client
        self._settings = settings

    async def check(self) -> None:
        """Raises Misconfigured where a Node of one of the names is there and not of a fleet of this name."""
        settings = self._settings
        selected = await self._client.list(Node)
        names = frozenset(settings.node_names)
        for node in selected.items:
            metadata = node.metadata or ObjectMeta()
            if metadata.name in names and (metadata.labels or {}).get(FLEET_LABEL) != settings.name:
                raise Misconfigured(
                    f"node {metadata.name} is there already, and not of a fleet {settings.name!r}: choose another --name"
                )

    async def check_impersonation(self, transport: Transport) -> None:
        """Raises Misconfigured where this user may not speak for nodes."""
        name = self._settings.node_names[0]
        try:
            await ApiClient(ActingSender(transport, as_node(name))).get(Node, name)
        except NotFound:
            return
        except Forbidden as error:
            raise Misconfigured(
                f"this user may not act as its nodes ({error}): let it, or give --no-as-nodes"
            ) from error

    async def make_pods(self, stop: asyncio.Event) -> None:
        """All pods, bound to their nodes, or as many as come before `stop`; those that are there already stay as they are."""
        settings = self._settings
        made = (pod_of(settings, node, name) for node in range(settings.nodes) for name in settings.pods_of(node))
        await _each(self._make, itertools.takewhile(lambda _: not stop.is_set(), made))

    async def _make(self, pod: Pod) -> None:
        try:
            await self._client.create(pod)
        except AlreadyExists:
            return

    async def remove(self) -> None:
        """Pods, nodes, and what is the nodes' own. What is gone already is fine."""
        settings = self._settings
        selector = {"labelSelector": f"{FLEET_LABEL}={settings.name}"}
        pods = f"/api/v1/namespaces/{settings.namespace}/pods?{urlencode(selector)}"
        await self._client.request("DELETE", pods, wire.encode({"kind": "DeleteOptions", "gracePeriodSeconds": 0}))
        await _each(self._remove_node, settings.node_names)

    async def _remove_node(self, name: str) -> None:
        owned: tuple[tuple[type[msgspec.Struct], str | None], ...] = ((Lease, LEASES), (CSINode, None), (Node, None))
        for kind, namespace in owned:
            try:
                await self._client.delete(kind, name, namespace)
            except NotFound:
                continue


async def _each(act: Callable[[_Item], Awaitable[None]], items: Iterable[_Item]) -> None:
    """Of all, some at once. Raises the first error."""
    rest = iter(items)

    async def work() -> None:
        for item in rest:
            await act(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise next(leaves(errors)) from errors
