"""Containers that are stopped to start again: their exit is nobody's end (docs/facts/pod-lifecycle.md 4.2, 4.5, 4.6)."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from nodeagent.pods.rules.model import Memory, PodStage, ProbeResults, StartFailure
from nodeagent.pods.rules.plan import make_plan
from nodeagent.pods.rules.replacement import awaiting, interrupted, replacing
from nodeagent.pods.status.patch import merge_for_patch
from nodeagent.pods.status.pod import pod_status


def shown(kit: Any, pod: Any, observed: Any, memory: Memory, previous: Any = None) -> Any:
    return pod_status(kit.desired(pod), observed, memory, previous, kit.node, kit.now)


def planned(kit: Any, pod: Any, observed: Any, memory: Memory = Memory()) -> Any:  # noqa: B008  # frozen
    return make_plan(kit.desired(pod), observed, memory, kit.now)


def with_probe(kit: Any, **results: Any) -> Memory:
    return Memory(probes={"main-0": ProbeResults(**results)})


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
@pytest.mark.parametrize("code", [0, 1, 143])
def test_an_edited_container_never_ends_its_pod(kit: Any, policy: str, code: int) -> None:
    """From the kill to the next start, whatever it exits with: it waits, its end is its last state, the pod runs on, and the next
    plan starts it.
    """
    pod = kit.pod([{"name": "main", "image": "new"}], restartPolicy=policy)
    running = kit.observed(kit.run("main"))
    first = planned(kit, pod, running)
    assert replacing(first) == {"main": "main-0"}
    memory = Memory(replaced=frozenset(replacing(first).values()))
    before = shown(kit, pod, running, memory)
    stopped = kit.observed(kit.run("main", "exited", exit_code=code))
    during = shown(kit, pod, stopped, memory, before)
    (main,) = during.containerStatuses
    assert (during.phase, main.restartCount, main.state.waiting.reason) == ("Running", 0, "ContainerCreating")
    assert main.lastState.terminated.exitCode == code
    again = planned(kit, pod, stopped, memory)
    assert [(start.name, start.restart_count) for start in again.start] == [("main", 1)]
    assert not again.kill_pod
    after = shown(
        kit, pod, kit.observed(kit.run("main", n=1), kit.run("main", "exited", exit_code=code)), memory, during
    )
    assert (after.phase, after.containerStatuses[0].restartCount) == ("Running", 1)


@pytest.mark.parametrize(("policy", "again"), [("Always", True), ("OnFailure", True), ("Never", False)])
@pytest.mark.parametrize("results", [{"live": False}, {"started": False}])
def test_what_a_probe_stops(kit: Any, policy: str, results: Any, again: bool) -> None:
    """It starts again though it exits with 0, but under Never; there its end is its end."""
    pod = kit.pod(restartPolicy=policy)
    memory = with_probe(kit, **results)
    first = planned(kit, pod, kit.observed(kit.run("main")), memory)
    memory = replace(memory, replaced=frozenset(replacing(first).values()))
    stopped = kit.observed(kit.run("main", "exited"))
    found = shown(kit, pod, stopped, memory, shown(kit, pod, kit.observed(kit.run("main")), memory))
    assert found.phase == ("Running" if again else "Succeeded")
    assert [start.name for start in planned(kit, pod, stopped, memory).start] == (["main"] if again else [])


def test_one_that_is_replaced_beside_one_that_is_done(kit: Any) -> None:
    """The pod goes on for it; by itself, the same exit would be the end of both."""
    pod = kit.pod(["done", "main"], restartPolicy="OnFailure")
    stopped = kit.observed(kit.run("main", "exited"), kit.run("done", "exited"))
    assert shown(kit, pod, stopped, Memory()).phase == "Succeeded"
    memory = Memory(replaced=frozenset({"main-0"}))
    assert shown(kit, pod, stopped, memory).phase == "Running"
    assert [start.name for start in planned(kit, pod, stopped, memory).start] == ["main"]


def test_a_lost_sandbox_takes_none_of_its_containers_along(kit: Any) -> None:
    """What runs is stopped for the new sandbox: with init containers it starts again only after them, though it exited with 0."""
    pod = kit.pod(init=["i"], restartPolicy="OnFailure")
    lost = kit.observed(kit.run("main"), kit.run("i", "exited"), sandboxes=(kit.sandbox(ready=False),))
    first = planned(kit, pod, lost)
    assert replacing(first) == {"main": "main-0"}
    memory = Memory(replaced=frozenset({"main-0"}))
    sandboxes = (kit.sandbox(1), kit.sandbox(ready=False))
    stopped = kit.observed(kit.run("main", "exited"), sandboxes=sandboxes)
    assert shown(kit, pod, stopped, memory).phase == "Pending"
    done = kit.observed(
        kit.run("i", "exited", n=1, sandbox="sandbox-1"), kit.run("main", "exited"), sandboxes=sandboxes
    )
    assert [start.name for start in planned(kit, pod, done, memory).start] == ["main"]
    lost_again = kit.observed(kit.run("main", "exited"), sandboxes=(kit.sandbox(1, ready=False),))
    assert planned(kit, pod, lost_again, memory).create_sandbox == 2
    assert planned(kit, pod, lost_again).create_sandbox is None


def test_a_start_that_fails_in_between_shows_why(kit: Any) -> None:
    """The reason is on the container that waits, whatever the policy says about its exit code."""
    pod = kit.pod(restartPolicy="OnFailure")
    failure = StartFailure(reason="ErrImagePull", message="no such image")
    memory = Memory(replaced=frozenset({"main-0"}), start_failures={"main": failure})
    (main,) = shown(kit, pod, kit.observed(kit.run("main", "exited")), memory).containerStatuses
    assert (main.state.waiting.reason, main.state.waiting.message) == ("ErrImagePull", "no such image")
    assert main.lastState.terminated.exitCode == 0


@pytest.mark.parametrize("stage", [PodStage.TERMINATING, PodStage.TERMINATED, PodStage.FINISHED])
def test_a_pod_that_ends_replaces_nothing(kit: Any, stage: PodStage) -> None:
    """Then the exit is the container's end after all."""
    pod = kit.pod(meta={"deletionTimestamp": "2026-01-02T03:04:05Z"})
    memory = Memory(replaced=frozenset({"main-0"}), stage=stage)
    found = shown(kit, pod, kit.observed(kit.run("main", "exited")), memory)
    assert found.containerStatuses[0].state.terminated.exitCode == 0
    if stage is not PodStage.TERMINATING:
        assert found.phase == "Succeeded"


