"""What of a pod still runs with other resources than it has been allocated (docs/facts/pod-lifecycle.md 4.7)."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightkube.models.core_v1 import ResourceRequirements

from nodeagent.pods.resize.allocation import pod_level
from nodeagent.pods.resize.changes import Actuated, ActuatedContainer, Due, due, recollected

MIB = 1024 * 1024
OLD = "100m/200m 32Mi/64Mi"


def in_force(kit: Any, text: str = OLD, id: str = "c-0") -> ActuatedContainer:
    return ActuatedContainer(id=id, resources=ResourceRequirements(**kit.sizes(text)))


def live(found: Due) -> list[tuple[str, str, bool]]:
    return [(change.container.name, change.resource, change.decreases) for change in found.live]


@pytest.mark.parametrize(
    ("to", "restart", "changes", "restarts"),
    [
        (OLD, (), [], []),
        ("200m/400m 32Mi/64Mi", (), [("c", "cpu", False)], []),
        ("50m/100m 64Mi/128Mi", (), [("c", "memory", False), ("c", "cpu", True)], []),
        ("100m/200m 16Mi/64Mi", (), [("c", "memory", True)], []),
        ("100m/200m 32Mi/128Mi", ("memory",), [], ["c-0"]),
        ("100m/400m 32Mi/64Mi", ("memory",), [("c", "cpu", False)], []),
        ("100m/400m 32Mi/128Mi", ("memory",), [], ["c-0"]),
        ("100m/400m 32Mi/128Mi", ("cpu", "memory"), [], ["c-0"]),
    ],
)
def test_one_running_container(kit: Any, to: str, restart: Any, changes: Any, restarts: Any) -> None:
    """What changes, in what order; one resource that wants a restart restarts the container for all."""
    pod = kit.pod(c=to, restart=restart)
    found = due(pod, kit.observed(kit.instance()), Actuated(containers={"c": in_force(kit)}))
    assert (live(found), list(found.restarts.values())) == (changes, restarts)
    assert bool(found) is bool(changes or restarts)


def test_decreases_come_first(kit: Any) -> None:
    """Of memory, then of CPU: who gives goes before who takes."""
    names = {"a": "300m/300m 8Mi/8Mi", "b": "50m/50m 90Mi/90Mi", "c": "10m/10m 9Mi/9Mi"}
    known = {name: in_force(kit, "100m/100m 64Mi/64Mi", f"{name}-0") for name in names}
    found = due(kit.pod(**names), kit.observed(*map(kit.instance, names)), Actuated(containers=known))
    assert live(found) == [
        ("a", "memory", True),
        ("c", "memory", True),
        ("b", "memory", False),
        ("b", "cpu", True),
        ("c", "cpu", True),
        ("a", "cpu", False),
    ]


SIZE = st.sampled_from(["-", "10", "20", "30"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(SIZE, SIZE, SIZE, SIZE), min_size=1, max_size=5), st.data())
def test_the_sum_never_overshoots(kit: Any, sizes: list[tuple[str, str, str, str]], data: Any) -> None:
    """However containers grow and shrink, no order of changes needs more at any time than before and after."""
    names = [f"c{index}" for index in range(len(sizes))]
    before = {name: f"{a}/{b} -/-" for name, (a, b, _, _) in zip(names, sizes, strict=True)}
    after = {name: f"{a}/{b} -/-" for name, (_, _, a, b) in zip(names, sizes, strict=True)}
    known = {name: in_force(kit, before[name], f"{name}-0") for name in names}
    order = data.draw(st.permutations(names))
    observed = kit.observed(*map(kit.instance, order))
    found = due(kit.pod(**after), observed, Actuated(containers=known))
    flags = [change.decreases for change in found.live]
    assert flags == sorted(flags, reverse=True)
    assert {change.container.name for change in found.live} == {name for name in names if before[name] != after[name]}


def test_what_does_not_run_is_left_alone(kit: Any) -> None:
    """It gets its resources when it starts; only the pod's cgroup has to make room."""
    pod = kit.pod(c="200m/400m 64Mi/128Mi")
    known = Actuated(containers={"c": in_force(kit)}, pod=pod_level(kit.pod(c=OLD)))
    assert due(pod, kit.observed(kit.instance(state="exited")), known) == Due(pod=True)
    assert due(pod, kit.observed(), known) == Due(pod=True)


