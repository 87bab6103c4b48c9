"""What the cluster says that is for the whole node, as far as it is known."""

from typing import Any

import pytest
from lightkube.models.core_v1 import Node, Service
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.node_v1 import RuntimeClass

from nodeagent.api import cluster
from nodeagent.api.cluster import InformedCluster, NoCluster, NotKnownYet


class Informer:
    """Holds what the test puts in."""

    def __init__(self, client: Any, kind: Any, **selectors: Any) -> None:
        self.kind = kind
        self.selectors = selectors
        self.objects: list[Any] = []
        self.has_synced = False
        self.trouble = ""
        self.blind_seconds = 0.0

    def get(self, namespace: str, name: str) -> Any:
        return next((item for item in self.objects if item.metadata.name == name), None)

    def items(self) -> list[Any]:
        return self.objects


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(cluster, "Informer", Informer)
    client: Any = None
    return InformedCluster(client, "n")


def service(namespace: str, name: str) -> Service:
    return Service(metadata=ObjectMeta(namespace=namespace, name=name))


def test_what_is_watched(made: Any) -> None:
    """The own Node alone, services with an address, and classes, which an older API may not have."""
    assert [(informer.kind, informer.selectors) for informer in made.informers] == [
        (Node, {"field_selector": "metadata.name=n"}),
        (Service, {"field_selector": "spec.clusterIP!=None"}),
        (RuntimeClass, {"absent_is_empty": True}),
    ]


def test_the_own_node(made: Any) -> None:
    """None until the API shows it."""
    assert made.own_node() is None
    made.node.objects = [Node(metadata=ObjectMeta(name="n"))]
    assert made.own_node() is made.node.objects[0]


def test_services(made: Any) -> None:
    """None while they have not been read, then those of the namespace."""
    _, services, _ = made.informers
    services.objects = [service("a", "one"), service("b", "two")]
    assert made.services_of("a") is None
    services.has_synced = True
    assert made.services_of("a") == services.objects[:1]


def test_services_that_cannot_be_listed(made: Any) -> None:
    """It is a trouble when it lasts, and none any more when they are there."""
    _, services, _ = made.informers
    services.blind_seconds = 29.0
    assert made.services_trouble(30.0) == ""
    services.blind_seconds = 30.0
    assert made.services_trouble(30.0) == "services cannot be listed: no answer yet"
    services.trouble = "forbidden"
    assert made.services_trouble(30.0) == "services cannot be listed: forbidden"
    services.has_synced = True
    assert made.services_trouble(30.0) == ""


def test_runtime_classes(made: Any) -> None:
    """That there is none of a name is said only when they are known."""
    _, _, classes = made.informers
    with pytest.raises(NotKnownYet, match=r'^RuntimeClass "fast": the classes are not known yet: no answer yet$'):
        made.runtime_class("fast")
    classes.has_synced = True
    assert made.runtime_class("fast") is None
    classes.objects = [RuntimeClass(handler="crun", metadata=ObjectMeta(name="fast"))]
    assert made.runtime_class("fast") is classes.objects[0]


def test_without_an_api() -> None:
    """There is nothing, and nothing to wait for."""
    none = NoCluster()
    assert (none.own_node(), none.services_of("a"), none.runtime_class("fast")) == (None, None, None)
