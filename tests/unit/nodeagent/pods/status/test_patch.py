"""From the agent's status to the patch: docs/facts/pod-lifecycle.md 2.3, 2.5 and 6.5."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.core_v1 import Container, ContainerRestartRule, ContainerRestartRuleOnExitCodes, PodStatus

from nodeagent.pods.status.patch import differs, merge_for_patch, status_patch, transition_error

AT = "2026-01-02T03:04:05Z"
LATER = "2026-01-02T04:00:00Z"
MERGE_KEYS = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip"}


def of(**fields: Any) -> PodStatus:
    return msgspec.convert(fields, PodStatus)


def container(name: str = "main", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "i", "imageID": "", "ready": False, "restartCount": 0, **fields}


def ended(code: int, message: str | None = None) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "message": message}}


def apply(old: Any, patch: Any) -> Any:
    """A strategic merge of a status patch as an API server carries it out."""
    made = copy.deepcopy(old)
    for key, value in patch.items():
        if key.startswith("$setElementOrder/"):
            continue
        merge_key = MERGE_KEYS.get(key)
        if value is None:
            made.pop(key, None)
        elif merge_key:
            made[key] = _apply_list(made.get(key, []), value, merge_key)
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = apply(made[key], value)
        else:
            made[key] = value
    for key, order in patch.items():
        field = key.removeprefix("$setElementOrder/")
        if field != key:
            merge_key = MERGE_KEYS[field]
            wanted = [item[merge_key] for item in order]
            made[field] = sorted(made.get(field, []), key=lambda item: wanted.index(item[merge_key]))
            if not made[field]:
                del made[field]
    return made


def _apply_list(live: list[Any], patch: list[Any], merge_key: str) -> list[Any]:
    items = {item[merge_key]: item for item in live}
    for change in patch:
        if change.get("$patch") == "delete":
            items.pop(change[merge_key], None)
        else:
            items[change[merge_key]] = apply(items.get(change[merge_key], {}), change)
    return list(items.values())


TEXT = st.sampled_from(["a", "b", "c"])
CONDITION = st.fixed_dictionaries(
    {"type": st.sampled_from(["Ready", "Initialized", "PodScheduled", "DisruptionTarget", "x/y"]), "status": TEXT},
    optional={"reason": TEXT, "message": TEXT, "lastTransitionTime": st.sampled_from([AT, LATER])},
)
IPS = st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1"]), unique=True).map(
    lambda ips: [{"ip": ip} for ip in ips]
)
CONTAINERS = st.lists(
    st.builds(
        lambda name, count, code: container(name, restartCount=count, state=ended(code)),
        TEXT,
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=2,
    unique_by=lambda item: item["name"],
)
STATUS = st.fixed_dictionaries(
    {},
    optional={
        "phase": TEXT,
        "reason": TEXT,
        "podIP": TEXT,
        "podIPs": IPS,
        "hostIPs": IPS,
        "conditions": st.lists(CONDITION, unique_by=lambda item: item["type"]),
        "containerStatuses": CONTAINERS,
        "allocatedResources": st.dictionaries(st.sampled_from(["cpu", "memory"]), TEXT),
        "resources": st.fixed_dictionaries(
            {}, optional={"limits": st.dictionaries(st.sampled_from(["cpu", "memory"]), TEXT)}
        ),
        "startTime": st.just(AT),
    },
)


def _without_empty_lists(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item != []}


@given(STATUS, STATUS)
def test_the_patch_applied_to_the_old_status_gives_the_new_one(old: Any, new: Any) -> None:
    """6.5: two-way strategic merge: whatever the two are, order of merged lists included."""
    old, new = _without_empty_lists(old), _without_empty_lists(new)
    patch = status_patch(of(**old), of(**new), "uid-1")
    after = msgspec.to_builtins(of(**new))
    if patch is None:
        assert msgspec.to_builtins(of(**old)) == after
    else:
        assert patch["metadata"] == {"uid": "uid-1"}
        assert apply(msgspec.to_builtins(of(**old)), patch["status"]) == after


@given(STATUS)
def test_no_difference_no_request(fields: Any) -> None:
    """6.5: an empty diff is None."""
    assert status_patch(of(**fields), of(**copy.deepcopy(fields)), "uid-1") is None


def test_the_shape_of_a_patch() -> None:
    """6.5: UID as precondition, conditions by type, IPs by ip, container lists whole, removed fields null."""
    old = of(
        phase="Pending",
        reason="R",
        hostIPs=[{"ip": "1.1.1.1"}],
        conditions=[
            {"type": "x/y", "status": "True"},
            {"type": "PodResizePending", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": AT},
        ],
        containerStatuses=[container("a"), container("b")],
    )
    new = of(
        phase="Running",
        hostIPs=[{"ip": "1.1.1.1"}, {"ip": "fd00::1"}],
        conditions=[
            {"type": "x/y", "status": "True"},
            {"type": "Ready", "status": "True", "lastTransitionTime": LATER},
        ],
        containerStatuses=[container("a", ready=True), container("b")],
    )
    assert status_patch(old, new, "uid-1") == {
        "metadata": {"uid": "uid-1"},
        "status": {
            "phase": "Running",
            "reason": None,
            "$setElementOrder/hostIPs": [{"ip": "1.1.1.1"}, {"ip": "fd00::1"}],
            "hostIPs": [{"ip": "fd00::1"}],
            "$setElementOrder/conditions": [{"type": "x/y"}, {"type": "Ready"}],
            "conditions": [
                {"type": "Ready", "status": "True", "reason": None, "lastTransitionTime": LATER},
                {"$patch": "delete", "type": "PodResizePending"},
            ],
            "containerStatuses": [container("a", ready=True), container("b")],
        },
    }


# -- merge -------------------------------------------------------------------------------------------------------------


def conditions(status: PodStatus) -> list[tuple[str, str, str | None]]:
    return [(item.type, item.status, item.reason) for item in status.conditions or []]


def test_others_conditions_and_claims_come_from_the_live_object() -> None:
    """6.5: foreign conditions and claim statuses are the live object's; owned ones are ours (missing ⇒ removed)."""
    api = of(
        conditions=[
            {"type": "x/new", "status": "True"},
            {"type": "PodResizePending", "status": "True"},
            {"type": "Ready", "status": "True"},
        ],
        resourceClaimStatuses=[{"name": "c", "resourceClaimName": "d"}],
        qosClass="Burstable",
        observedGeneration=9,
    )
    own = of(
        phase="Running",
        conditions=[{"type": "x/old", "status": "True"}, {"type": "Ready", "status": "False"}],
        qosClass="BestEffort",
        observedGeneration=3,
    )
    merged = merge_for_patch(api, own)
    assert conditions(merged) == [("x/new", "True", None), ("Ready", "False", None)]
    assert merged.resourceClaimStatuses == api.resourceClaimStatuses
    assert (merged.qosClass, merged.observedGeneration) == ("Burstable", 9)


