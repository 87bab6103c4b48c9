"""In-place resize on real kernels: what kubectl is told, and what the cgroups hold."""

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from components import needs
from containerd_under_test import Containerd, containerd
from node_under_test import NodeUnderTest, eventually, import_image, make_node, pod_object
from runtime_classes import runtime_class
from watching import every_change

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-resize")]

MIB = 1024 * 1024
IDLE = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def resources(cpu: str, memory: str) -> dict[str, Any]:
    """A Burstable container: limits as given, requests of half the memory and 100m less CPU."""
    milli = int(cpu.removesuffix("m"))
    mebibytes = int(memory.removesuffix("Mi"))
    return {
        "limits": {"cpu": cpu, "memory": memory},
        "requests": {"cpu": f"{milli - 100}m", "memory": f"{mebibytes // 2}Mi"},
    }


def resize(node: NodeUnderTest, pod: str, container: str = "c", check: bool = True, **given: Any) -> str:
    patch = {"spec": {"containers": [{"name": container, "resources": given}]}}
    return node.kubectl("patch", "pod", pod, "--subresource", "resize", "--patch", json.dumps(patch), check=check)


def condition(pod: dict[str, Any], type: str) -> dict[str, Any] | None:
    return next((item for item in pod["status"].get("conditions", []) if item["type"] == type), None)


def pending(pod: dict[str, Any]) -> dict[str, Any] | None:
    return condition(pod, "PodResizePending")


def in_progress(pod: dict[str, Any]) -> dict[str, Any] | None:
    return condition(pod, "PodResizeInProgress")


def status_of(pod: dict[str, Any], container: str = "c") -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in pod["status"]["containerStatuses"] if item["name"] == container)
    return found


def settled(pod: dict[str, Any], container: str = "c", init: bool = False) -> bool:
    """Status says what spec says, and nothing is on its way."""
    wanted = next(item for item in pod["spec"]["containers"] if item["name"] == container)["resources"]
    found = status_of(pod, container)
    return (
        pending(pod) is None
        and in_progress(pod) is None
        and found["resources"] == wanted
        and found["allocatedResources"] == wanted["requests"]
    )


def identity(pod: dict[str, Any], container: str = "c") -> tuple[str, int]:
    found = status_of(pod, container)
    return found["containerID"], found["restartCount"]


class Kernel:
    """The limits in force of a pod and its containers (this machine has cgroup v1)."""

    def __init__(self, node: NodeUnderTest) -> None:
        self._node = node

    def pod(self, pod: dict[str, Any]) -> tuple[int, int, int]:
        """(cpu.shares, quota in µs, memory limit in bytes)."""
        return self._figures(self._directory(pod))

    def container(self, pod: dict[str, Any], name: str = "c") -> tuple[int, int, int]:
        return self._figures(f"{self._directory(pod)}/{identity(pod, name)[0].partition('://')[2]}")

    def _directory(self, pod: dict[str, Any]) -> str:
        qos = {"Guaranteed": "", "Burstable": "burstable/", "BestEffort": "besteffort/"}[pod["status"]["qosClass"]]
        return f"{self._node.cgroup}/kubepods/{qos}pod{pod['metadata']['uid']}"

    def _figures(self, path: str) -> tuple[int, int, int]:
        files = ("cpu/{}/cpu.shares", "cpu/{}/cpu.cfs_quota_us", "memory/{}/memory.limit_in_bytes")
        shares, quota, memory = (int(Path("/sys/fs/cgroup", file.format(path[1:])).read_text()) for file in files)
        return shares, quota, memory


def payload(message: str) -> Any:
    return json.loads(message[message.index("{") :])


def delete(node: NodeUnderTest, *names: str) -> None:
    node.delete_pods(*names)


