"""The status as a whole: docs/facts/pod-lifecycle.md 2.3, 3.1, 5.2 and 6."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import ContainerStatus, PodStatus, ResourceHealth, ResourceRequirements, ResourceStatus

from nodeagent.pods.features.contract import StatusAdditions
from nodeagent.pods.rules.model import Memory, NodeAddresses, PodStage, ProbeResults, StartFailure, Termination
from nodeagent.pods.status.pod import pod_status

AT = "2026-01-02T03:04:05Z"
STARTED = "2026-01-02T03:03:05Z"


def made(kit: Any, pod: Any, seen: Any, memory: Memory | None = None, previous: Any = None, **more: Any) -> PodStatus:
    before = msgspec.convert(previous, PodStatus) if isinstance(previous, dict) else previous
    source = more.pop("source", "api")
    return pod_status(kit.desired(pod, source), seen, memory or kit.no_memory, before, kit.node, kit.now, **more)


def only(found: PodStatus) -> dict[str, Any]:
    """The one regular container's status, as JSON."""
    return msgspec.to_builtins(found.containerStatuses or [])[0]


def old(**fields: Any) -> dict[str, Any]:
    blank = {"name": "main", "image": "busybox", "imageID": "", "ready": False, "restartCount": 0}
    return {"containerStatuses": [{**blank, **fields}]}