@pytest.mark.parametrize(
    ("instances", "restarts"),
    [
        ((("running", 0),), {"c": "c-0"}),
        ((("exited", 0),), {"c": "c-0"}),
        ((("created", 1), ("exited", 0)), {"c": "c-0"}),
        ((("running", 1), ("exited", 0)), {}),
        ((("exited", 1), ("exited", 0)), {}),
        ((), {}),
    ],
)
def test_a_restart_that_was_begun_is_ended(kit: Any, instances: Any, restarts: Any) -> None:
    """Until the next instance has started, the old one is being replaced, though nobody remembers why."""
    observed = kit.observed(*(kit.instance(state=state, n=n) for state, n in instances))
    known = Actuated(containers={"c": in_force(kit, id="c-1")}, restarting={"c": "c-0"})
    if instances == (("running", 0),):
        known = Actuated(containers={"c": in_force(kit)}, restarting={"c": "c-0"})
    assert due(kit.pod(c=OLD), observed, known).restarts == restarts


@pytest.mark.parametrize(
    ("known", "figures", "in_progress", "expected"),
    [
        ("c-0", None, False, "1/1 1Gi/1Gi"),  # remembered of this very instance
        ("", None, False, "1/1 1Gi/1Gi"),  # left by the pass that made it
        ("gone", (102, 20000, 64 * MIB), False, OLD),  # the runtime agrees with what is allocated
        ("gone", (204, 20000, 64 * MIB), False, "200m/200m 32Mi/64Mi"),
        ("gone", (102, 0, 64 * MIB), False, "100m/- 32Mi/64Mi"),
        ("gone", (102, 20000, 128 * MIB), False, "100m/200m 32Mi/128Mi"),
        ("gone", (102, 20000, 0), False, "100m/200m 32Mi/-"),
        ("gone", None, False, OLD),
        ("gone", None, True, None),
    ],
)
def test_memory_of_what_is_in_force(kit: Any, known: str, figures: Any, in_progress: bool, expected: Any) -> None:
    """It is of one instance; for another one the runtime is asked, and where it says nothing, all is well unless a resize
    was under way."""
    actuated = Actuated(containers={"c": in_force(kit, "1/1 1Gi/1Gi", known)})
    found = recollected(
        kit.pod(c=OLD), kit.observed(kit.instance(figures=figures)), actuated, kit.host, in_progress=in_progress
    )
    assert dict(found.containers) == ({"c": in_force(kit, expected)} if expected else {})


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [("3", "1/1 64Mi/64Mi"), ("0-1", "1/- 64Mi/64Mi"), ("", "1/- 64Mi/64Mi")],
)
def test_cpus_of_its_own_need_no_quota(kit: Any, cpus: str, expected: str) -> None:
    """As many CPUs for itself as its limit says are its limit: none is written over them."""
    instance = kit.instance(figures=(1024, -1, 64 * MIB))
    instance.status.resources.linux.cpuset_cpus = cpus
    known = Actuated(containers={"c": in_force(kit, "2/2 1Gi/1Gi", "gone")})
    found = recollected(kit.pod(c="1/1 64Mi/64Mi"), kit.observed(instance), known, kit.host, in_progress=False)
    assert dict(found.containers) == {"c": in_force(kit, expected)}


def test_a_container_of_which_nothing_is_known_gets_everything(kit: Any) -> None:
    """Once more is better than never."""
    found = due(kit.pod(c=OLD), kit.observed(kit.instance()), Actuated())
    assert live(found) == [("c", "memory", True), ("c", "cpu", True)]