def test_resources_change_while_the_container_runs(node: NodeUnderTest) -> None:
    """Up by kubectl's resize, down by a plain PUT: the kernel has the figures, the status and the events tell of them, and it
    is the same container all along."""
    node.apply(pod_object("live", "sh", "-c", IDLE, resources=resources("200m", "64Mi")))
    pod, kernel = node.running("live"), Kernel(node)
    before = identity(pod)
    assert settled(pod)
    assert kernel.container(pod) == kernel.pod(pod) == (102, 20000, 64 * MIB)

    resize(node, "live", **resources("500m", "128Mi"))
    pod = node.pod_when("live", settled)
    assert kernel.container(pod) == kernel.pod(pod) == (409, 50000, 128 * MIB)
    assert (pod["metadata"]["generation"], pod["status"]["observedGeneration"]) == (2, 2)
    assert "resize" not in pod["status"]
    assert pod["status"]["allocatedResources"] == {"cpu": "400m", "memory": "64Mi"}
    wanted = [{"name": "c", "resources": resources("500m", "128Mi")}]
    for reason, text in (("ResizeStarted", "started"), ("ResizeCompleted", "completed")):
        message = node.event_when("live", reason)
        assert message.startswith(f"Pod resize {text}: {{")
        assert payload(message) == {"containers": wanted, "generation": 2}

    pod["spec"]["containers"][0]["resources"] = resources("200m", "32Mi")
    path = "/api/v1/namespaces/default/pods/live/resize"
    node.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(pod))
    pod = node.pod_when("live", lambda found: found["metadata"]["generation"] == 3 and settled(found))
    assert kernel.container(pod) == kernel.pod(pod) == (102, 20000, 32 * MIB)
    assert identity(pod) == before
    delete(node, "live")


def test_a_volume_in_memory_follows(node: NodeUnderTest) -> None:
    """Up by its own limit, down by the container's: the running container sees a tmpfs of that size."""
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    script = "while :; do df -k /v | tail -1; sleep 0.1; done"
    limits = {"limits": {"cpu": "200m", "memory": "64Mi"}}
    spec: dict[str, Any] = {"resources": limits, "volumes": volumes, "volumeMounts": mounts}
    node.apply(pod_object("roomy", "sh", "-c", script, terminationGracePeriodSeconds=1, **spec))
    node.running("roomy")

    def seen(kibibytes: int) -> None:
        node.pod_when("roomy", lambda _: node.container_log("roomy", "c").splitlines()[-1].split()[1] == str(kibibytes))

    seen(1024)
    patch = {"spec": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "48Mi"}}]}}
    node.kubectl("patch", "pod", "roomy", "--subresource", "resize", "--patch", json.dumps(patch))
    seen(48 * 1024)
    resize(node, "roomy", limits={"cpu": "200m", "memory": "32Mi"}, requests={"cpu": "200m", "memory": "32Mi"})
    seen(32 * 1024)
    delete(node, "roomy")


def test_a_container_restarts_where_its_policy_says_so(node: NodeUnderTest) -> None:
    """Memory with RestartContainer: exactly that container is replaced, though it exits with 0 under OnFailure; its CPU changes
    live."""
    body = pod_object("picky", "sh", "-c", IDLE, resources=resources("200m", "64Mi"), restartPolicy="OnFailure")
    first = body["spec"]["containers"][0]
    first["resizePolicy"] = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    body["spec"]["containers"].append({**first, "name": "other", "resizePolicy": []})
    node.apply(body)
    pod, kernel = node.running("picky"), Kernel(node)
    container_id, other = identity(pod)[0], identity(pod, "other")

    resize(node, "picky", limits={"cpu": "300m"})
    pod = node.pod_when("picky", settled)
    assert identity(pod) == (container_id, 0)
    assert kernel.container(pod) == (102, 30000, 64 * MIB)

    resize(node, "picky", limits={"memory": "96Mi"})
    pod = node.pod_when("picky", lambda found: settled(found) and status_of(found)["restartCount"] == 1)
    assert identity(pod)[0] != container_id
    assert identity(pod, "other") == other
    assert kernel.container(pod) == (102, 30000, 96 * MIB)
    assert kernel.pod(pod) == (204, 50000, 160 * MIB)
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 0
    assert node.event_when("picky", "Killing") == "Container c resize requires restart"
    assert pod["status"]["phase"] == "Running"
    delete(node, "picky")


