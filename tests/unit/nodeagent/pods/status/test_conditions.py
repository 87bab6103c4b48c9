"""The conditions: docs/facts/pod-lifecycle.md 6.2."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import ContainerStatus, PodCondition

from nodeagent.pods.status import conditions as make


def statuses(**found: dict[str, object]) -> dict[str, ContainerStatus]:
    blank = {"image": "", "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": {}}}
    return {name: msgspec.convert({**blank, "name": name, **fields}, ContainerStatus) for name, fields in found.items()}


READY: dict[str, object] = {"ready": True, "started": True, "state": {"running": {}}}
RUNNING: dict[str, object] = {"started": True, "state": {"running": {}}}
DONE: dict[str, object] = {"ready": True, "state": {"terminated": {"exitCode": 0}}}


def said(condition: PodCondition | None) -> tuple[object, ...] | None:
    return None if condition is None else (condition.status, condition.reason, condition.message)


@pytest.mark.parametrize(
    ("init", "regular", "phase", "was_true", "expected"),
    [
        ({"a": DONE, "b": READY}, {}, "Pending", False, ("True", None, None)),
        (
            {"a": {}, "b": {}},
            {},
            "Pending",
            False,
            ("False", "ContainersNotInitialized", "containers with incomplete status: [a b]"),
        ),
        (
            {"a": DONE, "b": {"started": False, "state": {"running": {}}}},
            {},
            "Pending",
            False,
            ("False", "ContainersNotInitialized", "containers with incomplete status: [b]"),
        ),
        (
            {"b": {}},
            {},
            "Pending",
            False,
            (
                "False",
                "ContainersNotInitialized",
                "containers with unknown status: [a], containers with incomplete status: [b]",
            ),
        ),
        # any regular container running or terminated
        ({"a": {}, "b": {}}, {"main": RUNNING}, "Running", False, ("True", None, None)),
        ({"a": {}, "b": {}}, {"main": DONE}, "Running", False, ("True", None, None)),
        # was True before on RestartAll pods
        ({"a": {}, "b": {}}, {}, "Pending", True, ("True", None, None)),
        ({"a": DONE, "b": {}}, {}, "Succeeded", False, ("True", "PodCompleted", None)),
        (None, None, "Pending", False, ("False", "UnknownContainerStatuses", None)),
    ],
)
def test_initialized(
    kit: Any, init: Any, regular: Any, phase: str, was_true: bool, expected: tuple[object, ...]
) -> None:
    """6.2, Initialized: a regular init container (a) and a sidecar (b)."""
    pod = kit.pod(init=["a", "+b"])
    found = make.initialized(
        pod,
        None if init is None else statuses(**init),
        None if regular is None else statuses(**regular),
        phase,
        was_true=was_true,
    )
    assert said(found) == expected


@pytest.mark.parametrize(
    ("init", "regular", "phase", "expected"),
    [
        ({"i": DONE, "s": READY}, {"a": READY, "b": READY}, "Running", ("True", None, None)),
        (
            {"i": DONE, "s": RUNNING},
            {"a": RUNNING, "b": READY},
            "Running",
            ("False", "ContainersNotReady", "containers with unready status: [s a]"),
        ),
        (
            {"i": {}, "s": READY},
            {"a": {}},
            "Pending",
            (
                "False",
                "ContainersNotReady",
                "containers with unknown status: [b], containers with unready status: [a]",
            ),
        ),
        ({"i": DONE, "s": DONE}, {"a": {}, "b": {}}, "Succeeded", ("False", "PodCompleted", None)),
        ({"i": DONE, "s": READY}, {"a": READY, "b": READY}, "Failed", ("False", "PodFailed", None)),
        (None, None, "Pending", ("False", "UnknownContainerStatuses", None)),
    ],
)
def test_containers_ready(kit: Any, init: Any, regular: Any, phase: str, expected: tuple[object, ...]) -> None:
    """6.2, ContainersReady: regular containers and sidecars count, regular init containers do not."""
    pod = kit.pod(["a", "b"], init=["i", "+s"])
    found = make.containers_ready(
        pod, None if init is None else statuses(**init), None if regular is None else statuses(**regular), phase
    )
    assert said(found) == expected


def test_ready_copies_containers_ready(kit: Any) -> None:
    """6.2, Ready: reason and message of ContainersReady while that is False."""
    containers = PodCondition(type="ContainersReady", status="False", reason="ContainersNotReady", message="m")
    pod = kit.pod(readinessGates=[{"conditionType": "x"}])
    assert make.ready(pod, containers, []) == PodCondition(
        type="Ready", status="False", reason="ContainersNotReady", message="m"
    )


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"x": "True", "y": "True"}, ("True", None, None)),
        (
            {"x": "True"},
            (
                "False",
                "ReadinessGatesNotReady",
                'corresponding condition of pod readiness gate "y" does not exist.',
            ),
        ),
        (
            {"y": "Unknown"},
            (
                "False",
                "ReadinessGatesNotReady",
                'corresponding condition of pod readiness gate "x" does not exist., '
                'the status of pod readiness gate "y" is not "True", but Unknown',
            ),
        ),
    ],
)
def test_readiness_gates(kit: Any, others: dict[str, str], expected: tuple[object, ...]) -> None:
    """6.2, Ready: all gates True, else each one that is not."""
    pod = kit.pod(readinessGates=[{"conditionType": "x"}, {"conditionType": "y"}])
    containers = PodCondition(type="ContainersReady", status="True")
    found = make.ready(pod, containers, [PodCondition(type=key, status=value) for key, value in others.items()])
    assert said(found) == expected


def test_all_containers_restarting_exists_only_where_a_rule_can_trigger_it(kit: Any) -> None:
    """6.2, 4.6: False normally, True while the triggering container is there, PodCompleted/PodFailed at the end."""
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    pod = kit.pod([{"name": "main", "restartPolicy": "Never", "restartPolicyRules": [rule]}])
    quiet, asking = kit.observed(kit.run("main")), kit.observed(kit.run("main", "exited", exit_code=42))
    assert said(make.restarting_all(kit.pod(), asking, "Running")) is None
    assert [
        said(make.restarting_all(pod, seen, phase))
        for seen, phase in ((quiet, "Running"), (asking, "Running"), (quiet, "Succeeded"), (quiet, "Failed"))
    ] == [
        ("False", None, None),
        ("True", "RestartAllContainersStarted", "container exited with restart policy rule"),
        ("False", "PodCompleted", None),
        ("False", "PodFailed", None),
    ]


def test_transition_times_and_generations(kit: Any) -> None:
    """6.2: now when the status flips or the condition is new, else kept; whole seconds; generation on all but one."""
    before = [
        PodCondition(type="Ready", status="True", lastTransitionTime=kit.after(-100), observedGeneration=1),
        PodCondition(type="Initialized", status="True", lastTransitionTime=kit.after(-200)),
    ]
    found = make.stamped(
        [
            PodCondition(type="Ready", status="False"),
            PodCondition(type="Initialized", status="True", reason="PodCompleted"),
            PodCondition(type="PodScheduled", status="True"),
            PodCondition(type="AllContainersRestarting", status="False"),
        ],
        before,
        kit.now.replace(microsecond=987654),
        7,
    )
    assert [(item.type, item.lastTransitionTime, item.observedGeneration) for item in found] == [
        ("Ready", kit.now, 7),
        ("Initialized", kit.after(-200), 7),
        ("PodScheduled", kit.now, 7),
        ("AllContainersRestarting", kit.now, None),
    ]
