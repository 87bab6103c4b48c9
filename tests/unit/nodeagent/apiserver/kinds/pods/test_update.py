"""What may change about a stored pod, and through which door."""

import copy
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import hooks_for
from nodeagent.apiserver.kinds.pods.update import SPEC_TEXT
from nodeagent.apitypes.encode import read, work_form
from nodeagent.apitypes.schema import struct
from runtimes.kube.field_errors import FieldError

HOOKS = hooks_for("pods")
POD = struct("core.v1.Pod")
TOLERATION = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}


@pytest.fixture
def stored(cluster: Any, new_pod: Any) -> Any:
    """A pod as the server has it: running, with a deadline, a toleration and two containers."""
    pod = new_pod(
        activeDeadlineSeconds=100,
        tolerations=[TOLERATION],
        containers=[{"name": "c", "image": "busybox:1"}, {"name": "d", "image": "busybox:1", "args": ["x"]}],
    )
    HOOKS.prepare_create(pod, cluster.context())
    return pod


def update(cluster: Any, old: Any, new: Any, subresource: str | None = None) -> tuple[Any, list[FieldError]]:
    new, old = read(POD, new).value, work_form(POD, old)
    HOOKS.prepare_update(new, old, cluster.context(), subresource)
    return new, HOOKS.validate_update(new, old, subresource)


def change(pod: Any, **spec: Any) -> Any:
    new = copy.deepcopy(pod)
    for name, value in spec.items():
        if value is None:
            new["spec"].pop(name, None)
        else:
            new["spec"][name] = value
    return new


def test_allowed(cluster: Any, stored: Any) -> None:
    """Images, a shorter deadline, more tolerations, other seconds, and any metadata."""
    new = change(
        stored,
        activeDeadlineSeconds=50,
        tolerations=[
            {**TOLERATION, "tolerationSeconds": 9},
            *stored["spec"]["tolerations"][1:],
            {"operator": "Exists"},
        ],
    )
    new["spec"]["containers"][0]["image"] = "busybox:2"
    new["metadata"]["labels"] = {"a": "b"}
    assert update(cluster, stored, new)[1] == []


def test_spellings_of_absent(cluster: Any, stored: Any) -> None:
    """Writing out what is the case anyway is no change."""
    new = change(stored, hostNetwork=False, nodeSelector={}, hostAliases=[])
    new["spec"]["containers"][0].update({"tty": False, "command": [], "workingDir": ""})
    assert update(cluster, stored, new)[1] == []


def test_other_fields(cluster: Any, stored: Any) -> None:
    """Any other change is Forbidden, and the difference is shown."""
    new = change(stored, hostNetwork=True)
    new["spec"]["containers"][1]["args"] = ["y"]
    errors = update(cluster, stored, new)[1]
    assert [str(error) for error in errors] == [
        f"spec: Forbidden: {SPEC_TEXT}\n"
        '- containers[1].args[0]: "x"\n+ containers[1].args[0]: "y"\n'
        "- hostNetwork: null\n+ hostNetwork: true"
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": []}, "spec.containers: Forbidden: pod updates may not add or remove containers"),
        ({"activeDeadlineSeconds": 101}, "Invalid value: 101: must be less than or equal to previous value"),
        ({"activeDeadlineSeconds": None}, "must not update from a positive integer to nil value"),
        (
            {"tolerations": []},
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ),
        (
            {"schedulingGates": [{"name": "x"}]},
            "spec.schedulingGates[0]: Forbidden: only deletion is allowed, but found new scheduling gate 'x'",
        ),
        ({"terminationGracePeriodSeconds": 5}, SPEC_TEXT),
    ],
)
def test_refused(cluster: Any, stored: Any, spec: Any, expected: str) -> None:
    """Each rule about a changeable field has its own text."""
    errors = update(cluster, stored, change(stored, **spec))[1]
    assert any(expected in str(error) for error in errors)


def test_deadline_may_be_set_later(cluster: Any, stored: Any) -> None:
    """A pod without a deadline may get one."""
    old = change(stored, activeDeadlineSeconds=None)
    assert update(cluster, old, stored)[1] == []