@pytest.mark.parametrize(
    ("kind", "resource"), [("containers", "memory"), ("containers", "cpu"), ("initContainers", "memory")]
)
def test_one_status_describes_one_moment(node: NodeUnderTest, kind: str, resource: str) -> None:
    """Requests alone, RestartContainer, there and back: a watcher sees the new generation only together with the allocation and
    PodResizeInProgress, sees what is in force change only with the restart, and finds the right count when it is over."""
    name = f"moment-{'init' if kind == 'initContainers' else 'main'}-{resource}"
    body = pod_object(name, "sh", "-c", IDLE, restartPolicy="OnFailure" if kind == "containers" else "Always")
    sizes = {"memory": ("20Mi", "30Mi"), "cpu": ("100m", "200m")}[resource]
    first = body["spec"]["containers"][0]
    resized = {**first, "name": "r", "resources": {"requests": {"cpu": "100m", "memory": "20Mi"}}}
    resized["resizePolicy"] = [{"resourceName": resource, "restartPolicy": "RestartContainer"}]
    if kind == "initContainers":
        resized["restartPolicy"] = "Always"
        body["spec"]["initContainers"] = [resized]
    else:
        body["spec"]["containers"].append(resized)
    node.apply(body)
    node.running(name)

    def found(pod: dict[str, Any]) -> dict[str, Any]:
        lists = pod["status"].get("containerStatuses", []) + pod["status"].get("initContainerStatuses", [])
        return next(item for item in lists if item["name"] == "r")

    def over(pod: dict[str, Any], generation: int, figure: str) -> bool:
        status = found(pod)
        return (
            pod["status"]["observedGeneration"] == generation
            and not in_progress(pod)
            and not pending(pod)
            and status["allocatedResources"][resource] == status["resources"]["requests"][resource] == figure
        )

    with every_change(node, name) as seen:
        for count, after in enumerate((sizes[1], sizes[0], sizes[1]), start=1):
            patch = {"spec": {kind: [{"name": "r", "resources": {"requests": {resource: after}}}]}}
            node.kubectl("patch", "pod", name, "--subresource", "resize", "--patch", json.dumps(patch))
            generation = count + 1
            pod = node.pod_when(name, lambda pod, g=generation, a=after: over(pod, g, a))  # type: ignore[misc]
            assert (found(pod)["restartCount"], "running" in found(pod)["state"]) == (count, True)
            assert pod["status"]["resources"]["requests"][resource] == after
        versions = eventually(
            lambda: made if (made := seen())[-1]["status"] == pod["status"] else [], "the last change"
        )
    for version in versions:
        status, generation = found(version), version["status"]["observedGeneration"]
        count = generation - 1
        if not count:
            continue
        before, after = sizes if count % 2 else sizes[::-1]
        assert status["allocatedResources"][resource] == after, version["status"]
        assert version["status"]["allocatedResources"][resource] == after
        if in_progress(version) is None:
            assert (status["restartCount"], status["resources"]["requests"][resource]) == (count, after)
            assert version["status"]["resources"]["requests"][resource] == after
        else:
            assert (in_progress(version) or {})["observedGeneration"] == generation
            if status["restartCount"] < count and "running" in status["state"]:
                assert status["resources"]["requests"][resource] == before
    delete(node, name)


def test_what_the_api_refuses(node: NodeUnderTest) -> None:
    """Another QoS class, a limit taken away, more than the node has, a restart that the pod's policy forbids."""
    node.apply(pod_object("fixed", "sh", "-c", IDLE, resources=resources("200m", "64Mi")))
    node.running("fixed")
    assert "Pod QOS Class may not change as a result of resizing" in resize(
        node, "fixed", check=False, requests={"cpu": "200m", "memory": "64Mi"}
    )
    removed = resize(node, "fixed", check=False, limits={"cpu": None})
    assert "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed" in removed
    too_much = resize(node, "fixed", check=False, limits={"cpu": "999"}, requests={"cpu": "999"})
    assert "Node didn't have enough allocatable resources: cpu, requested: 999000, allocatable: " in too_much
    never = pod_object("never", "true", resources=resources("200m", "64Mi"), restartPolicy="Never")
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    never["spec"]["containers"][0]["resizePolicy"] = policy
    refused = node.kubectl("apply", "-f", "-", stdin=json.dumps(never), check=False)
    assert "must be 'NotRequired' when `restartPolicy` is 'Never'" in refused
    delete(node, "fixed")


