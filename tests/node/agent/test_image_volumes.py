"""Images as volumes, and mounts that are read-only all the way down: through kubectl, on the real engine and containerd."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from components import needs
from containerd_under_test import Containerd, containerd
from node_under_test import DEMO_IMAGE, NodeUnderTest, import_image, pod_object
from registry_under_test import Registry, running_registry

from runtimes.testing import images

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-image-volumes")]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry") / "r") as running:
        yield running


@pytest.fixture(scope="module")
def data(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pushed image with data/a/file, a program, and a link that leads out of it."""
    archive = tmp_path_factory.mktemp("data") / "data.tar"
    images.build(archive, tag="localhost/data:1", files={"data/a/file": "hello\n"})
    return registry.push(archive, "data:1")


def with_image(reference: str, *, policy: str = "", **mount: Any) -> dict[str, Any]:
    image = {"reference": reference} | ({"pullPolicy": policy} if policy else {})
    return {
        "volumes": [{"name": "v", "image": image}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}],
    }


def waiting(pod: dict[str, Any], container: str) -> dict[str, str]:
    found: list[dict[str, str]] = [
        status["state"].get("waiting", {})
        for status in pod["status"].get("containerStatuses", ())
        if status["name"] == container
    ]
    return found[0] if found else {}


def test_an_image_as_a_volume(node: NodeUnderTest, data: str) -> None:
    """The image is pulled, with events of the pod, and its files are there: read-only, and what is a program runs."""
    script = "exec 2>&1; cat /v/data/a/file; touch /v/new; /v/bin/busybox echo it runs; sleep 100000"
    node.apply(pod_object("reads", "sh", "-c", script, **with_image(data)))
    node.running("reads")
    node.pod_when("reads", lambda _: "it runs" in node.container_log("reads", "c"))
    log = node.container_log("reads", "c")
    assert log.startswith("hello\n")
    assert "Read-only file system" in log
    assert log.endswith("it runs")
    assert ("Pulling", f'Pulling image "{data}"') in node.events("reads")


def test_a_part_of_an_image(node: NodeUnderTest, data: str) -> None:
    """A subPath shows that folder alone; one that the image does not have is told as such."""
    node.apply(pod_object("part", "sh", "-c", "ls /v; sleep 100000", **with_image(data, subPath="data/a")))
    node.running("part")
    node.pod_when("part", lambda _: node.container_log("part", "c") == "file")
    node.apply(pod_object("no-part", "sleep", "1", **with_image(data, subPath="data/b")))
    pod = node.pod_when("no-part", lambda pod: waiting(pod, "c").get("reason") == "CreateContainerError")
    assert "'data/b' of volume /v: No such file or directory" in waiting(pod, "c")["message"]
    node.kubectl("delete", "pod", "no-part", "--wait=false")


def test_an_image_that_is_not_there(node: NodeUnderTest, registry: Registry) -> None:
    """The containers that mount it wait, with the reason and message of the pull; the others of the pod run."""
    absent = f"{registry.host}/absent:1"
    pod = pod_object(
        "half", "sleep", "100000", **with_image(absent, policy="IfNotPresent"), terminationGracePeriodSeconds=1
    )
    pod["spec"]["containers"].append({"name": "other", "image": DEMO_IMAGE, "command": ["sleep", "100000"]})
    node.apply(pod)

    def told(seen: dict[str, Any]) -> bool:
        states = {status["name"]: status["state"] for status in seen["status"].get("containerStatuses", ())}
        return "running" in states.get("other", {}) and waiting(seen, "c").get("reason") == "ImagePullBackOff"

    seen = node.pod_when("half", told)
    message = waiting(seen, "c")["message"]
    assert message.startswith(f'Back-off pulling image "{absent}": ErrImagePull: ')
    assert "manifest unknown" in message
    events = node.events("half")
    assert ("Failed", "Error: ErrImagePull") in events
    assert any(reason == "Failed" and text.startswith(f'Failed to pull image "{absent}": ') for reason, text in events)
    node.apply(pod_object("never", "sleep", "1", **with_image(absent, policy="Never")))
    pod = node.pod_when("never", lambda pod: waiting(pod, "c").get("reason") == "ErrImageNeverPull")
    assert waiting(pod, "c")["message"] == f'Container image "{absent}" is not present with pull policy of Never'
    node.kubectl("delete", "pod", "half", "never", "--wait=false")


def test_read_only_all_the_way_down(node: NodeUnderTest, tmp_path: Path) -> None:
    """With recursiveReadOnly what is mounted below a volume cannot be written either; the status says so."""
    host = tmp_path / "host"
    (host / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "below", str(host / "below")], check=True)
    try:
        mounts = [
            {"name": "h", "mountPath": "/shallow", "readOnly": True},
            {"name": "h", "mountPath": "/deep", "readOnly": True, "recursiveReadOnly": "Enabled"},
        ]
        # one stream: what two wrote can come in another order
        script = "exec 2>&1; touch /shallow/below/x && echo shallow; touch /deep/below/y && echo deep; echo end; sleep 100000"
        volumes = [{"name": "h", "hostPath": {"path": str(host)}}]
        grace = {"terminationGracePeriodSeconds": 1}  # the node's own, after a deletion by force
        node.apply(pod_object("deep", "sh", "-c", script, volumes=volumes, volumeMounts=mounts, **grace))
        node.running("deep")
        node.pod_when("deep", lambda _: node.container_log("deep", "c").endswith("end"))
        log = node.container_log("deep", "c")
        assert log.startswith("shallow\n")
        assert "touch: /deep/below/y: Read-only file system" in log
        status = node.pod("deep")["status"]["containerStatuses"][0]["volumeMounts"]
        told = {mount["mountPath"]: mount.get("recursiveReadOnly") for mount in status}
        assert (told["/shallow"], told["/deep"]) == ("Disabled", "Enabled")
    finally:
        node.kubectl("delete", "pod", "deep", "--grace-period=0", "--force")
        subprocess.run(["umount", "-l", str(host / "below")], check=True)


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Containerd]:
    with containerd(tmp_path_factory.mktemp("c"), demo_image) as started:
        yield started


@needs("containerd")
def test_a_runtime_that_cannot(daemon: Containerd, own_node: Callable[..., NodeUnderTest], demo_image: Path) -> None:
    """On a containerd that is too old the pod's status says that, and of which release on it would work."""
    runtimes = {"containerd": {"type": "cri", "endpoint": daemon.endpoint, "handler": "runc"}}
    node = own_node(runtimes=runtimes, defaultRuntime="containerd")
    import_image(node, demo_image)
    node.start()
    node.apply(pod_object("old", "sleep", "1", **with_image(DEMO_IMAGE)))
    pod = node.pod_when("old", lambda pod: waiting(pod, "c").get("reason") == "CreateContainerConfigError")
    assert waiting(pod, "c")["message"].startswith("image volumes are not supported by containerd 1.")
    assert waiting(pod, "c")["message"].endswith("they need containerd 2.1")
    mounts = [{"name": "e", "mountPath": "/e", "readOnly": True, "recursiveReadOnly": "Enabled"}]
    volumes = [{"name": "e", "emptyDir": {}}]
    node.apply(pod_object("shallow", "sleep", "1", volumes=volumes, volumeMounts=mounts))
    pod = node.pod_when("shallow", lambda pod: waiting(pod, "c").get("reason") == "CreateContainerConfigError")
    assert waiting(pod, "c")["message"] == (
        'volume "e" requested recursive read-only mode, but it is not supported by the runtime'
    )
