"""The life of a resize: waiting, agreed to, put in force, over an agent's end (docs/facts/pod-lifecycle.md 4.7 and 15.2)."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nodeagent.pods.features.contract import Contribution
from nodeagent.pods.resize.actuation import Actuation, ResizeFailed
from nodeagent.pods.resize.changes import Due
from nodeagent.pods.resize.decision import ResizeRules
from nodeagent.pods.resize.feature import InPlaceResize
from nodeagent.pods.resize.records import ResizeRecords
from nodeagent.pods.resize.resizes import Resizes
from nodeagent.pods.rules.model import Observed, StartFailure
from nodeagent.podspec.pod import AgentPod

OLD, NEW = "100m/- 32Mi/-", "300m/- 32Mi/-"
FULL = StartFailure(reason="OutOfcpu", message="no room")


class Node:
    """One agent's resizes, with everything around them written down."""

    def __init__(self, kit: Any, root_dir: Path) -> None:
        self.events: list[tuple[str, str]] = []
        self.changed: list[str] = []
        self.active: dict[str, AgentPod] = {}
        self.answer: StartFailure | None = None
        self.now = kit.now
        self.root_dir = root_dir
        self.ran: list[Due] = []
        self.fault: ResizeFailed | None = None
        obliging: Any = self
        self.records = ResizeRecords(root_dir)
        self.records.load()
        self.feature = InPlaceResize(self.records, obliging, kit.host, self, lambda: self.now)
        self.resizes = Resizes(
            records=self.records,
            rules=ResizeRules(),
            events=self,
            admit=lambda pod, others: self.answer,
            active=lambda: list(self.active.values()),
            changed=self.changed.append,
            ready=lambda: True,
            now=lambda: self.now,
        )

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append((reason, message.partition(":")[0]))

    async def run(self, work: Actuation) -> None:
        """The actuator of a machine that takes everything."""
        self.ran.append(work.due)
        if self.fault is not None:
            raise self.fault
        for change in work.due.live:
            work.done(change)

    def see(self, pod: AgentPod) -> AgentPod:
        seen = self.resizes.seen(pod)
        if pod.uid not in self.active:
            self.resizes.admitted(seen)
        self.active[pod.uid] = seen
        return seen

    def look(self, pod: AgentPod, observed: Observed) -> Due:
        """What the feature finds due, as its pass would get it."""
        self.feature.observed(pod, observed)
        return self.feature._due[pod.uid]

    def told(self) -> list[tuple[str, str | None, int | None]]:
        listed = self.feature.status(next(iter(self.active.values()))).conditions
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
    current = node.resizes.current(node.active["uid-1"].uid)
    assert current is not None
    assert current.spec.containers[0].resources.requests["cpu"] == "300m"
    observed = kit.observed(kit.instance(figures=(102, 0, 0)))
    nowhere: Any = None
    due = node.look(current, observed)
    assert ([change.resource for change in due.live], due.pod) == (["cpu"], True)
    await node.feature.act(nowhere, current, observed)
    assert not node.look(current, observed)
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
    due = following.look(seen, kit.observed(kit.instance(figures=(102, 0, 0))))
    assert [change.resource for change in due.live] == ["cpu"]
    assert following.told()[1] == ("PodResizeInProgress", None, 3)