def test_a_resize_waits_until_another_pod_has_gone(own_node: Callable[..., NodeUnderTest]) -> None:
    """Deferred with the reason of the check that refuses, over the agent's restart too; agreed to when there is room."""
    node = own_node()
    node.start()
    found = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]["allocatable"]["cpu"]
    cores = int(found)
    filler = {"requests": {"cpu": f"{cores * 1000 - 700}m"}}
    node.apply(
        pod_object("filler", "sh", "-c", IDLE, resources=filler),
        pod_object("waits", "sh", "-c", IDLE, resources={"requests": {"cpu": "200m"}}),
    )
    node.running("filler")
    pod = node.running("waits")
    before, kernel = identity(pod), Kernel(node)
    resize(node, "waits", requests={"cpu": "900m"})
    pod = node.pod_when("waits", pending)
    text = (
        f"Node didn't have enough resource: cpu, requested: 900, used: {cores * 1000 - 700}, capacity: {cores * 1000}"
    )
    told = pending(pod)
    assert told is not None
    assert (told["status"], told["reason"], told["message"]) == ("True", "Deferred", text)
    assert told["observedGeneration"] == 2
    assert status_of(pod)["allocatedResources"] == {"cpu": "200m"}
    message = node.event_when("waits", "ResizeDeferred")
    assert message.startswith("Pod resize OutOfcpu: {")
    asked = [{"name": "c", "resources": {"requests": {"cpu": "900m"}}}]
    assert payload(message) == {"containers": asked, "generation": 2, "error": text}
    assert kernel.container(pod)[0] == 204

    node.kill()
    node.start()
    assert pending(node.running("waits")) == told
    assert kernel.container(node.pod("waits"))[0] == 204

    delete(node, "filler")
    pod = node.pod_when("waits", settled_requests)
    assert (kernel.container(pod)[0], kernel.pod(pod)[0]) == (921, 921)
    assert identity(pod) == before
    assert node.event_when("waits", "ResizeCompleted")
    assert sum(reason == "ResizeDeferred" for reason, _ in node.events("waits")) == 1


def settled_requests(pod: dict[str, Any]) -> bool:
    wanted = pod["spec"]["containers"][0]["resources"]["requests"]
    return not pending(pod) and not in_progress(pod) and status_of(pod)["allocatedResources"] == wanted


