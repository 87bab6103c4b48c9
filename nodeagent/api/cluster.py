"""What the cluster says that is for the whole node: its own Node, the services, the runtime classes. Never waits.

`Cluster` is what the rest of the agent reads; `InformedCluster` keeps it by watches, `NoCluster` is for an agent without an API.
"""

from collections.abc import Sequence
from typing import Protocol

from lightkube.models.core_v1 import Node, Service
from lightkube.models.node_v1 import RuntimeClass

from nodeagent.api.client import ApiClient
from nodeagent.api.informer import Informer
from nodeagent.api.outage import NO_ANSWER


class NotKnownYet(Exception):
    """The API has not told; the text says why, as far as it is known."""


class Cluster(Protocol):
    """What is handed out is shared: do not change it."""

    def own_node(self) -> Node | None:
        """None: the API does not show it."""
        ...

    def services_of(self, namespace: str) -> Sequence[Service] | None:
        """None while they have not been read."""
        ...

    def runtime_class(self, name: str) -> RuntimeClass | None:
        """None: there is no such class. Raises NotKnownYet."""
        ...


class NoCluster:
    """For an agent without an API."""

    def own_node(self) -> Node | None:
        return None

    def services_of(self, namespace: str) -> Sequence[Service] | None:
        return None

    def runtime_class(self, name: str) -> RuntimeClass | None:
        return None


class InformedCluster:
    """Three watches. `informers` are to be run. `services`: all but headless ones."""

    def __init__(self, client: ApiClient, node_name: str) -> None:
        self._node_name = node_name
        self.node = Informer(client, Node, field_selector=f"metadata.name={node_name}")
        self.services = Informer(client, Service, field_selector="spec.clusterIP!=None")
        self._runtime_classes = Informer(client, RuntimeClass, absent_is_empty=True)

    @property
    def informers(self) -> tuple[Informer[Node], Informer[Service], Informer[RuntimeClass]]:
        return self.node, self.services, self._runtime_classes

    def own_node(self) -> Node | None:
        return self.node.get("", self._node_name)

    def services_of(self, namespace: str) -> Sequence[Service] | None:
        if not self.services.has_synced:
            return None
        return [item for item in self.services.items() if item.metadata and item.metadata.namespace == namespace]

    def runtime_class(self, name: str) -> RuntimeClass | None:
        classes = self._runtime_classes
        if not classes.has_synced:
            raise NotKnownYet(f'RuntimeClass "{name}": the classes are not known yet: {classes.trouble or NO_ANSWER}')
        return classes.get("", name)

    def services_trouble(self, after_seconds: float) -> str:
        """Why the services have not been known for so long; empty: they are, or it is not so long."""
        if self.services.has_synced or self.services.blind_seconds < after_seconds:
            return ""
        return f"services cannot be listed: {self.services.trouble or NO_ANSWER}"
