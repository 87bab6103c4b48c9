"""nodeagent.pods.runtime_classes: from a runtimeClassName to a runtime. docs/facts/node-resources.md 14."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.node_v1 import RuntimeClass

from nodeagent.api.cluster import NotKnownYet
from nodeagent.node.status import RuntimeHandler
from nodeagent.pods.runtime_classes import PodHandlers, RuntimeClassResolver
from nodeagent.pods.services import UnknownRuntime
from runtimes.registry import UnknownHandler

CLASSES = {
    "fast": RuntimeClass(handler="crun", metadata=ObjectMeta(name="fast")),
    "gone": RuntimeClass(handler="kata", metadata=ObjectMeta(name="gone")),
}


class Registry:
    """Answers a handler's name in place of its runtime; "" is the default."""

    handlers = ("runc", "crun")

    def get(self, handler: str) -> Any:
        if handler not in ("", *self.handlers):
            raise UnknownHandler(handler, self.handlers)
        return handler or "default"


def resolve(kit: Any, name: str | None) -> Any:
    registry: Any = Registry()
    return RuntimeClassResolver(registry, CLASSES.get).resolve(kit.pod(runtimeClassName=name))


@pytest.mark.parametrize(
    ("name", "handler"), [(None, "default"), ("", "default"), ("legacy", "default"), ("fast", "crun")]
)
def test_the_handler_of_a_class(kit: Any, name: str | None, handler: str) -> None:
    """The object's handler; none named: the node's default."""
    assert resolve(kit, name) == handler


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nope", 'RuntimeClass "nope" not found; handlers of this node: runc, crun'),
        (
            "gone",
            'RuntimeClass "gone": no runtime for handler "kata" is configured on this node; handlers: runc, crun',
        ),
    ],
)
def test_unknown_classes_and_handlers(kit: Any, name: str, text: str) -> None:
    """Both are told with the name that the pod's owner knows."""
    with pytest.raises(UnknownRuntime) as caught:
        resolve(kit, name)
    assert str(caught.value) == text


def test_classes_that_are_not_known_yet(kit: Any) -> None:
    """The pod has no runtime as yet, and why is told in the words of who should know."""

    def unknown(name: str) -> RuntimeClass | None:
        raise NotKnownYet(f"{name}: no answer yet")

    registry: Any = Registry()
    with pytest.raises(UnknownRuntime, match=r"^fast: no answer yet$"):
        RuntimeClassResolver(registry, unknown).resolve(kit.pod(runtimeClassName="fast"))


@pytest.mark.parametrize(("name", "expected"), [(None, False), ("fast", True), ("nope", False)])
def test_what_a_pods_runtime_can_do(kit: Any, name: str | None, expected: bool) -> None:
    """As the handler has said of itself; nothing where the pod has no runtime."""

    class Resolver:
        def resolve(self, pod: Any) -> Any:
            if name == "nope":
                raise UnknownRuntime("nope")
            return SimpleNamespace(handler=name or "runc")

    resolver: Any = Resolver()
    handlers = PodHandlers(resolver, lambda handler: RuntimeHandler(name=handler, user_namespaces=handler == "fast"))
    assert handlers.user_namespaces(kit.pod(runtimeClassName=name)) is expected
