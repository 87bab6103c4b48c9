"""Grace periods, stop order and deadlines: docs/facts/pod-lifecycle.md 9 and 2.2."""

from itertools import pairwise
from typing import Any

import pytest
from agent_pods import agent_pod
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.pods.rules.model import Termination
from nodeagent.pods.rules.termination import (
    container_grace_seconds,
    deadline_at,
    deadline_exceeded,
    may_stop,
    pod_grace_seconds,
    remaining_seconds,
    stop_timeout_seconds,
)


@pytest.mark.parametrize(
    ("spec", "deletion", "current", "override", "expected"),
    [
        (30, None, None, None, 30),  # none present: the spec's
        (30, 60, None, None, 60),  # the deletion's, longer or shorter
        (30, 5, None, None, 5),
        (30, 60, 10, None, 10),  # the least of all that is present
        (30, 60, 100, 7, 7),
        (30, None, None, 90, 90),
        (30, None, 20, 90, 20),
        (0, None, None, None, 1),  # never below 1
        (30, 0, None, None, 1),
        (None, None, None, None, 1),
    ],
)
def test_pod_grace(kit: Any, spec: Any, deletion: Any, current: Any, override: Any, expected: int) -> None:
    """9.1: min over what is present; else the spec's; floor 1."""
    pod = kit.pod(terminationGracePeriodSeconds=spec, meta={"deletionGracePeriodSeconds": deletion})
    under_way = None if current is None else Termination(grace_seconds=current)
    assert pod_grace_seconds(pod, under_way, override=override) == expected


@given(st.lists(st.one_of(st.none(), st.integers(0, 1000)), min_size=1, max_size=8))
def test_pod_grace_only_decreases(requests: list[int | None]) -> None:
    """9.1: whatever is asked for in the course of a termination, the value never grows."""
    from lightkube.models.core_v1 import Container, Pod, PodSpec
    from lightkube.models.meta_v1 import ObjectMeta

    spec = PodSpec(containers=[Container(name="a")], terminationGracePeriodSeconds=30)
    pod = agent_pod(Pod(metadata=ObjectMeta(name="a"), spec=spec))
    current: Termination | None = None
    values: list[int] = []
    for override in requests:
        current = Termination(grace_seconds=pod_grace_seconds(pod, current, override=override))
        values.append(current.grace_seconds)
    assert all(after <= before for before, after in pairwise(values))
    assert min(values) >= 1


@pytest.mark.parametrize(
    ("spec", "deletion", "probe", "override", "expected"),
    [
        (30, None, None, None, 30),
        (30, 5, 90, None, 5),  # the deletion's stands first
        (30, None, 90, None, 90),  # a probe's may exceed the pod's
        (30, None, 1, None, 1),
        (None, None, None, None, 2),
        (30, 60, 90, 0, 0),  # an override replaces everything
        (30, None, None, 1, 1),
    ],
)
def test_container_grace(kit: Any, spec: Any, deletion: Any, probe: Any, override: Any, expected: int) -> None:
    """9.2, base and override."""
    fields = {"name": "main", "livenessProbe": {"terminationGracePeriodSeconds": probe}}
    pod = kit.pod([fields], terminationGracePeriodSeconds=spec, meta={"deletionGracePeriodSeconds": deletion})
    killed_by = pod.spec.containers[0].livenessProbe
    assert container_grace_seconds(pod, probe=killed_by, override=override) == expected


def test_what_a_hook_leaves_and_the_floor() -> None:
    """9.2: whole seconds are taken off; StopContainer gets at least 2."""
    assert [remaining_seconds(30, spent) for spent in (0.0, 0.9, 1.0, 29.99, 31.2)] == [30, 30, 29, 1, -1]
    assert [stop_timeout_seconds(left) for left in (30, 2, 1, 0, -5)] == [30, 2, 2, 2, 2]


def test_stop_order_step_by_step(kit: Any) -> None:
    """9.2: regular, init and ephemeral containers at once; sidecars in reverse order after all regular ones."""
    pod = kit.pod(["a", "b"], init=["+s0", "i1", "+s2"], ephemeral=["debug"])
    steps = [
        (["a", "b", "s0", "s2", "debug"], {"a", "b", "debug"}),
        (["a", "s0", "s2", "debug"], {"a", "debug"}),
        (["s0", "s2", "debug"], {"s2", "debug"}),
        (["s0", "s2"], {"s2"}),
        (["s0"], {"s0"}),
        ([], set()),
        (["i1", "s0"], {"i1", "s0"}),  # during initialization: s2 does not run, s0 need not wait
    ]
    assert [may_stop(pod, running) for running, _ in steps] == [frozenset(allowed) for _, allowed in steps]


def test_every_container_gets_its_turn(kit: Any) -> None:
    """9.2: stopping what may be stopped, again and again, ends every pod."""
    pod = kit.pod(["a", "b"], init=["+s0", "+s1", "i2", "+s3"])
    running = {"a", "b", "s0", "s1", "i2", "s3"}
    rounds = 0
    while running:
        turn = may_stop(pod, running)
        assert turn
        running -= turn
        rounds += 1
    assert rounds == 4


def test_deadline(kit: Any) -> None:
    """2.2: startTime + activeDeadlineSeconds; then phase Failed, reason DeadlineExceeded."""
    pod = kit.pod(activeDeadlineSeconds=90, terminationGracePeriodSeconds=30)
    assert deadline_at(pod, kit.now) == kit.after(90)
    assert deadline_at(pod, None) is None
    assert deadline_at(kit.pod(), kit.now) is None
    assert deadline_exceeded(pod) == Termination(
        grace_seconds=30,
        reason="DeadlineExceeded",
        message="Pod was active on the node longer than the specified deadline",
        failed=True,
    )