def test_memory_in_use_is_not_taken_away(node: NodeUnderTest) -> None:
    """A limit below what is used is refused with both figures, and put in force when the memory is given back."""
    node.apply(
        pod_object(
            "full",
            "sh",
            "-c",
            f"head -c {40 * MIB} /dev/zero > /memory/file; {IDLE}",
            resources=resources("200m", "100Mi"),
            volumeMounts=[{"name": "memory", "mountPath": "/memory"}],
            volumes=[{"name": "memory", "emptyDir": {"medium": "Memory"}}],
        )
    )
    before, kernel = identity(node.running("full")), Kernel(node)
    sized = f"test $(stat -c %s /memory/file) = {40 * MIB} && echo full"
    eventually(lambda: "full" in node.kubectl("exec", "full", "--", "sh", "-c", sized, check=False), "memory used")
    resize(node, "full", **resources("200m", "30Mi"))
    pod = node.pod_when("full", lambda found: (in_progress(found) or {}).get("reason") == "Error")
    told = in_progress(pod)
    assert told is not None
    limit = 30 * MIB
    assert re.fullmatch(
        rf"cannot decrease memory limits: \[attempting to set pod memory limit \({limit}\) below current usage \(\d+\), "
        rf'attempting to set container "c" memory limit \({limit}\) below current usage \(\d+\)\]',
        told["message"],
    ), told
    assert kernel.container(pod) == (102, 20000, 100 * MIB)
    assert status_of(pod)["resources"]["limits"]["memory"] == "100Mi"
    assert status_of(pod)["allocatedResources"] == {"cpu": "100m", "memory": "15Mi"}
    error = payload(node.event_when("full", "ResizeError"))
    assert (error["generation"], error["containers"][0]["resources"]) == (2, resources("200m", "30Mi"))

    node.kubectl("exec", "full", "--", "rm", "/memory/file")
    pod = node.pod_when("full", settled)
    assert kernel.container(pod) == kernel.pod(pod) == (102, 20000, limit)
    assert identity(pod) == before
    delete(node, "full")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A runc that waits before `create` and `update` for as long as `<folder>/<verb>` exists."""
    folder = tmp_path / "gate"
    folder.mkdir()
    program = folder / "runc"
    program.write_text(
        "#!/bin/sh\n"
        'for word in "$@"; do case $word in create|update)\n'
        f'  if test -e "{folder}/$word"; then touch "{folder}/$word.waits"; fi\n'
        f'  while test -e "{folder}/$word"; do sleep 0.05; done;; esac; done\n'
        f'exec {shutil.which("runc")} "$@"\n'
    )
    program.chmod(0o755)
    return folder


def test_an_agent_killed_in_the_middle_goes_on_where_it_was(own_node: Callable[..., NodeUnderTest], gate: Path) -> None:
    """SIGKILL before the decision, during a live change, and between stop and start of a container that has to restart: the
    next agent brings each to its end, and nothing else is restarted."""
    node = own_node(runtimes={"runc": {"type": "oci", "path": str(gate / "runc")}}, defaultRuntime="runc")
    node.start()
    picky = pod_object("picky", "sh", "-c", IDLE, resources=resources("200m", "64Mi"), restartPolicy="OnFailure")
    picky["spec"]["containers"][0]["resizePolicy"] = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    node.apply(picky, pod_object("live", "sh", "-c", IDLE, resources=resources("200m", "64Mi")))
    before, kernel = identity(node.running("live")), Kernel(node)
    node.running("picky")

    assert node.agent is not None
    node.agent.send_signal(signal.SIGSTOP)  # the API goes on, the agent sees nothing
    resize(node, "live", **resources("300m", "96Mi"))
    node.kill()
    node.start()
    pod = node.pod_when("live", settled)
    assert kernel.container(pod) == kernel.pod(pod) == (204, 30000, 96 * MIB)

    for verb in ("create", "update"):
        (gate / verb).touch()
    resize(node, "live", **resources("400m", "128Mi"))
    resize(node, "picky", **resources("300m", "96Mi"))
    eventually(lambda: (gate / "update.waits").exists(), "the live change is under way")
    eventually(lambda: (gate / "create.waits").exists(), "the container is between its lives")
    assert kernel.container(pod) == (204, 30000, 96 * MIB)
    told = in_progress(node.pod_when("live", in_progress))
    assert told is not None
    assert (told["status"], told["observedGeneration"], told.get("reason")) == ("True", 3, None)
    node.kill()
    for verb in ("create", "update"):
        (gate / verb).unlink()
    node.start()
    pod = node.pod_when("live", settled)
    assert kernel.container(pod) == kernel.pod(pod) == (307, 40000, 128 * MIB)
    assert identity(pod) == before
    pod = node.pod_when("picky", lambda found: settled(found) and "running" in status_of(found)["state"])
    assert kernel.container(pod) == kernel.pod(pod) == (204, 30000, 96 * MIB)
    assert (status_of(pod)["restartCount"], pod["status"]["phase"]) == (1, "Running")
    for name in ("live", "picky"):
        assert node.event_when(name, "ResizeCompleted")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Containerd]:
    with containerd(tmp_path_factory.mktemp("c"), demo_image) as started:
        yield started


@pytest.fixture(scope="module")
def other_runtimes(
    tmp_path_factory: pytest.TempPathFactory, demo_image: Path, daemon: Containerd
) -> Iterator[NodeUnderTest]:
    """One node with crun, gVisor and containerd."""
    runtimes = {name: {"type": "oci", "path": shutil.which(name)} for name in ("crun",)}
    runtimes["runsc"] = {"type": "oci", "path": shutil.which("runsc"), "args": ["--platform=ptrace", "--network=host"]}
    runtimes["containerd"] = {"type": "cri", "endpoint": daemon.endpoint, "handler": "runc"}
    node = make_node(tmp_path_factory.mktemp("agent"), runtimes=runtimes, defaultRuntime="crun")
    node.directory.mkdir()
    import_image(node, demo_image)
    node.start()
    for name in runtimes:
        node.apply(runtime_class(name))
    yield node
    node.clean()


@needs("crun", "runsc", "containerd")
def test_other_runtimes_resize_too(other_runtimes: NodeUnderTest) -> None:
    """crun, containerd, and gVisor, whose containers share one cgroup: live, up and down."""
    node, kernel = other_runtimes, Kernel(other_runtimes)
    names = ("crun", "runsc", "containerd")
    node.apply(
        *(
            pod_object(name, "sh", "-c", IDLE, resources=resources("200m", "128Mi"), runtimeClassName=name)
            for name in names
        )
    )
    before = {name: identity(node.running(name)) for name in names}
    for sizes, figures in (
        (resources("400m", "256Mi"), (307, 40000, 256 * MIB)),
        (resources("300m", "192Mi"), (204, 30000, 192 * MIB)),
    ):
        for name in names:
            resize(node, name, **sizes)
        for name in names:
            pod = node.pod_when(name, settled, f"{name} resized")
            assert kernel.pod(pod) == figures, name
            assert kernel.container(pod) == figures, name
            assert identity(pod) == before[name]
