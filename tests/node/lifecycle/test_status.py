"""What a pod's status says, and why a container waits, on a real node (docs/facts/pod-lifecycle.md 5 and 6)."""

import json
from typing import Any

import pytest
from node_under_test import DEMO_IMAGE, NodeUnderTest
from pods_under_test import (
    conditions,
    container,
    field,
    finished,
    make_pod,
    shell,
    state_of,
    status_of,
    tells_of,
    told,
    waits_for,
)

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("lifecycle-status")]

GATE = "example.com/ready"
ORDER = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
NON_ROOT = {"securityContext": {"runAsNonRoot": True}}


@pytest.fixture(scope="module", autouse=True)
def pods(node: NodeUnderTest) -> None:
    """All pods of this file, begun at once."""
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}}
    missing_map = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k"}}}]
    missing_key = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "present", "key": "k"}}}]
    missing_secret = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k"}}}]
    volume = {"name": "v", "mountPath": "/v", "readOnly": True}
    using = container("c", resources={"claims": [{"name": "gpu"}]})
    node.kubectl("create", "configmap", "present", "--from-literal=other=x")
    node.apply(
        make_pod(
            "whole",
            container(
                "c", resources=resources, volumeMounts=[volume], securityContext={"runAsUser": 1234, "runAsGroup": 5}
            ),
            volumes=[{"name": "v", "emptyDir": {}}],
            securityContext={"supplementalGroups": [77]},
        ),
        make_pod("gated", container("c"), readinessGates=[{"conditionType": GATE}]),
        make_pod("edited", container("c")),
        make_pod("failing", shell("good", "exit 0"), shell("bad", "exit 9"), restartPolicy="Never"),
        make_pod("crashing", shell("c", "exit 3")),
        make_pod("no-map", container("c", env=missing_map)),
        make_pod("no-key", container("c", env=missing_key)),
        make_pod("no-secret", container("c", env=missing_secret)),
        make_pod("never", container("c", imagePullPolicy="Never") | {"image": "localhost/absent:1"}),
        make_pod("bad-name", container("c") | {"image": "localhost/demo:!"}),
        make_pod("root", container("c", **NON_ROOT)),
        make_pod("zero", container("c", securityContext={"runAsNonRoot": True, "runAsUser": 0})),
        make_pod("no-program", container("c", "/no/such/program")),
        make_pod(
            "too-big", shell("c", "tail /dev/zero", resources={"limits": {"memory": "16Mi"}}), restartPolicy="Never"
        ),
        # bound past the scheduler, which would wait for their claims itself
        make_pod("claims", using, nodeName=node.name, resourceClaims=[{"name": "gpu", "resourceClaimName": "one"}]),
        make_pod(
            "template", using, nodeName=node.name, resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "some"}]
        ),
        make_pod("waits-for-init", container("c"), initContainers=[container("i")]),
    )