async def test_what_was_given_is_on_the_disk_when_a_resize_is_decided_on(
    kit: Any, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an agent that comes next took what is wanted for what was given, whatever the decision."""
    requests: list[str] = []

    def admit(pod: AgentPod, others: object) -> StartFailure:
        seen = Node(kit, tmp_path).resizes.seen(kit.pod(c=NEW, generation=2))
        requests.append(seen.spec.containers[0].resources.requests["cpu"])
        return FULL

    monkeypatch.setattr(node.resizes, "_admit", admit)
    node.see(kit.pod(c=OLD))
    node.see(kit.pod(c=NEW, generation=2))
    await node.resizes.evaluate()
    assert requests == ["100m"]


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


# -- one status, one moment ------------------------------------------------------------------------------------------------

MEMORY_OLD, MEMORY_NEW = "100m/- 32Mi/64Mi", "100m/- 48Mi/64Mi"


def shown(node: Node) -> tuple[int, str]:
    """(generation, memory request) as the pod's supervisor sees them."""
    pod = node.resizes.current(next(iter(node.active.values())).uid)
    assert pod is not None
    assert pod.metadata is not None
    return pod.metadata.generation, pod.spec.containers[0].resources.requests["memory"]


@pytest.mark.parametrize("answer", [None, FULL])
async def test_a_generation_is_shown_only_with_its_answer(kit: Any, node: Node, answer: StartFailure | None) -> None:
    """Until the resize is agreed to or put off, the pod goes by the generation before; then both come together."""
    node.see(kit.pod(c=MEMORY_OLD))
    node.answer = answer
    seen = node.see(kit.pod(c=MEMORY_NEW, generation=2))
    assert seen.metadata.generation == 1
    assert (shown(node), node.told(), node.changed) == ((1, "32Mi"), [], [])
    await node.resizes.evaluate()
    given = "32Mi" if answer else "48Mi"
    told = ("PodResizePending", "Deferred", 2) if answer else ("PodResizeInProgress", None, 2)
    assert (shown(node), node.told(), node.changed) == ((2, given), [told], ["uid-1"])


async def test_what_asks_for_no_resize_is_shown_at_once(kit: Any, node: Node) -> None:
    """Any other change of a pod, one whose resize is put off included; and the deletion of one whose resize nobody judges."""
    node.see(kit.pod(c=MEMORY_OLD))
    assert node.see(kit.pod(c=MEMORY_OLD, generation=2)).metadata.generation == 2
    node.answer = FULL
    node.see(kit.pod(c=MEMORY_NEW, generation=3))
    await node.resizes.evaluate()
    assert node.see(kit.pod(c=MEMORY_NEW, generation=4)).metadata.generation == 4
    assert node.see(kit.pod(c="100m/- 50Mi/64Mi", generation=5)).metadata.generation == 4
    deleted = kit.pod(c="100m/- 50Mi/64Mi", generation=6)
    deleted.metadata.deletionTimestamp = kit.now
    assert node.see(deleted).metadata.generation == 6


async def test_a_resize_taken_back_before_it_was_judged(kit: Any, node: Node) -> None:
    """Its generation has its answer all the same: nothing is asked for."""
    node.see(kit.pod(c=MEMORY_OLD))
    node.see(kit.pod(c=MEMORY_NEW, generation=2))
    assert node.see(kit.pod(c=MEMORY_OLD, generation=3)).metadata.generation == 3
    await node.resizes.evaluate()
    assert (shown(node), node.told()) == ((3, "32Mi"), [])


async def test_the_next_agent_does_not_run_ahead_either(kit: Any, node: Node, tmp_path: Path) -> None:
    """What the one before it had reported is where it starts."""
    node.see(kit.pod(c=MEMORY_OLD))
    await node.resizes._save()
    following = Node(kit, tmp_path)
    pod = kit.pod(c=MEMORY_NEW, generation=2)
    pod.status.observedGeneration = 1
    assert following.see(pod).metadata.generation == 1
    await following.resizes.evaluate()
    assert shown(following) == (2, "48Mi")


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("figures", [None, (102, 0, 64 << 20)])
async def test_a_memory_request_is_not_in_force_because_no_runtime_tells_of_it(
    kit: Any, node: Node, recorded: bool, figures: Any
) -> None:
    """The container restarts for it where its policy says so, though nothing was recorded of the one that runs; until then it is
    shown with what it has, and the pod likewise.
    """
    pod = node.see(kit.pod(c=MEMORY_OLD, restart=("memory",)))
    observed = kit.observed(kit.instance(figures=figures) if figures else kit.instance())
    if recorded:
        node.feature.started(pod, ["c"])
        node.look(pod, observed)
    node.see(kit.pod(c=MEMORY_NEW, generation=2, restart=("memory",)))
    await node.resizes.evaluate()
    current = node.resizes.current(pod.uid)
    due = node.look(current, observed)
    (instance,) = observed.instances
    assert due.restarts == {"c": instance.status.id}
    assert node.told() == [("PodResizeInProgress", None, 2)]
    shown = node.feature.status(current)
    assert shown.container_resources[instance.status.id].requests["memory"] == "32Mi"
    assert shown.resources is not None
    assert shown.resources.requests["memory"] == "32Mi"


async def test_what_is_replaced_is_known_to_the_next_agent(kit: Any, node: Node, tmp_path: Path) -> None:
    """A container that was stopped to start again is no resize; it is remembered until it has started."""
    pod = node.see(kit.pod(c=OLD))
    await node.feature.before_stop(pod, {"c": "c-0"})
    following = Node(kit, tmp_path)
    pod = following.see(kit.pod(c=OLD))
    stopped = kit.observed(kit.instance("c", "exited"))
    due = following.look(pod, stopped)
    assert (bool(due), due.replacing, following.told()) == (False, {"c": "c-0"}, [])
    following.feature.started(pod, ["c"])
    assert following.look(pod, stopped).replacing == {}


async def test_what_could_not_be_put_in_force_is_held(kit: Any, node: Node) -> None:
    """No try before its time, however often the pod is looked at, but for a new spec; a restart is due all the same, and the
    condition tells why.
    """
    nowhere: Any = None
    node.see(kit.pod(c=OLD))
    node.see(kit.pod(c=NEW, generation=2))
    await node.resizes.evaluate()
    current = node.resizes.current(node.active["uid-1"].uid)
    assert current is not None
    observed = kit.observed(kit.instance(figures=(102, 0, 0)))
    assert node.feature.observed(current, observed) == Contribution(has_work=True)
    node.fault = ResizeFailed("the kernel said no")
    await node.feature.act(nowhere, current, observed)
    assert node.told() == [("PodResizeInProgress", "Error", 2)]
    held = node.feature.observed(current, observed)
    assert held.wake_at is not None
    assert (held.has_work, 10 <= (held.wake_at - node.now).total_seconds() <= 15) == (False, True)
    node.feature.updated(current)
    assert node.feature.observed(current, observed) == Contribution(has_work=True)
    await node.feature.act(nowhere, current, observed)
    node.now += timedelta(seconds=16)
    node.fault = None
    assert node.feature.observed(current, observed) == Contribution(has_work=True)
    await node.feature.act(nowhere, current, observed)
    assert node.feature.observed(current, observed) == Contribution()
    assert [bool(due) for due in node.ran] == [True, True, True]


async def test_a_restart_says_why(kit: Any, node: Node) -> None:
    """The container's id, with the text of its Killing event; on the disk before it is stopped, for the next agent."""
    pod = node.see(kit.pod(c=MEMORY_OLD, restart=("memory",)))
    observed = kit.observed(kit.instance())
    node.feature.started(pod, ["c"])
    node.feature.observed(pod, observed)
    node.see(kit.pod(c=MEMORY_NEW, generation=2, restart=("memory",)))
    await node.resizes.evaluate()
    current = node.resizes.current(pod.uid)
    assert current is not None
    assert node.feature.observed(current, observed) == Contribution(
        restarts={"c-0": "Container c resize requires restart"}, replaced=frozenset({"c-0"}), has_work=True
    )
    await node.feature.before_stop(current, {"c": "c-0"})
    following = ResizeRecords(node.root_dir)
    following.load()
    found = following.in_force(pod.uid)
    assert (found.restarting, found.replacing) == ({"c": "c-0"}, {})