def condition(type: str, status: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": type, "status": status, "lastTransitionTime": AT, "observedGeneration": 3, **more}


# -- whole statuses ----------------------------------------------------------------------------------------------------


def test_a_new_pod_before_anything_exists(kit: Any) -> None:
    """6: every field of the first status."""
    unready = {"reason": "ContainersNotReady", "message": "containers with unready status: [main]"}
    pod = kit.pod([{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}])
    assert msgspec.to_builtins(made(kit, pod, kit.observed(sandboxes=()))) == {
        "phase": "Pending",
        "startTime": AT,
        "qosClass": "BestEffort",
        "observedGeneration": 3,
        "hostIP": "192.168.0.1",
        "hostIPs": [{"ip": "192.168.0.1"}],
        "resources": {},
        "conditions": [
            condition("PodReadyToStartContainers", "False"),
            condition("Initialized"),
            condition("Ready", "False", **unready),
            condition("ContainersReady", "False", **unready),
            condition("PodScheduled"),
        ],
        "containerStatuses": [
            {
                "name": "main",
                "image": "busybox",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "started": False,
                "state": {"waiting": {"reason": "ContainerCreating"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }
        ],
    }


def test_a_running_pod(kit: Any) -> None:
    """6: a running pod with requests and a sidecar, order of lists included."""
    main = {"name": "main", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}}
    pod = kit.pod([main, "aaa"], init=["i0", "+side"])
    seen = kit.observed(kit.run("main"), kit.run("aaa"), kit.run("side"), kit.run("i0", "exited"))
    found = msgspec.to_builtins(made(kit, pod, seen, runtime_name="containerd"))
    running = {
        "image": "docker.io/library/busybox:latest",
        "imageID": "sha256:abc",
        "ready": True,
        "restartCount": 0,
        "started": True,
        "state": {"running": {"startedAt": STARTED}},
        "resources": {},
    }
    assert found["containerStatuses"] == [
        {"name": "aaa", "containerID": "containerd://aaa-0", **running},
        {
            **running,
            "name": "main",
            "containerID": "containerd://main-0",
            "allocatedResources": {"cpu": "100m"},
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
        },
    ]
    assert found["initContainerStatuses"] == [
        {
            **running,
            "name": "i0",
            "containerID": "containerd://i0-0",
            "started": False,
            "state": {
                "terminated": {
                    "exitCode": 0,
                    "reason": "Completed",
                    "startedAt": STARTED,
                    "finishedAt": AT,
                    "containerID": "containerd://i0-0",
                }
            },
        },
        {"name": "side", "containerID": "containerd://side-0", **running},
    ]
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    assert found["conditions"] == [condition(type) for type in types]
    assert (found["phase"], found["podIP"], found["podIPs"]) == ("Running", "10.0.0.7", [{"ip": "10.0.0.7"}])
    assert (found["allocatedResources"], found["resources"]) == (
        {"cpu": "100m"},
        {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
    )


def test_a_rejected_pod(kit: Any) -> None:
    """3.1: phase Failed, the reason, `Pod was rejected: `, start time and generation, and nothing else."""
    memory = Memory(rejected=StartFailure(reason="OutOfcpu", message="Node didn't have enough resource: cpu"))
    pod = kit.pod(status={"conditions": [{"type": "PodScheduled", "status": "True"}]})
    assert msgspec.to_builtins(made(kit, pod, kit.observed(sandboxes=()), memory)) == {
        "phase": "Failed",
        "reason": "OutOfcpu",
        "message": "Pod was rejected: Node didn't have enough resource: cpu",
        "startTime": AT,
        "qosClass": "BestEffort",
        "observedGeneration": 3,
    }


# -- 6.1 after the table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("previous", "api", "expected"),
    [
        ({"phase": "Succeeded"}, {}, "Succeeded"),
        ({"phase": "Failed"}, {"phase": "Running"}, "Failed"),
        ({"phase": "Running"}, {"phase": "Failed"}, "Failed"),
        ({"phase": "Failed"}, {"phase": "Succeeded"}, "Succeeded"),  # the API's can never be left
        ({"phase": "Pending"}, {"phase": "Pending"}, "Running"),
    ],
)
def test_a_terminal_phase_is_never_left(kit: Any, previous: Any, api: Any, expected: str) -> None:
    """6.1: the cached or API terminal phase stays; the API's above all."""
    found = made(kit, kit.pod(status=api), kit.observed(kit.run("main")), previous=previous)
    assert found.phase == expected


def test_reason_and_message_stay_with_the_phase(kit: Any) -> None:
    """6.1: preserved while the phase is the same, gone with it."""
    previous = {"phase": "Running", "reason": "R", "message": "M"}
    same = made(kit, kit.pod(), kit.observed(kit.run("main")), previous=previous)
    other = made(kit, kit.pod(), kit.observed(sandboxes=()), previous=previous)
    assert [(item.phase, item.reason, item.message) for item in (same, other)] == [
        ("Running", "R", "M"),
        ("Pending", None, None),
    ]


def test_a_termination_overrides_phase_reason_and_message(kit: Any) -> None:
    """2.5: eviction: Failed with its reason and message, and DisruptionTarget where the request says so."""
    memory = Memory(
        stage=PodStage.TERMINATING,
        termination=Termination(
            grace_seconds=1, reason="Evicted", message="low", failed=True, disruption_message="because"
        ),
    )
    found = made(kit, kit.pod(), kit.observed(kit.run("main")), memory)
    assert (found.phase, found.reason, found.message) == ("Failed", "Evicted", "low")
    assert msgspec.to_builtins(found.conditions)[0] == condition(
        "DisruptionTarget", reason="TerminationByKubelet", message="because"
    )


@pytest.mark.parametrize(
    ("source", "stage", "expected"),
    [
        ("api", PodStage.SYNC, "Running"),
        ("api", PodStage.TERMINATING, "Running"),
        ("api", PodStage.TERMINATED, "Succeeded"),
        ("file", PodStage.TERMINATED, "Running"),
        ("file", PodStage.FINISHED, "Running"),
    ],
)
def test_a_deleted_always_pod_ends_succeeded_when_its_processes_exit_0(
    kit: Any, source: str, stage: PodStage, expected: str
) -> None:
    """6.1, 5a and 1.4: only once it is terminated for good, and never a static pod."""
    seen = kit.observed(kit.run("main", "exited"), sandboxes=(kit.sandbox(ready=False),))
    assert made(kit, kit.pod(), seen, Memory(stage=stage), source=source).phase == expected


# -- 6.3 ---------------------------------------------------------------------------------------------------------------


def test_start_time_is_set_once(kit: Any) -> None:
    """6.3: immutable after the first."""
    times = [
        made(kit, kit.pod(status=api), kit.observed(), memory, previous).startTime
        for api, memory, previous in (
            ({}, Memory(), {}),
            ({}, Memory(start_time=kit.after(-5)), {}),
            ({"startTime": "2026-01-02T03:00:00Z"}, Memory(start_time=kit.after(-5)), {}),
            ({"startTime": "2026-01-02T03:00:00Z"}, Memory(), {"startTime": "2026-01-02T02:00:00Z"}),
        )
    ]
    assert times == [kit.now, kit.after(-5), kit.after(-245), kit.after(-3845)]


@pytest.mark.parametrize(
    ("node", "sandbox", "previous", "expected"),
    [
        (["192.168.0.1"], {"ip": "10.0.0.7"}, {}, ["10.0.0.7"]),
        # one per family, the node's primary family first, canonical text
        (["192.168.0.1"], {"ip": "FD00::0:7", "extra": ("10.0.0.7", "10.0.0.8")}, {}, ["10.0.0.7", "fd00::7"]),
        (["fd00::1"], {"ip": "10.0.0.7", "extra": ("fd00::7",)}, {}, ["fd00::7", "10.0.0.7"]),
        # the last ones are retained after the sandbox stops
        (["192.168.0.1"], {"ready": False}, {"podIPs": [{"ip": "10.0.0.9"}]}, ["10.0.0.9"]),
        (["192.168.0.1"], {"ip": "10.0.0.7"}, {"podIPs": [{"ip": "10.0.0.9"}]}, ["10.0.0.7"]),
    ],
)
def test_pod_ips(kit: Any, node: Any, sandbox: Any, previous: Any, expected: list[str]) -> None:
    """6.3, podIP/podIPs of a pod-network pod."""
    seen = kit.observed(sandboxes=(kit.sandbox(**sandbox),))
    before = msgspec.convert(previous, PodStatus)
    addresses = NodeAddresses(host_ips=tuple(node))
    found = pod_status(kit.desired(kit.pod()), seen, kit.no_memory, before, addresses, kit.now)
    assert ([item.ip for item in found.podIPs or []], found.podIP) == (expected, expected[0])


@pytest.mark.parametrize(
    ("node", "previous", "expected"),
    [
        (("192.168.0.1",), None, ["192.168.0.1"]),
        (("192.168.0.2",), "192.168.0.1", ["192.168.0.1"]),  # immutable once set
        (("192.168.0.2", "fd00::2"), "192.168.0.1", ["192.168.0.1", "fd00::2"]),  # the second family may come later
    ],
)
def test_host_network_ips(kit: Any, node: Any, previous: str | None, expected: list[str]) -> None:
    """6.3: a host-network pod has the node's IPs."""
    before = PodStatus() if previous is None else msgspec.convert({"podIPs": [{"ip": previous}]}, PodStatus)
    seen = kit.observed(sandboxes=(kit.sandbox(host=True),))
    found = pod_status(
        kit.desired(kit.pod(hostNetwork=True)), seen, kit.no_memory, before, NodeAddresses(host_ips=node), kit.now
    )
    assert [item.ip for item in found.podIPs or []] == expected
    assert [item.ip for item in found.hostIPs or []] == list(node)


def test_scalars_that_are_kept(kit: Any) -> None:
    """6.3: qosClass of the API; 6.2: observedGeneration is never lowered."""
    pod = kit.pod(status={"qosClass": "Burstable"})
    found = made(kit, pod, kit.observed(), previous={"observedGeneration": 9})
    assert (found.qosClass, found.observedGeneration) == ("Burstable", 9)


def test_static_pods_conditions_have_no_generation(kit: Any) -> None:
    """6.2: static pods 0."""
    found = made(kit, kit.pod(), kit.observed(kit.run("main")), source="file")
    assert {item.observedGeneration for item in found.conditions or []} == {None}


def test_other_owners_conditions_are_kept(kit: Any) -> None:
    """6.2: foreign conditions come first, as they are in the API, and count as readiness gates."""
    foreign = {"type": "example.com/gate", "status": "True", "lastTransitionTime": AT}
    pod = kit.pod(readinessGates=[{"conditionType": "example.com/gate"}], status={"conditions": [foreign]})
    found = msgspec.to_builtins(made(kit, pod, kit.observed(kit.run("main"))).conditions)
    assert found[0] == foreign
    assert [item["status"] for item in found if item["type"] == "Ready"] == ["True"]


# -- 6.4 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", [(), ("i0",)])
def test_default_waiting_reasons(kit: Any, init: tuple[str, ...]) -> None:
    """5.2: ContainerCreating, or PodInitializing on pods with init containers, for init and regular."""
    found = made(kit, kit.pod(init=init), kit.observed(sandboxes=()))
    listed = [*(found.initContainerStatuses or []), *(found.containerStatuses or [])]
    expected = "PodInitializing" if init else "ContainerCreating"
    assert {item.state.waiting.reason for item in listed} == {expected}


def test_two_instances_give_state_and_last_state(kit: Any) -> None:
    """6.4: newest → state, second newest → lastState."""
    seen = kit.observed(kit.run("main", n=2), kit.run("main", "exited", n=1, exit_code=3, message="bye"))
    found = only(made(kit, kit.pod(), seen))
    assert (found["restartCount"], found["state"], found["lastState"]) == (
        2,
        {"running": {"startedAt": STARTED}},
        {
            "terminated": {
                "exitCode": 3,
                "reason": "Error",
                "message": "bye",
                "startedAt": STARTED,
                "finishedAt": AT,
                "containerID": "nodeagent://main-1",
            }
        },
    )


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        # its id differs from the previous status' id, and that state was terminated: that becomes lastState
        ({"containerID": "nodeagent://main-0", "state": {"terminated": {"exitCode": 4}}}, 4),
        # otherwise the previous lastState is carried over
        (
            {
                "containerID": "nodeagent://main-1",
                "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 5}},
            },
            5,
        ),
        ({"containerID": "nodeagent://main-0", "state": {"running": {}}}, None),
    ],
)
def test_last_state_of_a_single_instance(kit: Any, before: Any, expected: int | None) -> None:
    """6.4, line 2."""
    found = only(made(kit, kit.pod(), kit.observed(kit.run("main", n=1)), previous=old(**before)))
    last = found.get("lastState")
    assert (None if last is None else last["terminated"]["exitCode"]) == expected