def test_what_is_remembered_of_a_replacement(kit: Any) -> None:
    """Until the next instance has started; what still runs may be kept after all, unless a resize wants it stopped."""
    running, stopped = kit.observed(kit.run("main")), kit.observed(kit.run("main", "exited"))
    created = kit.observed(kit.run("main", "created", n=1), kit.run("main", "exited"))
    started = kit.observed(kit.run("main", n=1), kit.run("main", "exited"))
    seen = [awaiting(found, {"main-0"}) for found in (running, stopped, created, started, kit.observed())]
    assert seen == [frozenset(), frozenset({"main-0"}), frozenset({"main-0"}), frozenset(), frozenset()]
    record = {"main": "main-0"}
    assert [interrupted(found, record) for found in (running, stopped, created, started)] == [
        record,
        record,
        record,
        {},
    ]
    assert interrupted(running, record, stopped=True) == {}


# -- RestartAllContainers ----------------------------------------------------------------------------------------------

RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
MESSAGE = "The container is removed because RestartAllContainers in place"


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
@pytest.mark.parametrize("where", ["regular", "sidecar"])
@pytest.mark.parametrize("code", [0, 137])
def test_nothing_ends_while_all_containers_restart(kit: Any, policy: str, where: str, code: int) -> None:
    """At every point of the pass (kills, then removals, the trigger last) the pod runs on; in the end each container, the
    finished init container too, has one restart more and a last state that says why.
    """
    trigger = {"name": "trigger", "restartPolicyRules": [RULE], "restartPolicy": "Never"}
    init, regular = ["i0"], ["main", trigger]
    if where == "sidecar":
        init, regular = ["i0", {**trigger, "restartPolicy": "Always"}], ["main"]
    pod = kit.pod(regular, init=init, restartPolicy=policy)
    exited = kit.run("trigger", "exited", exit_code=42)
    main, i0 = kit.run("main"), kit.run("i0", "exited")
    made = [shown(kit, pod, kit.observed(kit.run("trigger"), main, i0), Memory())]
    for left in (
        [exited, main, i0],
        [exited, kit.run("main", "exited", exit_code=code), i0],
        [exited, i0],
        [exited],
        [],
    ):
        assert bool(planned(kit, pod, kit.observed(*left)).remove) == bool(left)
        made.append(shown(kit, pod, kit.observed(*left), Memory(), made[-1]))
    assert {item.phase for item in made[:-1]} == {"Running"}
    told = [
        condition.status
        for item in made
        for condition in item.conditions
        if condition.type == "AllContainersRestarting"
    ]
    assert told == ["False", "True", "True", "True", "True", "False"]
    for item in (*made[-1].initContainerStatuses, *made[-1].containerStatuses):
        assert msgspec.to_builtins(item.lastState) == {
            "terminated": {"exitCode": 137, "reason": "RestartingAllContainers", "message": MESSAGE}
        }
        assert (item.name, item.restartCount, item.state.waiting.reason) == (item.name, 1, "RestartingAllContainers")
    over = kit.observed(*(kit.run(name, n=1) for name in ("main", "trigger")), kit.run("i0", "exited", n=1))
    last = shown(kit, pod, over, Memory(), made[-1])
    assert {item.name: item.restartCount for item in (*last.initContainerStatuses, *last.containerStatuses)} == {
        "i0": 1,
        "main": 1,
        "trigger": 1,
    }
    assert all(item.lastState.terminated for item in (*last.initContainerStatuses, *last.containerStatuses))
    assert merge_for_patch(last, last).phase == "Running"
