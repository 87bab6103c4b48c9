"""Which resize is looked at first, and what becomes of it (docs/facts/pod-lifecycle.md 4.7)."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.pods.resize.decision import (
    CPU_MANAGER_TEXT,
    MEMORY_MANAGER_TEXT,
    SWAP_TEXT,
    PendingResize,
    Refused,
    ResizeRules,
    decide,
    in_order,
)
from nodeagent.pods.rules.model import StartFailure

OLD, MORE, LESS = "200m/- 64Mi/-", "300m/- 64Mi/-", "100m/- 64Mi/-"


def pending(kit: Any, uid: str, to: str = MORE, *, since: int | None = None, **spec: Any) -> PendingResize:
    at = None if since is None else kit.now + timedelta(seconds=since)
    return PendingResize(wanted=kit.pod(uid=uid, c=to, **spec), allocated=kit.pod(uid=uid, c=OLD, **spec), since=at)


def names(resizes: list[PendingResize]) -> list[str]:
    return [str(item.wanted.metadata.uid) for item in resizes if item.wanted.metadata is not None]


def test_the_order_of_pending_resizes(kit: Any) -> None:
    """Givers first; then priority, Guaranteed before Burstable, and who has waited longest."""
    ranked = [
        pending(kit, "gives", LESS),
        pending(kit, "important", priority=100),
        pending(kit, "guaranteed", qos="Guaranteed", since=50),
        pending(kit, "long", qos="Burstable", since=0),
        pending(kit, "short", qos="Burstable", since=60),
        pending(kit, "new", qos="Burstable"),
    ]
    assert names(in_order(reversed(ranked))) == names(ranked)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(order=st.permutations(range(8)))
def test_the_order_does_not_depend_on_how_they_come(kit: Any, order: list[int]) -> None:
    """Whatever the order of arrival, the same resizes come out in the same order, and none is lost."""
    known = [
        pending(kit, f"p{index}", LESS if index % 2 else MORE, priority=index // 2 % 2, since=index)
        for index in range(8)
    ]
    assert names(in_order(known[index] for index in order)) == names(in_order(known))


@pytest.mark.parametrize(
    ("rules", "qos", "to", "restart", "text"),
    [
        (ResizeRules(), "Guaranteed", "300m/- 64Mi/-", (), ""),
        (ResizeRules(static_cpu_manager=True), "Guaranteed", "300m/- 64Mi/-", (), CPU_MANAGER_TEXT),
        (ResizeRules(static_cpu_manager=True), "Guaranteed", "200m/- 65Mi/-", (), ""),
        (ResizeRules(static_cpu_manager=True), "Burstable", "300m/- 64Mi/-", (), ""),
        (ResizeRules(static_memory_manager=True), "Guaranteed", "200m/- 65Mi/-", (), MEMORY_MANAGER_TEXT),
        (ResizeRules(static_memory_manager=True), "Guaranteed", "300m/- 64Mi/-", (), ""),
        (ResizeRules(limited_swap=True), "Burstable", "200m/- 65Mi/-", (), SWAP_TEXT),
        (ResizeRules(limited_swap=True), "Burstable", "200m/- 65Mi/-", ("memory",), ""),
        (ResizeRules(limited_swap=True), "Burstable", "300m/- 64Mi/-", (), ""),
        (ResizeRules(limited_swap=True), "Guaranteed", "200m/- 65Mi/-", (), ""),
    ],
)
def test_what_a_node_can_never_do(kit: Any, rules: ResizeRules, qos: str, to: str, restart: Any, text: str) -> None:
    """Infeasible, with the text that says why, whatever admission thinks of it."""
    resize = pending(kit, "u", to, qos=qos, restart=restart)
    refused = decide(resize, [], rules, lambda pod, others: None)
    assert refused == (Refused(condition="Infeasible", reason="Infeasible", message=text) if text else None)


def test_what_admission_refuses_is_deferred(kit: Any) -> None:
    """The event has the check's own reason; the check sees the pod as wanted, and the others."""
    seen: list[Any] = []

    def admit(pod: Any, others: Any) -> StartFailure:
        seen.append((pod, others))
        return StartFailure(reason="OutOfcpu", message="too much")

    resize, others = pending(kit, "u"), [kit.pod(uid="other")]
    assert decide(resize, others, ResizeRules(), admit) == Refused(
        condition="Deferred", reason="OutOfcpu", message="too much"
    )
    assert seen == [(resize.wanted, others)]
