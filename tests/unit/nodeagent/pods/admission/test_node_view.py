"""The node as admission sees it: what it is now, and its object in the API, known or read again."""

import asyncio
from typing import Any

import pytest
from lightkube.models.core_v1 import Node, NodeSpec, Taint
from lightkube.models.meta_v1 import ObjectMeta
from small_machine import MACHINE

from nodeagent.api.cluster import NoCluster
from nodeagent.api.errors import Fault, Unavailable
from nodeagent.node.capacity import Limits
from nodeagent.node.registration import Registration
from nodeagent.node.state import NodeState
from nodeagent.node.status import RuntimeState
from nodeagent.pods.admission import node_view
from nodeagent.pods.admission.node_view import AdmissionSettings, NodeViews
from nodeagent.pods.admission.rules import NodeView

SETTINGS = AdmissionSettings(
    kernel_version=(6, 1), apparmor_error="none here", allowed_unsafe_sysctls=["net.*"], pod_level_resources=False
)
DEFAULT_LABELS = {
    "kubernetes.io/hostname": "n",
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": "amd64",
}


class Cluster(NoCluster):
    """Shows the own node as it is told to."""

    node: Node | None = None

    def own_node(self) -> Node | None:
        return self.node


class Api:
    """Answers a read of the Node, raises, or hangs."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def get(self, kind: type[Node], name: str) -> Node:
        assert (kind, name) == (Node, "n")
        if self.answer == "hangs":
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class World:
    def __init__(self, api: Any = None) -> None:
        self.state = NodeState(MACHINE, Limits(), storage_bytes=None, host_ips=(), declared_features=["A"])
        self.cluster = Cluster()
        self.views = NodeViews(
            SETTINGS,
            state=self.state,
            cluster=self.cluster,
            client=api,
            registration=Registration(name="n", machine=MACHINE, taints=(Taint(key="t", effect="NoSchedule"),)),
            runtime=lambda: RuntimeState(supplemental_groups_policy=True),
        )


def labelled(value: str) -> Node:
    return Node(metadata=ObjectMeta(name="n", labels={"disk": value}), spec=NodeSpec())


def test_a_node_that_the_api_does_not_show() -> None:
    """It is what it is about to be registered as, in full."""
    world = World()
    assert world.views.known() == NodeView(
        name="n",
        labels=DEFAULT_LABELS,
        taints=[Taint(key="t", effect="NoSchedule")],
        allocatable=world.state.allocatable,
        kernel_version=(6, 1),
        allowed_unsafe_sysctls=["net.*"],
        supplemental_groups_policy=True,
        apparmor_error="none here",
        declared_features=frozenset({"A"}),
        pod_level_resources=False,
    )


def test_what_the_node_is_now() -> None:
    """Labels of the API's object; pressures and shutdown of the state."""
    world = World()
    world.cluster.node = labelled("ssd")
    world.state.set_pressure(disk=True)
    world.state.set_shutting_down(True)
    view = world.views.known()
    assert (view.labels, view.taints) == ({"disk": "ssd"}, ())
    assert (view.pressures, view.shutting_down) == (("DiskPressure",), True)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(labelled("new"), "new"), (Unavailable("away", Fault.REFUSED), "old"), ("hangs", "old"), (None, "old")],
    ids=["answer", "away", "hangs", "no API"],
)
async def test_read_anew(answer: Any, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the API has it; as last seen where it cannot be asked, or takes too long."""
    monkeypatch.setattr(node_view, "NODE_READ_SECONDS", 0.01 if answer == "hangs" else 20)
    world = World(Api(answer) if answer is not None else None)
    world.cluster.node = labelled("old")
    assert (await world.views.fresh()).labels == {"disk": expected}