@pytest.mark.parametrize(
    ("run", "before", "expected"),
    [
        ({"n": 2}, {"restartCount": 1}, 2),
        ({"n": 2}, {"restartCount": 7}, 7),  # raised to the previous value
        ({"n": 2}, {"restartCount": 2, "state": {"terminated": {"exitCode": 1}}}, 3),
        ({"n": 2}, {"restartCount": 1, "state": {"terminated": {"exitCode": 1}}}, 2),
        ({"n": 2, "state": "exited"}, {"restartCount": 2, "state": {"terminated": {"exitCode": 1}}}, 2),
    ],
)
def test_restart_count(kit: Any, run: Any, before: Any, expected: int) -> None:
    """6.4, restartCount: annotation, raised to the previous value; running after a terminated state counts one more."""
    assert (
        only(made(kit, kit.pod(), kit.observed(kit.run("main", **run)), previous=old(**before)))["restartCount"]
        == expected
    )


@pytest.mark.parametrize(
    ("fields", "results", "expected"),
    [
        ({}, {}, (True, True)),
        ({"startupProbe": {}}, {}, (False, False)),
        ({"startupProbe": {}}, {"started": False}, (False, False)),
        ({"startupProbe": {}}, {"started": True}, (True, True)),
        ({"readinessProbe": {}}, {}, (True, False)),
        ({"readinessProbe": {}}, {"ready": False}, (True, False)),
        ({"readinessProbe": {}}, {"ready": True}, (True, True)),
        ({"startupProbe": {}, "readinessProbe": {}}, {"ready": True}, (False, False)),
        ({"livenessProbe": {}}, {"live": False}, (True, True)),
    ],
)
def test_started_and_ready(kit: Any, fields: Any, results: Any, expected: tuple[bool, bool]) -> None:
    """6.4: started and ready of a running container by its probes, sidecars alike."""
    pod = kit.pod([{"name": "main", **fields}], init=[{"name": "+side", **fields}])
    memory = Memory(probes={name: ProbeResults(**results) for name in ("main-0", "side-0")})
    found = made(kit, pod, kit.observed(kit.run("main"), kit.run("side")), memory)
    listed = [*(found.initContainerStatuses or []), *(found.containerStatuses or [])]
    assert [(item.started, item.ready) for item in listed] == [expected, expected]