READY_TRUE = [{"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}]
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}


@pytest.mark.parametrize(
    ("running", "may_run", "phase", "reason"),
    [
        (True, None, "Running", "old"),  # judged by the container statuses
        (False, None, "Failed", "Evicted"),
        (False, True, "Running", "old"),
        (True, False, "Failed", "Evicted"),
    ],
)
def test_a_terminal_phase_is_withheld_while_containers_may_run(
    running: bool, may_run: bool | None, phase: str, reason: str
) -> None:
    """2.3.2: phase, reason and message stay the API's; conditions still flow; DisruptionTarget only with the end (2.5)."""
    state = {"running": {}} if running else ended(1)
    own = of(
        phase="Failed",
        reason="Evicted",
        message="m",
        conditions=[DISRUPTED, *READY_TRUE],
        containerStatuses=[container(state=state, lastState={})],
    )
    merged = merge_for_patch(of(phase="Running", reason="old"), own, containers_may_run=may_run)
    withheld = phase == "Running"
    assert (merged.phase, merged.reason, merged.message) == (phase, reason, None if withheld else "m")
    if withheld:
        assert conditions(merged) == [("Ready", "True", None), ("ContainersReady", "True", None)]
    else:  # 6.2: Ready is forced False with a terminal phase
        assert conditions(merged) == [
            ("DisruptionTarget", "True", "TerminationByKubelet"),
            ("Ready", "False", "PodFailed"),
            ("ContainersReady", "False", "PodFailed"),
        ]
    assert merged.containerStatuses == own.containerStatuses


def test_anothers_disruption_target_is_never_cleared() -> None:
    """6.2: shared: the agent may set, never clears others'."""
    api = of(conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}])
    assert conditions(merge_for_patch(api, of(phase="Running"))) == [
        ("DisruptionTarget", "True", "EvictionByEvictionAPI")
    ]


def test_the_apis_terminal_phase_can_never_be_left() -> None:
    """6.1."""
    assert merge_for_patch(of(phase="Failed"), of(phase="Running")).phase == "Failed"
    assert merge_for_patch(of(phase="Failed"), of(phase="Succeeded")).phase == "Failed"


