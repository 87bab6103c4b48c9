"""The life of a resize: waiting, agreed to, put in force, over an agent's end (facts/pod-lifecycle.md 4.7 and 15.2)."""

from pathlib import Path
from typing import Any

import pytest
from lightkube.models.core_v1 import Pod

from nodeagent.pods.model import StartFailure
from nodeagent.pods.resize.actuation import Actuation
from nodeagent.pods.resize.decision import ResizeRules
from nodeagent.pods.resize.resizes import Resizes
from nodeagent.pods.spec import uid_of

OLD, NEW = "100m/- 32Mi/-", "300m/- 32Mi/-"
FULL = StartFailure(reason="OutOfcpu", message="no room")


class Node:
    """One agent's resizes, with everything around them written down."""

    def __init__(self, kit: Any, root_dir: Path) -> None:
        self.events: list[tuple[str, str]] = []
        self.changed: list[str] = []
        self.active: dict[str, Pod] = {}
        self.answer: StartFailure | None = None
        obliging: Any = self
        self.resizes = Resizes(
            root_dir=root_dir,
            actuator=obliging,
            host=kit.host,
            rules=ResizeRules(),
            events=self,
            admit=lambda pod, others: self.answer,
            active=lambda: list(self.active.values()),
            changed=self.changed.append,
            ready=lambda: True,
            now=lambda: kit.now,
        )
        self.resizes.load()

    def event(self, pod: Pod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append((reason, message.partition(":")[0]))

    async def run(self, work: Actuation) -> None:
        """The actuator of a machine that takes everything."""
        for change in work.due.live:
            work.done(change)

    def see(self, pod: Pod) -> Pod:
        seen = self.resizes.seen(pod)
        if uid_of(pod) not in self.active:
            self.resizes.admitted(seen)
        self.active[uid_of(pod)] = seen
        return seen

    def told(self) -> list[tuple[str, str | None, int | None]]:
        listed = self.resizes.conditions(uid_of(next(iter(self.active.values()))))
        return [(item.type, item.reason, item.observedGeneration) for item in listed]


@pytest.fixture
def node(kit: Any, tmp_path: Path) -> Node:
    return Node(kit, tmp_path)


async def test_it_waits_until_there_is_room(kit: Any, node: Node) -> None:
    """Deferred is told once; the pod keeps what it has; then it is agreed to, and ends when it is in force."""
    node.see(kit.pod(c=OLD))
    node.answer = FULL
    assert node.see(kit.pod(c=NEW, generation=2)).spec.containers[0].resources.requests["cpu"] == "100m"
    for _ in range(3):
        await node.resizes.evaluate()
    assert node.told() == [("PodResizePending", "Deferred", 2)]
    assert (node.events, node.changed) == ([("ResizeDeferred", "Pod resize OutOfcpu")], ["uid-1"])
    node.answer = None
    await node.resizes.evaluate()
    assert node.told() == [("PodResizeInProgress", None, 2)]
    current = node.resizes.current(uid_of(node.active["uid-1"]))
    assert current is not None
    assert current.spec.containers[0].resources.requests["cpu"] == "300m"
    observed = kit.observed(kit.instance(figures=(102, 0, 0)))
    nowhere: Any = None
    due = node.resizes.look(current, observed)
    assert ([change.resource for change in due.live], due.pod) == (["cpu"], True)
    assert await node.resizes.actuate(nowhere, current, observed, due)
    assert not node.resizes.look(current, observed)
    assert node.told() == []
    assert [reason for reason, _ in node.events] == ["ResizeDeferred", "ResizeStarted", "ResizeCompleted"]


async def test_a_resize_that_is_taken_back_is_pending_no_more(kit: Any, node: Node) -> None:
    """The spec is what is allocated again: nothing is left to be told."""
    node.see(kit.pod(c=OLD))
    node.answer = FULL
    node.see(kit.pod(c=NEW, generation=2))
    await node.resizes.evaluate()
    node.see(kit.pod(c=OLD, generation=3))
    await node.resizes.evaluate()
    assert (node.told(), node.changed) == ([], ["uid-1", "uid-1"])


async def test_the_next_agent_goes_on(kit: Any, node: Node, tmp_path: Path) -> None:
    """What was agreed to is allocated, though nothing of it is in force; what was pending is judged again, and told once."""
    node.see(kit.pod(c=OLD))
    node.see(kit.pod(c=NEW, generation=2))
    await node.resizes.evaluate()
    following = Node(kit, tmp_path)
    listed = [{"type": "PodResizePending", "status": "True", "reason": "Deferred", "message": "no room"}]
    listed[0]["observedGeneration"] = 3  # type: ignore[assignment]
    seen = following.see(kit.pod(c="500m/- 32Mi/-", generation=3, conditions=listed))
    assert seen.spec.containers[0].resources.requests["cpu"] == "300m"
    following.answer = FULL
    await following.resizes.evaluate()
    assert (following.events, following.told()) == ([], [("PodResizePending", "Deferred", 3)])
    due = following.resizes.look(seen, kit.observed(kit.instance(figures=(102, 0, 0))))
    assert [change.resource for change in due.live] == ["cpu"]
    assert following.told()[1] == ("PodResizeInProgress", None, 3)


async def test_what_cannot_be_recorded_is_not_done(kit: Any, tmp_path: Path) -> None:
    """A decision that does not reach the disk is taken again later."""
    folder = tmp_path / "root"
    node = Node(kit, folder)
    node.see(kit.pod(c=OLD))
    node.see(kit.pod(c=NEW, generation=2))
    await node.resizes.evaluate()
    assert (node.events, node.told(), node.changed) == ([], [], [])
    folder.mkdir()
    await node.resizes.evaluate()
    assert [reason for reason, _ in node.events] == ["ResizeStarted"]