@pytest.mark.parametrize("state", ["created", "exited", "unknown"])
def test_what_does_not_run_is_neither_started_nor_ready(kit: Any, state: str) -> None:
    """6.4: `started` false unless running."""
    found = made(kit, kit.pod(), kit.observed(kit.run("main", state)))
    assert [(item.started, item.ready) for item in found.containerStatuses or []] == [(False, False)]


def test_ephemeral_containers_are_never_ready_and_have_no_started(kit: Any) -> None:
    """4.4."""
    found = made(kit, kit.pod(ephemeral=["z", "d"]), kit.observed(kit.run("d"), kit.run("main")))
    assert [(item.name, item.ready, item.started) for item in found.ephemeralContainerStatuses or []] == [
        ("d", False, None),
        ("z", False, None),
    ]


@pytest.mark.parametrize(
    ("fields", "actual", "expected"),
    [
        # overlaid with what the runtime enforces
        ({"cpu": "1"}, {"cpu_quota": 50_000, "cpu_period": 100_000}, {"cpu": "500m"}),
        ({"memory": "64Mi"}, {"memory_limit_in_bytes": 32 << 20}, {"memory": "32Mi"}),
        ({"memory": "65536Ki"}, {"memory_limit_in_bytes": 64 << 20}, {"memory": "65536Ki"}),
        # a CPU limit is ignored when both are at most 10m
        ({"cpu": "5m"}, {"cpu_quota": 1000, "cpu_period": 100_000}, {"cpu": "5m"}),
        ({"cpu": "20m"}, {"cpu_quota": 1000, "cpu_period": 100_000}, {"cpu": "10m"}),
        # nothing is added that was not asked for
        ({}, {"cpu_quota": 50_000, "cpu_period": 100_000}, None),
    ],
)
def test_reported_limits(kit: Any, fields: Any, actual: Any, expected: Any) -> None:
    """6.4, resources of a running container."""
    run = kit.run("main")
    for key, value in actual.items():
        setattr(run.status.resources.linux, key, value)
    pod = kit.pod([{"name": "main", "resources": {"limits": fields}}])
    assert only(made(kit, pod, kit.observed(run)))["resources"].get("limits") == expected