def test_gated_pods_may_be_narrowed(cluster: Any, stored: Any) -> None:
    """While a gate holds a pod back, its selector may grow; afterwards not."""
    old = change(stored, schedulingGates=[{"name": "x"}], nodeSelector={"a": "b"})
    narrowed = change(old, schedulingGates=[], nodeSelector={"a": "b", "c": "d"})
    assert update(cluster, old, narrowed)[1] == []
    assert update(cluster, old, change(old, nodeSelector={"a": "x"}))[1] != []
    assert update(cluster, narrowed, change(narrowed, nodeSelector={"a": "b", "c": "d", "e": "f"}))[1] != []


def test_mirror_annotation(cluster: Any, stored: Any) -> None:
    """It neither comes nor goes."""
    mirror = copy.deepcopy(stored)
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "h"}
    mirror["spec"]["nodeName"] = "n"
    plain = change(stored, nodeName="n")
    path = "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: "
    assert [str(e) for e in update(cluster, plain, mirror)[1]] == [path + "may not add mirror pod annotation"]
    assert [str(e) for e in update(cluster, mirror, plain)[1]] == [
        path + "may not remove or update mirror pod annotation"
    ]


def test_status(cluster: Any, stored: Any) -> None:
    """A status update keeps the QoS class, and refuses phases, addresses and restarts that cannot be."""
    new = copy.deepcopy(stored)
    new["status"] = {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "message": None}
    written, errors = update(cluster, stored, new, "status")
    assert errors == []
    assert written["status"] == {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "qosClass": "BestEffort"}
    new["status"] = {"phase": "Flying", "podIPs": [{"ip": "x"}], "qosClass": "Guaranteed"}
    assert [error.field for error in update(cluster, stored, new, "status")[1]] == [
        "status.phase",
        "status.qosClass",
        "status.podIPs[0]",
    ]


@pytest.mark.parametrize(
    ("policy", "code", "refused"),
    [("Always", 1, False), ("Never", 0, True), ("OnFailure", 0, True), ("OnFailure", 1, False)],
)
def test_status_of_ended_containers(cluster: Any, stored: Any, policy: str, code: int, refused: bool) -> None:
    """A container that will not run again cannot be reported as running."""
    old = change(stored, restartPolicy=policy)
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": code}}}]
    new = copy.deepcopy(old)
    new["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    expected = ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    assert [str(error) for error in update(cluster, old, new, "status")[1]] == (expected if refused else [])


def test_ended_containers_that_may_come_back(cluster: Any, stored: Any) -> None:
    """A rule that restarts all containers lets every one of them run again; an ephemeral container never does."""
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    watcher = {"name": "w", "image": "x", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    old = change(stored, restartPolicy="Never", initContainers=[watcher])
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]
    old["status"]["ephemeralContainerStatuses"] = [{"name": "e", "state": {"terminated": {"exitCode": 0}}}]
    new = copy.deepcopy(old)
    new["status"]["containerStatuses"] = [{"name": "c", "state": {"waiting": {}}}]
    assert update(cluster, old, new, "status")[1] == []
    new["status"]["ephemeralContainerStatuses"] = [{"name": "e", "state": {"running": {}}}]
    assert [str(error) for error in update(cluster, old, new, "status")[1]] == [
        "status.ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


def test_ephemeral_containers(cluster: Any, stored: Any) -> None:
    """Debug containers are added through their own door; nothing else passes there, none is changed or removed."""
    new = change(stored, ephemeralContainers=[{"name": "e", "image": "x", "targetContainerName": "c"}], hostPID=True)
    written, errors = update(cluster, stored, new, "ephemeralcontainers")
    assert errors == []
    assert "hostPID" not in written["spec"]
    assert written["spec"]["ephemeralContainers"][0]["imagePullPolicy"] == "Always"
    gone = change(written, ephemeralContainers=[])
    assert [str(error) for error in update(cluster, written, gone, "ephemeralcontainers")[1]] == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed'
    ]
    changed = change(written, ephemeralContainers=[{"name": "e", "image": "y"}])
    assert [str(error) for error in update(cluster, written, changed, "ephemeralcontainers")[1]] == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed'
    ]
    bad = {
        "name": "e",
        "image": "x",
        "ports": [{"containerPort": 1}],
        "resources": {"limits": {"cpu": "1"}},
        "targetContainerName": "q",
    }
    path = "spec.ephemeralContainers[0]"
    assert [
        str(error)
        for error in update(cluster, stored, change(stored, ephemeralContainers=[bad]), "ephemeralcontainers")[1]
    ] == [
        f"{path}.ports: Forbidden: cannot be set for an Ephemeral Container",
        f"{path}.resources: Forbidden: cannot be set for an Ephemeral Container",
        f'{path}.targetContainerName: Not found: "q"',
    ]


