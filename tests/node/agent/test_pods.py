"""Pods on a whole node: the real agent, API, runc, conmon, CNI plugins and kubectl."""

import http.client
import json
from typing import Any

import pytest
import yaml
from node_under_test import NodeUnderTest, eventually, is_ready, pod_object, restart_count

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-pods")]


def fetch(host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def container(pod: dict[str, Any], index: int = 0) -> dict[str, Any]:
    status: dict[str, Any] = pod["status"]["containerStatuses"][index]
    return status


def test_a_web_server_is_reached_by_pod_ip_and_by_host_port(node: NodeUnderTest) -> None:
    """A pod has an IP of its own, reachable from the node, from another pod, and through its hostPort on any address."""
    port = 20000 + node.port % 10000
    serve = ("httpd", "-f", "-p", "80", "-h", "/www")
    node.apply(pod_object("web", *serve, ports=[{"containerPort": 80, "hostPort": port}]))
    pod = node.running("web")
    ip = pod["status"]["podIP"]
    assert pod["status"]["podIPs"] == [{"ip": ip}]
    page = "<!doctype html><title>nodeagent</title><h1>It runs.</h1>\n"
    assert fetch(ip, 80) == page
    assert fetch("127.0.0.1", port) == page
    assert fetch(pod["status"]["hostIP"], port) == page
    node.apply(pod_object("client", "sh", "-c", f"wget -q -O - http://{ip}/", restartPolicy="Never"))
    node.pod_when("client", lambda found: found["status"]["phase"] == "Succeeded")
    assert node.container_log("client", "c") == page.strip()


def test_a_container_that_runs_out_of_memory_is_restarted(node: NodeUnderTest) -> None:
    """OOMKilled with exit code 137 is told, and the container comes back under the restart policy, with back-off."""
    node.apply(pod_object("oom", "sh", "-c", "tail /dev/zero", resources={"limits": {"memory": "16Mi"}}))
    pod = node.pod_when("oom", lambda found: restart_count(found) >= 1)
    ended = container(pod)["lastState"].get("terminated") or container(pod)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    waiting = node.pod_when("oom", lambda found: "waiting" in container(found)["state"])
    assert container(waiting)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert node.event_when("oom", "BackOff").startswith("Back-off restarting failed container c in pod oom_default(")


def test_exit_codes_and_signals_decide_the_phase(node: NodeUnderTest) -> None:
    """restartPolicy Never: exit 0 is Succeeded, anything else Failed, with code and reason in the status."""
    node.apply(
        pod_object("good", "true", restartPolicy="Never"),
        pod_object("bad", "sh", "-c", "exit 7", restartPolicy="Never"),
        pod_object("killed", "sh", "-c", "kill -9 $$$$; sleep 60", restartPolicy="Never", hostPID=True),
    )
    assert node.pod_when("good", lambda found: found["status"]["phase"] == "Succeeded")
    bad = node.pod_when("bad", lambda found: found["status"]["phase"] == "Failed")
    assert container(bad)["state"]["terminated"]["exitCode"] == 7
    assert container(bad)["state"]["terminated"]["reason"] == "Error"
    killed = node.pod_when("killed", lambda found: found["status"]["phase"] == "Failed")
    assert container(killed)["state"]["terminated"]["exitCode"] == 137


def test_init_containers_run_in_order_before_the_others(node: NodeUnderTest) -> None:
    """Each init container ends before the next begins; a sidecar stays; what they wrote is there."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    pod = pod_object(
        "ordered",
        "sh",
        "-c",
        "cat /data/order; test -e /data/sidecar && echo with sidecar",
        volumeMounts=mounts,
        restartPolicy="Never",
        volumes=[{"name": "data", "emptyDir": {}}],
    )
    image = pod["spec"]["containers"][0]["image"]
    pod["spec"]["initContainers"] = [
        {"name": "one", "image": image, "command": ["sh", "-c", "echo one >> /data/order"], "volumeMounts": mounts},
        {
            "name": "side",
            "image": image,
            "restartPolicy": "Always",
            "command": ["sh", "-c", "trap 'exit 0' TERM; touch /data/sidecar; sleep 1000 & wait"],
            "volumeMounts": mounts,
        },
        {"name": "two", "image": image, "command": ["sh", "-c", "echo two >> /data/order"], "volumeMounts": mounts},
    ]
    node.apply(pod)
    node.pod_when("ordered", lambda found: found["status"]["phase"] == "Succeeded")
    assert node.container_log("ordered", "c") == "one\ntwo\nwith sidecar"


def test_configuration_reaches_the_container(node: NodeUnderTest) -> None:
    """env, envFrom, downward API, config map and secret volumes, command expansion, working directory, termination message."""
    node.kubectl("create", "configmap", "settings", "--from-literal=COLOUR=blue", "--from-literal=file.txt=from a file")
    node.kubectl("create", "secret", "generic", "keys", "--from-literal=token=s3cret")
    script = (
        "echo $COLOUR $TOKEN $NAME $CPU; cat /etc/settings/file.txt; echo; cat /etc/keys/token; echo; pwd; "
        "stat -c %a /etc/keys/..data/token; grep -c kubernetes.io /proc/mounts > /dev/null; printf done > /dev/termination-log"
    )
    pod = pod_object(
        "configured",
        "sh",
        "-c",
        script,
        restartPolicy="Never",
        env=[
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        ],
        envFrom=[{"configMapRef": {"name": "settings"}}],
        resources={"limits": {"cpu": "250m"}},
        volumeMounts=[{"name": "s", "mountPath": "/etc/settings"}, {"name": "k", "mountPath": "/etc/keys"}],
        volumes=[
            {"name": "s", "configMap": {"name": "settings"}},
            {"name": "k", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        ],
    )
    pod["spec"]["containers"][0]["workingDir"] = "/tmp"
    node.apply(pod)
    ended = node.pod_when("configured", lambda found: found["status"]["phase"] == "Succeeded")
    assert node.container_log("configured", "c").splitlines() == [
        "blue s3cret configured 250",
        "from a file",
        "s3cret",
        "/tmp",
        "400",
    ]
    assert container(ended)["state"]["terminated"]["message"] == "done"


def test_a_missing_config_map_is_told_and_waited_for(node: NodeUnderTest) -> None:
    """A pod whose config map is missing says so, and starts when it is there."""
    node.apply(pod_object("patient", "sleep", "1000", envFrom=[{"configMapRef": {"name": "later"}}]))
    pod = node.pod_when(
        "patient",
        lambda found: (
            found["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {}).get("reason")
            == "CreateContainerConfigError"
        ),
    )
    assert container(pod)["state"]["waiting"]["message"] == 'configmap "later" not found'
    node.kubectl("create", "configmap", "later", "--from-literal=a=b")
    node.running("patient")


def test_an_image_that_cannot_be_pulled_backs_off(node: NodeUnderTest) -> None:
    """ErrImagePull with the registry's answer, then ImagePullBackOff; the pod stays Pending."""
    node.apply(pod_object("noimage", image="127.0.0.1:1/nothing:1"))
    pod = node.pod_when(
        "noimage",
        lambda found: (
            found["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {}).get("reason")
            == "ImagePullBackOff"
        ),
    )
    assert pod["status"]["phase"] == "Pending"
    message = container(pod)["state"]["waiting"]["message"]
    assert message.startswith('Back-off pulling image "127.0.0.1:1/nothing:1": ErrImagePull: ')
    assert "connection refused" in message
    failures = [text for reason, text in node.events("noimage") if reason == "Failed"]
    assert "Error: ErrImagePull" in failures


def test_a_runtime_class_that_went_away_is_named_with_the_handlers_that_exist(node: NodeUnderTest) -> None:
    """A pod whose class is deleted between its admission and its start stays Pending, and its event tells the class and the
    node's handlers; a new pod of that class is refused."""
    kind = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass"}
    node.apply({**kind, "metadata": {"name": "nope"}, "handler": "runc"})
    node.apply(pod_object("classless", runtimeClassName="nope", schedulingGates=[{"name": "test/wait"}]))
    node.kubectl("delete", "runtimeclass", "nope")
    late = yaml.safe_dump(pod_object("late", runtimeClassName="nope"))
    refused = node.kubectl("apply", "-f", "-", stdin=late, check=False)
    assert 'pods "late" is forbidden: pod rejected: RuntimeClass "nope" not found' in refused
    node.kubectl(
        "patch", "pod", "classless", "--type=json", "-p", '[{"op": "remove", "path": "/spec/schedulingGates"}]'
    )
    message = node.event_when("classless", "FailedCreatePodSandBox")
    assert message.startswith('Failed to create pod sandbox: RuntimeClass "nope" not found; handlers of this node: ')
    assert "runc" in message
    assert node.pod("classless")["status"]["phase"] == "Pending"


def test_a_program_that_is_not_there_is_told(node: NodeUnderTest) -> None:
    """A container whose program does not exist: the runtime's words are in its status, others are unharmed."""
    node.apply(pod_object("noprogram", "/no/such/program"))
    pod = node.pod_when(
        "noprogram",
        lambda found: (
            "waiting" in found["status"].get("containerStatuses", [{}])[0].get("state", {})
            and found["status"]["containerStatuses"][0]["state"]["waiting"].get("reason", "ContainerCreating")
            != "ContainerCreating"
        ),
    )
    assert container(pod)["state"]["waiting"]["reason"] in (
        "RunContainerError",
        "CreateContainerError",
        "CrashLoopBackOff",
    )
    message = node.event_when("noprogram", "Failed")
    assert "no such file" in message


def test_limits_are_in_the_kernels_files(node: NodeUnderTest) -> None:
    """A container's and its pod's cgroups carry CPU shares, quota and memory limit."""
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    node.apply(pod_object("limited", "sleep", "1000", resources=resources))
    pod = node.running("limited")
    from pathlib import Path

    uid, container_id = pod["metadata"]["uid"], container(pod)["containerID"].split("://")[1]
    top = f"{node.cgroup.lstrip('/')}/kubepods/burstable/pod{uid}"
    memory, cpu = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/cpu")
    for cgroup in (top, f"{top}/{container_id}"):
        assert (memory / cgroup / "memory.limit_in_bytes").read_text() == f"{64 * 2**20}\n"
        assert (cpu / cgroup / "cpu.cfs_quota_us").read_text() == "20000\n"
        assert (cpu / cgroup / "cpu.shares").read_text() == "102\n"
    assert pod["status"]["qosClass"] == "Burstable"


def test_deletion_lets_the_container_end_by_itself(node: NodeUnderTest) -> None:
    """SIGTERM first: a container that handles it ends with its own exit code, well before the grace period is over."""
    script = "trap 'echo bye; exit 5' TERM; echo ready; while true; do sleep 0.1; done"
    node.apply(pod_object("polite", "sh", "-c", script, terminationGracePeriodSeconds=300))
    node.running("polite")
    eventually(lambda: "ready" in node.container_log("polite", "c"), "trap is set")
    node.kubectl("delete", "pod", "polite", timeout=120)
    assert "NotFound" in node.kubectl("get", "pod", "polite", check=False)


def test_two_runtimes_run_side_by_side(node: NodeUnderTest) -> None:
    """RuntimeClass handlers choose the runtime: crun and gVisor pods beside runc's, each with an IP, gVisor's its own kernel."""
    for name in ("crun", "gvisor"):
        node.apply(
            {
                "apiVersion": "node.k8s.io/v1",
                "kind": "RuntimeClass",
                "metadata": {"name": name},
                "handler": name,
            }
        )
        node.apply(pod_object(f"on-{name}", "sh", "-c", "cat /proc/version; sleep 1000", runtimeClassName=name))
    ips = {node.running(f"on-{name}")["status"]["podIP"] for name in ("crun", "gvisor")}
    assert len(ips) == 2
    assert container(node.pod("on-crun"))["containerID"].startswith("crun://")
    eventually(lambda: node.container_log("on-gvisor", "c"), "gVisor's log")
    assert node.container_log("on-gvisor", "c").startswith("Linux version 4.4.0")


def test_the_node_object_tells_what_the_node_is(node: NodeUnderTest) -> None:
    """Capacity, allocatable, addresses, handlers, images, conditions and a lease that is renewed."""
    found = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))
    status = found["status"]
    assert {item["type"]: item["status"] for item in status["conditions"]} == {
        "Ready": "True",
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "RuntimeHandlersReady": "True",
    }
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == node.port
    assert {"runc", "crun", "gvisor"} <= {handler["name"] for handler in status["runtimeHandlers"]}
    assert status["capacity"]["pods"] == "110"
    assert any("localhost/demo:1" in name for image in status["images"] for name in image["names"])
    lease = json.loads(node.kubectl("get", "lease", "-n", "kube-node-lease", node.name, "-o", "json"))
    assert lease["spec"]["holderIdentity"] == node.name


def test_a_finished_pod_keeps_its_log_until_it_is_deleted(node: NodeUnderTest) -> None:
    """A completed pod's log stays readable; deleting the pod removes it from the node."""
    node.apply(pod_object("finished", "sh", "-c", "echo result", restartPolicy="Never"))
    pod = node.pod_when("finished", lambda found: found["status"]["phase"] == "Succeeded")
    assert node.container_log("finished", "c") == "result"
    assert not is_ready(pod)
    node.kubectl("delete", "pod", "finished")
    uid = pod["metadata"]["uid"]
    eventually(lambda: not list((node.directory / "logs").glob(f"*_{uid}")), "logs removed")
    eventually(lambda: not (node.root_dir / "pods" / uid).exists(), "pod folder removed")