@pytest.mark.parametrize(
    ("request_", "shares", "expected"), [("1", 512, "500m"), ("1m", 2, "1m"), ("250m", 256, "250m"), ("3m", 2, "2m")]
)
def test_reported_requests(kit: Any, request_: str, shares: int, expected: str) -> None:
    """6.4: a CPU request is taken from the shares, unless both are at most 2m; allocated stays what was asked for."""
    run = kit.run("main")
    run.status.resources.linux.cpu_shares = shares
    pod = kit.pod([{"name": "main", "resources": {"requests": {"cpu": request_}}}])
    found = only(made(kit, pod, kit.observed(run)))
    assert (found["resources"], found["allocatedResources"]) == ({"requests": {"cpu": expected}}, {"cpu": request_})


@pytest.mark.parametrize(
    ("run", "replaced", "shown"),
    [
        (("main",), False, "20Mi"),
        (("main", "exited"), True, "20Mi"),  # until its next instance runs nothing new is in force
        (("main", "exited"), False, "30Mi"),
        (("main", "created"), False, "30Mi"),
    ],
)
def test_what_is_allocated_is_not_in_force_yet(kit: Any, run: Any, replaced: bool, shown: str) -> None:
    """4.7: a memory request, of which no runtime tells, shows as changed only when it is; what starts again has the new one."""
    pod = kit.pod([{"name": "main", "resources": {"requests": {"memory": "30Mi"}, "limits": {"memory": "64Mi"}}}])
    in_force = {"main-0": ResourceRequirements(requests={"memory": "20Mi"}, limits={"memory": "64Mi"})}
    memory = Memory(replaced=frozenset({"main-0"} if replaced else ()))
    found = only(
        made(kit, pod, kit.observed(kit.run(*run)), memory, additions=StatusAdditions(container_resources=in_force))
    )
    assert (found["resources"], found["allocatedResources"]) == (
        {"requests": {"memory": shown}, "limits": {"memory": "64Mi"}},
        {"memory": "30Mi"},
    )