@given(st.lists(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]), min_size=1))
def test_no_sequence_of_patches_leaves_a_terminal_phase(phases: list[str]) -> None:
    """6.1, for every history of own statuses."""
    api = of()
    for phase in phases:
        before = api.phase
        api = merge_for_patch(api, of(phase=phase))
        if before in ("Succeeded", "Failed"):
            assert api.phase == before


def test_termination_messages_fit_12_kib_a_pod() -> None:
    """6.5: each message ≤ 12288 / number of containers, init and ephemeral ones counted, state and lastState alike."""
    long = "ä" * 9000
    own = of(
        phase="Running",
        initContainerStatuses=[container("i", state=ended(0, long))],
        containerStatuses=[container("a", state=ended(1, "short"), lastState=ended(1, long))],
        ephemeralContainerStatuses=[container("e")],
    )
    merged = msgspec.to_builtins(merge_for_patch(of(), own))
    assert merged["initContainerStatuses"][0]["state"]["terminated"]["message"] == "ä" * 2048
    assert merged["containerStatuses"][0]["state"]["terminated"]["message"] == "short"
    assert merged["containerStatuses"][0]["lastState"]["terminated"]["message"] == "ä" * 2048
    assert own.initContainerStatuses[0].state.terminated.message == long


# -- differs, transitions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, False),
        ({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": LATER}]}, False),
        ({"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 7}]}, False),
        ({"conditions": [{"type": "Ready", "status": "True"}, {"type": "x/y", "status": "True"}]}, False),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, True),
        ({"conditions": [{"type": "Ready", "status": "True", "message": "m"}]}, True),
        ({"conditions": []}, True),
        ({"phase": "Failed"}, True),
        ({"podIP": "1.1.1.1"}, True),
    ],
)
def test_what_counts_as_a_difference(change: Any, expected: bool) -> None:
    """6.5: the conditions' times and generations and foreign conditions do not count."""
    base = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": AT}]}
    assert differs(of(**base), of(**{**base, **change})) is expected


@pytest.mark.parametrize(
    ("policy", "field", "before", "after", "refused"),
    [
        ("Never", "containerStatuses", ended(1), {"running": {}}, True),
        ("Never", "containerStatuses", ended(1), {"waiting": {}}, True),
        ("Never", "containerStatuses", ended(1), ended(2), False),
        ("OnFailure", "containerStatuses", ended(0), {"running": {}}, True),
        ("OnFailure", "containerStatuses", ended(1), {"running": {}}, False),
        ("Always", "containerStatuses", ended(0), {"running": {}}, False),
        ("Never", "containerStatuses", {"running": {}}, {"waiting": {}}, False),
        ("Always", "ephemeralContainerStatuses", ended(0), {"running": {}}, True),
    ],
)
def test_a_container_that_ended_for_good_does_not_come_back(
    kit: Any, policy: str, field: str, before: Any, after: Any, refused: bool
) -> None:
    """6.5: terminated and non-restartable never goes back to waiting or running; ephemeral: never at all."""
    name = "main" if field == "containerStatuses" else "debug"
    pod = kit.pod(ephemeral=["debug"], restartPolicy=policy)
    old, new = (of(**{field: [container(name, state=state)]}) for state in (before, after))
    assert (transition_error(pod, old, new) is not None) is refused


def test_a_rule_that_restarts_all_brings_back_what_ended(kit: Any) -> None:
    """4.6: in a pod with such a rule any container may leave its end, whatever its own policy says."""
    pod = kit.pod(restartPolicy="Never")
    exit_codes = ContainerRestartRuleOnExitCodes(operator="In", values=[42])
    rule = ContainerRestartRule(action="RestartAllContainers", exitCodes=exit_codes)
    trigger = Container(name="trigger", restartPolicy="Never", restartPolicyRules=[rule])
    old, new = (of(containerStatuses=[container("main", state=state)]) for state in (ended(0), {"waiting": {}}))
    assert transition_error(pod, old, new) == (
        "terminated container main attempted illegal transition to non-terminated state"
    )
    pod.spec.containers.append(trigger)
    assert transition_error(pod, old, new) is None


def test_an_empty_state_is_said_as_an_api_says_it() -> None:
    """An API server answers `lastState: {}` where there is none, so what is compared with its answer has that too."""
    own = of(phase="Running", containerStatuses=[container(state={"running": {}})])
    answer = of(phase="Running", containerStatuses=[container(state={"running": {}}, lastState={})])
    assert status_patch(answer, merge_for_patch(answer, own), "u") is None