def test_a_running_pod(node: NodeUnderTest) -> None:
    """Conditions in the kubelet's order with their generation; addresses, QoS, resources, user and mounts of the container."""
    pod = node.running("whole")
    status, mine = pod["status"], status_of(pod)
    assert [item["type"] for item in status["conditions"]] == ORDER
    assert {(item["status"], item.get("observedGeneration")) for item in status["conditions"]} == {("True", 1)}
    assert (status["observedGeneration"], status["qosClass"]) == (1, "Guaranteed")
    assert status["podIPs"][0] == {"ip": status["podIP"]}
    assert status["hostIPs"][0] == {"ip": status["hostIP"]}
    assert status["startTime"] <= mine["state"]["running"]["startedAt"]
    wanted = {"cpu": "10m", "memory": "16Mi"}
    assert mine["allocatedResources"] == mine["resources"]["requests"] == mine["resources"]["limits"] == wanted
    assert mine["user"] == {"linux": {"uid": 1234, "gid": 5, "supplementalGroups": [5, 77]}}
    assert mine["volumeMounts"] == [
        {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Disabled"},
    ]
    assert (mine["ready"], mine["started"], mine["restartCount"], mine["image"]) == (True, True, 0, DEMO_IMAGE)
    assert mine["imageID"].startswith("localhost/demo@sha256:")


def test_readiness_gates(node: NodeUnderTest) -> None:
    """The pod is not ready until somebody says so in its status; that condition is left as it was written."""
    pod = node.pod_when("gated", lambda found: conditions(found).get("ContainersReady", ("",))[0] == "True")
    text = f'corresponding condition of pod readiness gate "{GATE}" does not exist.'
    assert conditions(pod)["Ready"] == ("False", "ReadinessGatesNotReady", text)
    given = {"type": GATE, "status": "True", "reason": "Said", "message": "so"}
    patch_status(node, "gated", {"conditions": [given]})
    pod = node.pod_when("gated", lambda found: conditions(found)["Ready"][0] == "True")
    assert conditions(pod)[GATE] == ("True", "Said", "so")
    patch_status(node, "gated", {"conditions": [given | {"status": "False"}]})
    pod = node.pod_when("gated", lambda found: conditions(found)["Ready"][0] == "False")
    text = f'the status of pod readiness gate "{GATE}" is not "True", but False'
    assert conditions(pod)["Ready"] == ("False", "ReadinessGatesNotReady", text)


def test_what_the_agent_owns_is_put_right(node: NodeUnderTest) -> None:
    """An edit of a field that the agent owns is taken back; a condition of somebody else's stays."""
    before = node.running("edited")["status"]
    foreign = {"type": "example.com/other", "status": "True"}
    patch_status(node, "edited", {"podIP": "192.0.2.99", "podIPs": [{"ip": "192.0.2.99"}], "conditions": [foreign]})
    pod = node.pod_when("edited", lambda found: found["status"]["podIP"] == before["podIP"])
    assert pod["status"]["podIPs"] == before["podIPs"]
    assert conditions(pod)["example.com/other"] == ("True", "", "")


def test_a_pod_that_has_failed(node: NodeUnderTest) -> None:
    """One container with an error is enough; the conditions say that the pod has failed, each state tells its own end."""
    pod = node.pod_when("failing", finished)
    assert pod["status"]["phase"] == "Failed"
    assert {kind: conditions(pod)[kind] for kind in ("Initialized", "Ready", "ContainersReady")} == {
        "Initialized": ("True", "", ""),
        "Ready": ("False", "PodFailed", ""),
        "ContainersReady": ("False", "PodFailed", ""),
    }
    assert state_of(pod, "good") == ("terminated", "Completed", 0)
    assert state_of(pod, "bad") == ("terminated", "Error", 9)


def test_crash_back_off(node: NodeUnderTest) -> None:
    """The message has the time, the container and the pod with its UID; the last state has the exit; the event is told."""
    pod = node.pod_when("crashing", waits_for("CrashLoopBackOff"))
    shown = f"crashing_default({pod['metadata']['uid']})"
    _, _, message = state_of(pod)
    assert message.startswith("back-off ")
    assert message.endswith(f"s restarting failed container=c pod={shown}")
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 3
    event = ("Warning", "BackOff", f"Back-off restarting failed container c in pod {shown}", field("c"))
    tells_of(node, "crashing", event)


WAITS = {
    "no-map": ("CreateContainerConfigError", 'configmap "absent" not found'),
    "no-key": ("CreateContainerConfigError", "couldn't find key k in ConfigMap default/present"),
    "no-secret": ("CreateContainerConfigError", 'secret "absent" not found'),
    "never": ("ErrImageNeverPull", 'Container image "localhost/absent:1" is not present with pull policy of Never'),
}


@pytest.mark.parametrize("name", WAITS)
def test_why_a_container_waits(node: NodeUnderTest, name: str) -> None:
    """Reason and message are the kubelet's, and so is the event."""
    reason, message = WAITS[name]
    pod = node.pod_when(name, waits_for(reason))
    assert state_of(pod) == ("waiting", reason, message)
    told_as = reason if reason == "ErrImageNeverPull" else message
    tells_of(node, name, ("Warning", "Failed", f"Error: {told_as}", field("c")))


def test_an_image_name_that_is_none(node: NodeUnderTest) -> None:
    """InvalidImageName, with the name in the message."""
    pod = node.pod_when("bad-name", waits_for("InvalidImageName"))
    name = "localhost/demo:!"
    parsed = f'couldn\'t parse image name "{name}": invalid reference format'
    assert state_of(pod)[2] == f'Failed to apply default image tag "{name}": {parsed}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("root", "container has runAsNonRoot and image will run as root"),
        ("zero", "container's runAsUser breaks non-root policy"),
    ],
)
def test_who_must_not_be_root(node: NodeUnderTest, name: str, text: str) -> None:
    """The words are the kubelet's, with the pod and its UID."""
    pod = node.pod_when(name, waits_for("CreateContainerConfigError"))
    assert state_of(pod)[2] == f'{text} (pod: "{name}_default({pod["metadata"]["uid"]})", container: c)'


def test_a_program_that_is_not_there(node: NodeUnderTest) -> None:
    """The start fails with the runtime's words, and is tried again with back-off."""
    pod = node.pod_when("no-program", waits_for("CrashLoopBackOff", "RunContainerError"))
    last: dict[str, Any] = status_of(pod)["lastState"].get("terminated") or {}
    assert (last.get("reason"), last.get("exitCode")) == ("StartError", 128)
    assert "no such file" in last["message"]


def test_out_of_memory(node: NodeUnderTest) -> None:
    """OOMKilled, with 137."""
    assert state_of(node.pod_when("too-big", finished)) == ("terminated", "OOMKilled", 137)


def test_what_waits_for_an_init_container(node: NodeUnderTest) -> None:
    """PodInitializing; the pod is Pending and says which containers it waits for."""
    pod = node.pod_when("waits-for-init", lambda found: "running" in status_of(found, "i").get("state", {}))
    assert state_of(pod) == ("waiting", "PodInitializing", "")
    assert pod["status"]["phase"] == "Pending"
    assert conditions(pod)["Initialized"] == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [i]",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [("claims", "fetch ResourceClaim one: "), ("template", 'pod "default/template": ResourceClaim not created yet')],
)
def test_a_pod_waits_for_its_resource_claims(node: NodeUnderTest, name: str, reason: str) -> None:
    """Pending, with nothing made for it, and upstream's event, until it is deleted; then it is gone. A pod whose status says that
    no claim was needed runs."""
    message = node.event_when(name, "FailedPrepareDynamicResources")
    assert message.startswith(f"Failed to prepare dynamic resources: prepare dynamic resources: {reason}")
    pod = node.pod(name)
    assert (pod["status"]["phase"], state_of(pod)) == ("Pending", ("waiting", "ContainerCreating", ""))
    assert conditions(pod)["PodReadyToStartContainers"][0] == "False"
    reasons = {event[1] for event in told(node, name)} - {"FailedResourceClaimCreation"}  # the template is not there
    assert reasons == {"FailedPrepareDynamicResources"}
    if name == "template":
        patch_status(node, name, {"resourceClaimStatuses": [{"name": "gpu"}]})
        node.running(name)
    node.kubectl("delete", "pod", name, "--grace-period=1")
    assert "NotFound" in node.kubectl("get", "pod", name, check=False)


def patch_status(node: NodeUnderTest, name: str, status: dict[str, Any]) -> None:
    node.kubectl("patch", "pod", name, "--subresource=status", "--type=strategic", "-p", json.dumps({"status": status}))