def test_how_devices_are(kit: Any) -> None:
    """6.4: of each regular container those that it has; what was known last where nobody has them any more."""
    pod = kit.pod([{"name": "main"}], initContainers=[{"name": "init"}])
    told = (ResourceStatus(name="example.com/d", resources=[ResourceHealth(resourceID="d1", health="Unhealthy")]),)
    found = made(
        kit, pod, kit.observed(kit.run("main")), additions=StatusAdditions(health={"main": told, "init": told})
    )
    assert [status.allocatedResourcesStatus for status in found.initContainerStatuses or ()] == [None]
    assert only(found)["allocatedResourcesStatus"] == [
        {"name": "example.com/d", "resources": [{"resourceID": "d1", "health": "Unhealthy"}]}
    ]
    again = made(kit, pod, kit.observed(kit.run("main", "exited")), previous=found)
    assert only(again)["allocatedResourcesStatus"] == only(found)["allocatedResourcesStatus"]


def test_volume_mounts_and_user(kit: Any) -> None:
    """6.4: volumeMounts from the spec, recursiveReadOnly on read-only ones, then frozen; user from the CRI."""
    mounts = [
        {"name": "a", "mountPath": "/a"},
        {"name": "b", "mountPath": "/b", "readOnly": True},
        {"name": "c", "mountPath": "/c", "readOnly": True, "recursiveReadOnly": "IfPossible"},
    ]
    run = kit.run("main")
    run.status.user.linux.uid, run.status.user.linux.gid = 7, 8
    run.status.user.linux.supplemental_groups.extend([8, 9])
    pod = kit.pod([{"name": "main", "volumeMounts": mounts}])
    first = made(kit, pod, kit.observed(run), recursive_read_only=True)
    expected = [
        {"name": "a", "mountPath": "/a"},
        {"name": "b", "mountPath": "/b", "readOnly": True, "recursiveReadOnly": "Disabled"},
        {"name": "c", "mountPath": "/c", "readOnly": True, "recursiveReadOnly": "Enabled"},
    ]
    assert only(first)["volumeMounts"] == expected
    assert only(first)["user"] == {"linux": {"uid": 7, "gid": 8, "supplementalGroups": [8, 9]}}
    assert only(made(kit, pod, kit.observed(run), previous=first))["volumeMounts"] == expected


# -- 5.2 ---------------------------------------------------------------------------------------------------------------

FAILURE = StartFailure(reason="ImagePullBackOff", message="no such image")
FAILED = Memory(start_failures={"main": FAILURE})
WAITING_FOR_IT = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}


