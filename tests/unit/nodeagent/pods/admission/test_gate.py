"""nodeagent.pods.admission.gate: what may turn a refusal.

Source: docs/facts/pod-lifecycle.md 3.1, docs/facts/node-resources.md 4.5 and 4.6.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from nodeagent.pods.admission.gate import AdmissionGate, Deferred, KillError
from nodeagent.pods.admission.rules import NodeView
from nodeagent.pods.rules.model import StartFailure, Termination
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources.contract import CannotAssign

NODE = NodeView(name="node-1", labels={"zone": "a"}, allocatable={"cpu": "2", "memory": "1Gi", "pods": "9"})
CRITICAL = 2_000_000_000


@dataclass
class World:
    """The node and its pods, played by the test; `told` is what happened, in order."""

    view: NodeView = NODE
    fresh: NodeView = NODE
    told: list[str] = field(default_factory=list)
    stuck: str = ""
    begun: tuple[str, ...] = ()
    concerned: bool = False
    devices: dict[str, int] = field(default_factory=dict)
    unassignable: CannotAssign | None = None

    def gate(self) -> AdmissionGate:
        return AdmissionGate(
            view=lambda: self.view,
            fresh_view=self.read,
            end_pod=self.end,
            begun=lambda uid: uid in self.begun,
            resources=self,
            events=self,
        )

    async def read(self) -> NodeView:
        self.told.append("read node")
        return self.fresh

    async def end(self, pod: AgentPod, termination: Termination) -> None:
        assert pod.metadata is not None
        self.told.append(f"end {pod.metadata.name} in {termination.grace_seconds}s: {termination.reason}")
        if pod.metadata.name == self.stuck:
            raise KillError("too slow")

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        assert pod.metadata is not None
        self.told.append(f"{type} {reason} {pod.metadata.name}: {message}")

    def concerns(self, pod: AgentPod) -> bool:
        return self.concerned

    async def assign(self, pod: AgentPod) -> None:
        self.told.append(f"assign to {pod.name}")
        if self.unassignable is not None:
            raise self.unassignable

    def release(self, uid: PodUID) -> None:
        self.told.append(f"release {uid}")

    def in_use(self) -> dict[str, int]:
        return self.devices

    async def answer(self, pod: AgentPod, others: list[AgentPod]) -> StartFailure | None:
        found = self.gate().admit(pod, others)
        return await found.answer() if isinstance(found, Deferred) else found


def make(kit: Any, name: str, cpu: str, priority: int = 0, **spec: Any) -> Any:
    container = {"name": "main", "resources": {"requests": {"cpu": cpu}}}
    spec = {"terminationGracePeriodSeconds": 5, **spec}
    return kit.pod([container], meta={"name": name, "uid": name}, priority=priority, **spec)


async def test_what_fits_waits_for_nothing(kit: Any) -> None:
    """The common way has no detour."""
    assert World().gate().admit(make(kit, "new", "1"), [make(kit, "a", "1")]) is None


async def test_others_end_for_a_critical_pod(kit: Any) -> None:
    """4.6: event, then the end of each victim; a victim that does not end in time stops nobody; then the pod is in."""
    world = World(stuck="a")
    others = [make(kit, "a", "1"), make(kit, "b", "1"), make(kit, "c", "0")]
    assert await world.answer(make(kit, "new", "2", CRITICAL), others) is None
    assert world.told == [
        "Warning Preempting a: Preempted in order to admit critical pod",
        "end a in 5s: Preempting",
        "Warning Preempting b: Preempted in order to admit critical pod",
        "end b in 5s: Preempting",
    ]


async def test_nobody_ends_for_a_pod_that_is_not_critical(kit: Any) -> None:
    """3.1: the shortage is the answer."""
    world = World()
    refusal = await world.answer(make(kit, "new", "2"), [make(kit, "a", "1")])
    assert refusal is not None
    assert refusal.reason == "OutOfcpu"
    assert world.told == []


async def test_no_victims(kit: Any) -> None:
    """4.6: the words."""
    world = World()
    assert await world.answer(make(kit, "new", "2", CRITICAL), [make(kit, "a", "500m", CRITICAL)]) == StartFailure(
        reason="UnexpectedAdmissionError",
        message="Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods "
        "to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 500), ]",
    )
    assert world.told == []


async def test_checks_behind_the_fit_still_count(kit: Any) -> None:
    """3.1: admission goes on after the victims have ended."""
    world = World(view=dataclasses.replace(NODE, shutting_down=True))
    refusal = await world.answer(make(kit, "new", "2", CRITICAL), [make(kit, "a", "1")])
    assert refusal is not None
    assert refusal.reason == "NodeShutdown"


async def test_the_node_is_read_anew_when_its_labels_alone_refuse(kit: Any) -> None:
    """3.1 (10): once; what is read decides."""
    world = World(fresh=dataclasses.replace(NODE, labels={"zone": "b"}))
    assert await world.answer(make(kit, "new", "1", nodeSelector={"zone": "b"}), []) is None
    refusal = await world.answer(make(kit, "new", "1", nodeSelector={"zone": "c"}), [])
    assert refusal is not None
    assert refusal.reason == "NodeAffinity"
    assert world.told == ["read node", "read node"]


async def test_pressure_is_for_pods_that_come(kit: Any) -> None:
    """5.9: a node short of disk takes no pod; one that an agent before this one has begun stays, and is judged for the rest."""
    pressed = dataclasses.replace(NODE, pressures=("DiskPressure",))
    world = World(view=pressed, fresh=pressed, begun=("here",))
    refusal = StartFailure(reason="Evicted", message="The node had condition: [DiskPressure]. ")
    assert await world.answer(make(kit, "new", "1"), []) == refusal
    assert await world.answer(make(kit, "here", "1"), []) is None
    labelled = make(kit, "here", "1", nodeSelector={"zone": "b"})
    found = await world.answer(labelled, [])
    assert (found and found.reason, world.told) == ("NodeAffinity", ["read node"])


async def test_resources_are_assigned_before_the_pod_is_fitted(kit: Any) -> None:
    """A pod that is refused after all gives them back; one that an agent before has begun keeps them until it has ended."""
    world = World(concerned=True)
    assert await world.answer(make(kit, "fits", "1"), []) is None
    refusal = await world.answer(make(kit, "large", "3"), [])
    assert refusal is not None and refusal.reason == "OutOfcpu"
    assert world.told == ["assign to fits", "assign to large", "release large"]
    world.begun = ("large",)
    assert await world.answer(make(kit, "large", "3"), []) is not None
    assert world.told[3:] == ["assign to large"]


async def test_resources_that_cannot_be_assigned(kit: Any) -> None:
    """Their reason comes before that of a pod that does not fit; a node under pressure assigns nothing."""
    world = World(concerned=True, unassignable=CannotAssign("no"))
    assert await world.answer(make(kit, "large", "3"), []) == StartFailure(
        reason="UnexpectedAdmissionError", message="Allocate failed due to no, which is unexpected"
    )
    world.view = dataclasses.replace(NODE, pressures=("DiskPressure",))
    refusal = await world.answer(make(kit, "other", "1"), [])
    assert refusal is not None and refusal.reason == "Evicted"
    assert world.told == ["assign to large"]


async def test_devices_in_use_are_there(kit: Any) -> None:
    """A running pod is not sent away because the agent has just started, and its devices' plugin has not come back."""
    world = World(concerned=True, begun=("p",))
    world.view = dataclasses.replace(NODE, allocatable={**NODE.allocatable, "x.org/d": "0"})
    pod = kit.pod([{"name": "c", "resources": {"limits": {"x.org/d": "1"}, "requests": {"x.org/d": "1"}}}])
    refusal = await world.answer(pod, [])
    assert refusal is not None and refusal.reason == "OutOfx.org/d"
    world.devices = {"x.org/d": 1, "gone.org/d": 2}
    assert await world.answer(pod, []) is None