def sized(cpu: str, **more: str) -> Any:
    return {"limits": {"cpu": cpu, "memory": "1Gi", **more}, "requests": {"cpu": cpu, "memory": "1Gi", **more}}


def test_resize(cluster: Any, new_pod: Any) -> None:
    """The resize door takes CPU and memory of containers, and nothing that changes the QoS class."""
    old = new_pod(containers=[{"name": "c", "image": "x", "resources": sized("1")}])
    HOOKS.prepare_create(old, cluster.context())
    new = copy.deepcopy(old)
    new["spec"]["containers"][0].update({"resources": sized("2"), "image": "y"})
    written, errors = update(cluster, old, new, "resize")
    assert errors == []
    assert written["spec"]["containers"][0]["resources"] == sized("2")
    assert written["spec"]["containers"][0]["image"] == "x"
    assert written["status"] == old["status"]

    def refused(resources: Any) -> list[str]:
        asked = copy.deepcopy(old)
        asked["spec"]["containers"][0]["resources"] = resources
        return [str(error) for error in update(cluster, old, asked, "resize")[1]]

    burstable = {**sized("1"), "requests": {"cpu": "500m", "memory": "1Gi"}}
    assert refused(burstable) == [
        'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'
    ]
    assert "spec: Forbidden: only cpu and memory resources are mutable" in refused(
        sized("1", **{"ephemeral-storage": "1Gi"})
    )
    removed = refused({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})
    assert "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed" in removed


def test_resize_needs_a_node_that_reports_resources(cluster: Any, new_pod: Any) -> None:
    """A node that does not say what its containers have cannot resize them."""
    old = new_pod(containers=[{"name": "c", "image": "x", "resources": sized("1")}])
    HOOKS.prepare_create(old, cluster.context())
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["resources"] = sized("2")
    assert [str(error) for error in update(cluster, old, new, "resize")[1]] == [
        "spec: Forbidden: Pod running on node without support for resize"
    ]


def test_a_resize_needs_what_the_node_has_declared(cluster: Any, new_pod: Any) -> None:
    """Pod-level resources and plain init containers want a node that can; nothing may exceed what the node has."""
    old = new_pod(
        containers=[{"name": "c", "image": "x", "resources": {"requests": {"cpu": "1"}}}],
        initContainers=[{"name": "i", "image": "x", "resources": {"requests": {"cpu": "1"}}}],
        nodeName="n",
    )
    HOOKS.prepare_create(old, cluster.context())
    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"}}}
    cluster.put("nodes", node)

    def asked(kind: str, cpu: str) -> Any:
        new = copy.deepcopy(old)
        new["spec"][kind][0]["resources"] = {"requests": {"cpu": cpu}}
        return new

    with pytest.raises(
        ApiError, match="pod update requires features InPlacePodVerticalScalingInitContainers which are"
    ):
        update(cluster, old, asked("initContainers", "1500m"), "resize")
    with pytest.raises(ApiError, match="enough allocatable resources: cpu, requested: 3000, allocatable: 2000"):
        update(cluster, old, asked("containers", "3"), "resize")
    assert update(cluster, old, asked("containers", "2"), "resize")[1] == []
    renamed = asked("containers", "2")
    renamed["spec"]["containers"][0]["name"] = "d"
    with pytest.raises(ApiError, match="containers may not be renamed or reordered on resize"):
        update(cluster, old, renamed, "resize")