@pytest.mark.parametrize(
    ("policy", "run", "shown"),
    [
        ("Always", None, True),
        ("Always", {"state": "created"}, True),
        ("Always", {"state": "exited"}, True),
        ("Never", {"state": "exited", "exit_code": 1}, False),
        ("Always", {"state": "running"}, False),
    ],
)
def test_failure_reasons_show_on_containers_that_should_be_restarted(
    kit: Any, policy: str, run: Any, shown: bool
) -> None:
    """5.2: only for containers that "should be restarted"; the run that ended moves to lastState."""
    seen = kit.observed(*([kit.run("main", **run)] if run else []))
    found = only(made(kit, kit.pod(restartPolicy=policy), seen, FAILED))
    assert (found["state"] == WAITING_FOR_IT) is shown
    if shown and run == {"state": "exited"}:
        assert found["lastState"]["terminated"]["containerID"] == "nodeagent://main-0"


def test_no_waiting_reason_is_injected_once_the_pod_is_deleted(kit: Any) -> None:
    """5.2."""
    pod = kit.pod(meta={"deletionTimestamp": AT})
    assert only(made(kit, pod, kit.observed(kit.run("main", "created")), FAILED))["state"] == {"waiting": {}}


def test_created_but_not_started_waits_without_a_reason(kit: Any) -> None:
    """5.2."""
    assert only(made(kit, kit.pod(), kit.observed(kit.run("main", "created"))))["state"] == {"waiting": {}}


def test_an_init_container_that_is_done_shows_no_failure(kit: Any) -> None:
    """5.2: an init container with exit code 0 is not started again; a sidecar is."""
    memory = Memory(start_failures={"i0": FAILURE, "side": FAILURE})
    seen = kit.observed(kit.run("side", "exited"), kit.run("i0", "exited"))
    found = msgspec.to_builtins(made(kit, kit.pod(init=["i0", "+side"]), seen, memory).initContainerStatuses)
    assert ["waiting" in item["state"] for item in found] == [False, True]


def test_a_lost_init_record_counts_as_completed_when_regular_containers_ran(kit: Any) -> None:
    """5.2: synthetic Completed."""
    found = made(kit, kit.pod(init=["i0"]), kit.observed(kit.run("main")))
    assert msgspec.to_builtins(found.initContainerStatuses)[0]["state"] == {
        "terminated": {
            "exitCode": 0,
            "reason": "Completed",
            "message": "Unable to get init container status from container runtime and pod has been initialized, "
            "treat it as exited normally",
        }
    }
    assert (found.initContainerStatuses or [])[0].ready is True


def test_an_unknown_state_after_running_counts_as_lost(kit: Any) -> None:
    """5.2: ContainerStatusUnknown, exit 137, one restart more; said again the same the next time."""
    before = old(state={"running": {}}, containerID="nodeagent://main-0", restartCount=2)
    seen = kit.observed(kit.run("main", "unknown"))
    first = made(kit, kit.pod(), seen, previous=before)
    assert (only(first)["state"], only(first)["restartCount"]) == (
        {
            "terminated": {
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": "The container could not be located when the pod was terminated",
            }
        },
        3,
    )
    assert made(kit, kit.pod(), seen, previous=first) == first


@pytest.mark.parametrize(("deleted", "count"), [(False, 3), (True, 2)])
def test_a_container_whose_record_vanished_while_running(kit: Any, deleted: bool, count: int) -> None:
    """5.2: waiting, lastState ContainerStatusUnknown/137, restartCount +1 unless deleted; Running, not Pending."""
    pod = kit.pod(meta={"deletionTimestamp": AT} if deleted else {})
    before = old(state={"running": {}}, containerID="nodeagent://main-2", restartCount=2)
    first = made(kit, pod, kit.observed(), previous=before)
    found = only(first)
    assert (found["state"], found["lastState"], found["restartCount"], first.phase) == (
        {"waiting": {"reason": "ContainerCreating"}},
        {
            "terminated": {
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": "The container could not be located when the pod was deleted.  "
                "The container used to be Running",
            }
        },
        count,
        "Running",
    )
    assert made(kit, pod, kit.observed(), previous=first) == first


