"""The phase table: docs/facts/pod-lifecycle.md 6.1, line by line."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import ContainerStatus

from nodeagent.pods.status.phase import pod_phase

RUNNING: dict[str, object] = {"state": {"running": {}}}
STARTED = {**RUNNING, "started": True}
WAITING: dict[str, object] = {"state": {"waiting": {}}}
NOTHING = None


def ended(code: int, reason: str | None = None) -> dict[str, object]:
    return {"state": {"terminated": {"exitCode": code, "reason": reason}}}


def waiting_after(code: int, reason: str | None = None) -> dict[str, object]:
    return {**WAITING, "lastState": {"terminated": {"exitCode": code, "reason": reason}}}


def statuses(pod_containers: list[str], found: list[Any]) -> dict[str, ContainerStatus]:
    blank = {"image": "", "imageID": "", "ready": False, "restartCount": 0}
    return {
        name: msgspec.convert({**blank, "name": name, **fields}, ContainerStatus)
        for name, fields in zip(pod_containers, found, strict=True)
        if fields is not None
    }


def of(kit: Any, policy: str, init: list[tuple[str, Any]], regular: list[Any], **flags: bool) -> str:
    names = [f"c{index}" for index in range(len(regular))]
    pod = kit.pod(names, init=[name for name, _ in init], restartPolicy=policy)
    init_names = [name.removeprefix("+") for name, _ in init]
    return pod_phase(
        pod,
        statuses(init_names, [fields for _, fields in init]),
        statuses(names, regular),
        regular_started=flags.get("started", False),
        ended=flags.get("ended", False),
    )


@pytest.mark.parametrize(
    ("policy", "found", "expected"),
    [
        # no entry, running, waiting without lastState: initPending
        ("Always", NOTHING, "Pending"),
        ("Always", RUNNING, "Pending"),
        ("Always", WAITING, "Pending"),
        ("Never", WAITING, "Pending"),
        # terminated≠0 or waiting after ≠0: initFailed, permanent if the restart decision is no
        ("Never", ended(1), "Failed"),
        ("Never", waiting_after(1), "Failed"),
        ("Always", ended(1), "Pending"),
        ("OnFailure", waiting_after(1), "Pending"),
        ("Never", waiting_after(137, "RestartingAllContainers"), "Pending"),
        # done: the regular containers decide
        ("Never", ended(0), "Pending"),
    ],
)
def test_regular_init_container(kit: Any, policy: str, found: Any, expected: str) -> None:
    """6.1, class "regular init", each observation, before the regular container was created."""
    assert of(kit, policy, [("i0", found)], [WAITING]) == expected


@pytest.mark.parametrize(
    ("found", "before_start", "after_start"),
    [
        (RUNNING, "Pending", "Running"),  # running (not started): running + sidecarPending
        (STARTED, "Running", "Running"),
        (WAITING, "Pending", "Pending"),  # waiting without lastState: waiting + sidecarPending
        (ended(1), "Running", "Running"),  # ignored
        (waiting_after(1), "Running", "Running"),
        (NOTHING, "Pending", "Pending"),  # unknown
    ],
)
def test_sidecar(kit: Any, found: Any, before_start: str, after_start: str) -> None:
    """6.1, class "sidecar", beside a running regular container, before and after a regular one has ever started."""
    results = [of(kit, "Always", [("+s0", found)], [RUNNING], started=started) for started in (False, True)]
    assert results == [before_start, after_start]


@pytest.mark.parametrize(
    ("policy", "found", "expected"),
    [
        # 3: waiting > 0
        ("Always", [WAITING], "Pending"),
        ("Always", [RUNNING, WAITING], "Pending"),
        # 4: running > 0 and unknown = 0
        ("Always", [RUNNING], "Running"),
        ("Always", [RUNNING, ended(1)], "Running"),
        ("Never", [RUNNING, waiting_after(1)], "Running"),
        ("Always", [RUNNING, NOTHING], "Pending"),
        # 5b: any stopped container restartable
        ("Always", [ended(0)], "Running"),
        ("Always", [ended(1)], "Running"),
        ("Always", [waiting_after(0)], "Running"),
        ("OnFailure", [ended(1), ended(0)], "Running"),
        ("OnFailure", [waiting_after(1)], "Running"),
        ("Never", [ended(137, "RestartingAllContainers")], "Running"),
        # 5c: all succeeded, else failed
        ("OnFailure", [ended(0), ended(0)], "Succeeded"),
        ("Never", [ended(0)], "Succeeded"),
        ("Never", [ended(0), ended(1)], "Failed"),
        ("Never", [ended(1)], "Failed"),
        ("Never", [waiting_after(0)], "Failed"),  # waiting never counts as succeeded
        # 6: otherwise
        ("Never", [ended(0), NOTHING], "Pending"),
        ("Always", [NOTHING], "Pending"),
    ],
)
def test_regular_containers(kit: Any, policy: str, found: list[Any], expected: str) -> None:
    """6.1, class "regular" and the evaluation from 3 to 6."""
    assert of(kit, policy, [], found) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([ended(0)], "Succeeded"),
        ([ended(0), ended(1)], "Failed"),
        ([ended(137)], "Failed"),
        ([waiting_after(0)], "Failed"),
        ([WAITING], "Pending"),
        ([RUNNING], "Running"),
    ],
)
def test_a_pod_terminated_for_good_ends_whatever_its_policy(kit: Any, found: list[Any], expected: str) -> None:
    """6.1, 5a: a deleted Always pod whose processes exit 0 ends Succeeded."""
    assert of(kit, "Always", [], found, ended=True) == expected


def test_a_live_sidecar_keeps_the_pod_running(kit: Any) -> None:
    """6.1, 4: until it is stopped."""
    assert of(kit, "Never", [("+s0", STARTED)], [ended(0)], started=True) == "Running"
    assert of(kit, "Never", [("+s0", ended(137))], [ended(0)], started=True) == "Succeeded"


def test_a_permanent_init_failure_comes_before_all_else(kit: Any) -> None:
    """6.1, 1: even while a sidecar runs."""
    assert of(kit, "Never", [("+s0", STARTED), ("i1", ended(3))], [WAITING]) == "Failed"


def test_a_rule_on_the_container_counts_too(kit: Any) -> None:
    """6.1 with 4.5: a Never pod's container with a matching restart rule keeps it Running."""
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [3]}}
    pod = kit.pod([{"name": "c0", "restartPolicy": "Never", "restartPolicyRules": [rule]}], restartPolicy="Never")
    results = [pod_phase(pod, {}, statuses(["c0"], [ended(code)]), regular_started=True) for code in (3, 4)]
    assert results == ["Running", "Failed"]
