"""Promises over whole lives of pods: plans settle, statuses are stable, terminal phases stay. docs/facts/pod-lifecycle.md 2-6."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightkube.models.core_v1 import PodStatus

from nodeagent.pods.rules.model import CrashBackoff, Desired, Memory, NodeAddresses, Observed, Plan, PodStage
from nodeagent.pods.rules.plan import make_plan
from nodeagent.pods.status.patch import merge_for_patch, status_patch
from nodeagent.pods.status.pod import pod_status
from proto import cri_pb2 as cri

NODE = NodeAddresses(host_ips=("192.168.0.1",))
HYPOTHESIS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

POLICY = st.sampled_from(["Always", "OnFailure", "Never"])
INIT = st.lists(st.sampled_from(["i", "+s"]), max_size=3).map(
    lambda kinds: [f"{kind}{index}" for index, kind in enumerate(kinds)]
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("exit"), st.integers(0, 5), st.sampled_from([0, 1, 137])),
        st.tuples(st.just("wait"), st.sampled_from([1, 15, 700]), st.just(0)),
        st.tuples(st.just("sandbox"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


class Life:
    """One pod with a runtime that does what it is told, as the supervisor would drive it."""

    def __init__(self, kit: Any, pod: Any) -> None:
        self.desired = Desired(pod=pod)
        self.runtime = kit.runtime()
        self.backoffs: dict[str, CrashBackoff] = {}
        self.api = PodStatus()
        self.status: PodStatus | None = None
        self.phases: list[str] = []

    @property
    def memory(self) -> Memory:
        ended = self.status is not None and self.status.phase in ("Succeeded", "Failed")
        stage = PodStage.TERMINATED if ended else PodStage.SYNC
        return Memory(stage=stage, crash_backoffs=self.backoffs)

    def settle(self) -> None:
        """Plan and carry out until nothing is left to do now."""
        for _ in range(20):
            self.publish()
            made = self._plan()
            if made in (Plan(), Plan(waiting=made.waiting, wake_at=made.wake_at)):
                return
            self.runtime.carry_out(made)
            self.backoffs |= {start.name: start.backoff for start in made.start if start.backoff is not None}
        raise AssertionError(f"never settles: {made}")

    def publish(self) -> None:
        memory = self.memory
        self.status = pod_status(self.desired, self.runtime.observed, memory, self.status, NODE, self.runtime.now)
        again = pod_status(self.desired, self.runtime.observed, memory, self.status, NODE, self.runtime.now)
        assert again == self.status, "a status made from itself is the same"
        self.phases.append(self.status.phase or "")
        self.api = merge_for_patch(self.api, self.status)
        assert status_patch(self.api, merge_for_patch(self.api, self.status), "uid-1") is None

    def _plan(self) -> Plan:
        one, other = (make_plan(self.desired, self.runtime.observed, self.memory, self.runtime.now) for _ in range(2))
        assert one == other
        return one

    def happen(self, event: tuple[str, int, int]) -> None:
        kind, which, code = event
        if kind == "wait":
            self.runtime.now += timedelta(seconds=which)
        elif kind == "exit":
            running = sorted(
                item.status.metadata.name
                for item in self.runtime.observed.instances
                if item.status.state == cri.CONTAINER_RUNNING
            )
            if running:
                self.runtime.exit(running[which % len(running)], code)
        elif self.runtime.observed.sandboxes:
            self.runtime.carry_out(Plan(kill_pod=True))


@HYPOTHESIS
@given(POLICY, INIT, st.integers(1, 2), EVENTS)
def test_every_life_settles_and_never_goes_back(kit: Any, policy: str, init: Any, count: int, events: Any) -> None:
    """Whatever happens: planning again after carrying a plan out yields nothing, and a terminal phase stays."""
    life = Life(kit, kit.pod([f"c{index}" for index in range(count)], init=init, restartPolicy=policy))
    life.settle()
    for event in events:
        life.happen(event)
        life.settle()
    ends = [index for index, phase in enumerate(life.phases) if phase in ("Succeeded", "Failed")]
    if ends:
        assert set(life.phases[ends[0] :]) == {life.phases[ends[0]]}
        assert not any(item.status.state == cri.CONTAINER_RUNNING for item in life.runtime.observed.instances)


@HYPOTHESIS
@given(INIT, st.permutations(["c0", "c1", "c2"]))
def test_no_regular_container_starts_before_initialization(kit: Any, init: Any, order: Any) -> None:
    """4.2, 4.3: in every pod, init containers start in spec order and regular ones after the last of them."""
    life = Life(kit, kit.pod(order, init=init))
    names = [name.removeprefix("+") for name in init]
    for _ in range(len(init) + 2):
        life.settle()
        for name in names:
            if name.startswith("i"):
                life.runtime.exit(name, 0)
    seen = [item.status.metadata.name for item in reversed(life.runtime.observed.instances)]
    assert seen == [*names, *order]


@pytest.mark.parametrize(
    ("policy", "exits", "phases"),
    [
        ("Never", [0], ["Pending", "Running", "Succeeded"]),
        ("Never", [1], ["Pending", "Running", "Failed"]),
        ("OnFailure", [1, 0], ["Pending", "Running", "Succeeded"]),
        ("Always", [0, 1], ["Pending", "Running"]),
    ],
)
def test_the_phases_a_watcher_sees(kit: Any, policy: str, exits: list[int], phases: list[str]) -> None:
    """6.1 in time: with a sidecar, which is ended by the end of the main container."""
    life = Life(kit, kit.pod(init=["+side"], restartPolicy=policy))
    life.settle()
    for code in exits:
        life.runtime.exit("main", code)
        life.settle()
        life.runtime.now += timedelta(seconds=15)
        life.settle()
    assert list(dict.fromkeys(life.phases)) == phases


@given(st.permutations(["a", "b", "c"]))
def test_a_status_does_not_depend_on_the_order_of_containers_in_the_spec(kit: Any, order: Any) -> None:
    """6.4: lists are sorted by name; the same pod in another order has the same status."""
    seen = Observed(sandboxes=(kit.sandbox(),), instances=(kit.run("b"), kit.run("a", "exited", exit_code=3)))
    found = pod_status(Desired(pod=kit.pod(order)), seen, Memory(), None, NODE, kit.now)
    assert [item.name for item in found.containerStatuses or []] == ["a", "b", "c"]
    expected = pod_status(Desired(pod=kit.pod(["a", "b", "c"])), seen, Memory(), None, NODE, kit.now)
    assert found.containerStatuses == expected.containerStatuses