def test_a_terminated_container_whose_record_vanished_stays_as_it_was(kit: Any) -> None:
    """6.4: garbage collection of the runtime's record changes nothing."""
    pod = kit.pod(restartPolicy="Never")
    first = made(kit, pod, kit.observed(kit.run("main", "exited", exit_code=2)))
    assert made(kit, pod, kit.observed(), previous=first).containerStatuses == first.containerStatuses


# -- 4.6 ---------------------------------------------------------------------------------------------------------------


def test_restart_all_in_the_status(kit: Any) -> None:
    """4.6: removed containers wait as RestartingAllContainers, lastState the same with 137, restartCount +1, once."""
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    trigger = {"name": "trigger", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    pod = kit.pod(["main", trigger], restartPolicy="Never", init=["i0"])
    ran = kit.observed(kit.run("main", n=1), kit.run("trigger"), kit.run("i0", "exited"))
    before = made(kit, pod, ran)
    removed = kit.observed(kit.run("trigger", "exited", exit_code=42))
    during = made(kit, pod, removed, previous=before)
    again = made(kit, pod, removed, previous=during)
    message = "The container is removed because RestartAllContainers in place"
    main = msgspec.to_builtins(during.containerStatuses)[0]
    assert (main["state"], main["lastState"], main["restartCount"]) == (
        {"waiting": {"reason": "RestartingAllContainers", "message": message}},
        {"terminated": {"exitCode": 137, "reason": "RestartingAllContainers", "message": message}},
        2,
    )
    assert again == during
    said = {item.type: item.status for item in during.conditions or []}
    assert (said["AllContainersRestarting"], said["Initialized"], during.phase) == ("True", "True", "Running")
    over = made(kit, pod, kit.observed(), previous=during)
    assert [item.restartCount for item in over.containerStatuses or []] == [2, 1]
    assert {item.type: item.status for item in over.conditions or []}["AllContainersRestarting"] == "False"


# -- 6.4, final pass ---------------------------------------------------------------------------------------------------

LOST = {
    "terminated": {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
    }
}
FINISHED = Memory(stage=PodStage.FINISHED)


def states(found: list[ContainerStatus] | None) -> list[Any]:
    return [item["state"] for item in msgspec.to_builtins(found or [])]


def test_the_final_pass_ends_a_pod_that_never_started(kit: Any) -> None:
    """6.4, 2.3.4: every regular container without a terminated state; the phase is forced to Failed."""
    found = made(kit, kit.pod(["a", "b"]), kit.observed(sandboxes=()), FINISHED)
    assert (states(found.containerStatuses), found.phase) == ([LOST, LOST], "Failed")


def test_the_final_pass_of_a_pod_that_never_initialized(kit: Any) -> None:
    """6.4: init containers up to the last one that ever started, at least the first; regular ones stay waiting."""
    never = made(kit, kit.pod(init=["i0", "i1"]), kit.observed(sandboxes=()), FINISHED)
    waiting = {"waiting": {"reason": "PodInitializing"}}
    assert (states(never.initContainerStatuses), states(never.containerStatuses), never.phase) == (
        [LOST, waiting],
        [waiting],
        "Failed",
    )
    second = made(kit, kit.pod(init=["i0", "i1", "i2"]), kit.observed(kit.run("i1", "exited", exit_code=1)), FINISHED)
    assert [next(iter(state)) for state in states(second.initContainerStatuses)] == [
        "terminated",
        "terminated",
        "waiting",
    ]


def test_the_final_pass_leaves_what_ended_by_itself(kit: Any) -> None:
    """2.3.4: a pod that succeeded stays Succeeded."""
    found = made(kit, kit.pod(), kit.observed(kit.run("main", "exited")), FINISHED)
    assert (found.phase, (found.containerStatuses or [])[0].state.terminated.exitCode) == ("Succeeded", 0)


def test_static_pods_are_not_forced_to_a_terminal_phase(kit: Any) -> None:
    """1.4."""
    assert made(kit, kit.pod(), kit.observed(sandboxes=()), FINISHED, source="file").phase == "Pending"
