"""The CRI socket from both ends: the agent shows its own sandboxes on one, and runs its pods through another's."""

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from node_under_test import REPO, NodeUnderTest, eventually, pod_object
from runtime_classes import runtime_class
from served_runtime import Served, served_place

from proto import cri_pb2 as cri
from proto.cri_pb2_grpc import ImageServiceStub, RuntimeServiceStub

pytestmark = [pytest.mark.node, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_the_agents_sandboxes_are_visible(own_node: Callable[..., NodeUnderTest], tmp_path: Path) -> None:
    """crictl's calls see the agent's pods, containers, images and statistics; what changes something is PERMISSION_DENIED and
    names the switch; a second server on the agent's state is refused with the way to go."""
    socket = Path("/tmp") / f"natest-{os.getpid()}.sock"
    node = own_node(criServer={"listen": f"unix://{socket}"})
    node.start()
    node.apply(pod_object("seen", "sleep", "100000"))
    pod = node.running("seen")
    container_id = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        runtime, images = RuntimeServiceStub(channel), ImageServiceStub(channel)
        listed = runtime.ListPodSandbox(cri.ListPodSandboxRequest(), timeout=30).items
        assert [(item.metadata.name, item.metadata.uid) for item in listed] == [("seen", pod["metadata"]["uid"])]
        status = runtime.ContainerStatus(cri.ContainerStatusRequest(container_id=container_id[:12]), timeout=30).status
        assert (status.id, status.state) == (container_id, cri.CONTAINER_RUNNING)
        assert [item.id for item in runtime.ListContainers(cri.ListContainersRequest()).containers] == [container_id]
        assert runtime.ListPodSandboxStats(cri.ListPodSandboxStatsRequest()).stats[0].attributes.id == listed[0].id
        (image,) = images.ListImages(cri.ListImagesRequest()).images
        assert image.pinned  # it was imported
        unpin = [sys.executable, "-m", "nodeagent", "image", "unpin", "localhost/demo:1"]
        subprocess.run([*unpin, f"--state-dir={node.directory / 'state'}"], cwd=REPO, check=True, timeout=60)
        (image,) = images.ListImages(cri.ListImagesRequest()).images
        assert not image.pinned
        for call, request in (
            (runtime.RemovePodSandbox, cri.RemovePodSandboxRequest(pod_sandbox_id=listed[0].id)),
            (runtime.ExecSync, cri.ExecSyncRequest(container_id=container_id, cmd=["ls"])),
            (runtime.Exec, cri.ExecRequest(container_id=container_id, cmd=["ls"], stdout=True)),
            (images.RemoveImage, cri.RemoveImageRequest(image=cri.ImageSpec(image="localhost/demo:1"))),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=30)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "criServer.readOnly" in caught.value.details()
    serve = [sys.executable, "-m", "nodeagent", "runtime", "serve", f"--listen=unix://{socket}2"]
    serve += [f"--{name}-dir={node.directory / name}" for name in ("state", "run")]
    serve += [f"--config={node.directory / 'config.yaml'}"]
    refused = subprocess.run(serve, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert (refused.returncode, "`criServer: {listen: " in refused.stderr) == (1, True)
    node.stop()
    assert not socket.exists()


@pytest.fixture
def served(demo_image: Path) -> Iterator[Served]:
    with served_place() as place:
        place.import_image(demo_image)
        place.start()
        yield place


LEFT_OUT = ("runtime-config", "events", "metrics", "user-namespaces", "recursive-read-only", "strict-groups")


def handler_features(node: NodeUnderTest) -> dict[str, Any] | None:
    """Of the default one, as the Node has them; with what is said of all. None: the peer has not answered."""
    found = node.api.get(f"api/v1/nodes/{node.name}")
    assert found is not None
    handlers = {handler["name"]: handler["features"] for handler in found["status"].get("runtimeHandlers", ())}
    return {**handlers["runc"], **found["status"]["features"]} if "runc" in handlers else None


def without_features(node: NodeUnderTest) -> bool:
    found = handler_features(node)
    return found is not None and not any(found.values())


def check_older_peer(node: NodeUnderTest, served: Served) -> None:
    """The same peer as an older release: what it does not say that it can do is not told of the node, and pods that need it wait;
    without events its pods' ends are found by looking."""
    newer = eventually(lambda: handler_features(node), "the peer has answered")
    assert (newer["recursiveReadOnlyMounts"], newer["supplementalGroupsPolicy"]) == (True, True)
    served.end()
    served.start(*(f"--without={feature}" for feature in LEFT_OUT))
    eventually(lambda: without_features(node), "an older peer")
    strict = pod_object("strict", "sleep", "100000", securityContext={"supplementalGroupsPolicy": "Strict"})
    node.apply(strict, pod_object("ends", "sh", "-c", "sleep 1; exit 3", restartPolicy="Never"))
    node.pod_when("ends", lambda pod: pod["status"].get("phase") == "Failed")
    assert node.pod("strict")["status"].get("phase") != "Running"
    served.end()
    served.start()
    eventually(lambda: handler_features(node) == newer, "a newer peer")


def test_a_node_on_a_served_runtime(own_node: Callable[..., NodeUnderTest], served: Served) -> None:
    """A node whose only runtimes are behind `nodeagent runtime serve`: pods are Ready with addresses of its network, under
    the handler that their RuntimeClass names; kubectl logs, exec with input and exit code, and cp work; the server's
    restart changes nothing; deletion leaves nothing."""
    runtimes = {name: {"type": "cri", "endpoint": served.endpoint, "handler": name} for name in ("runc", "crun")}
    node = own_node(runtimes=runtimes, defaultRuntime="runc")
    node.start()
    node.apply(runtime_class("crun"))
    node.apply(
        pod_object("one", "sh", "-c", "echo hello from $HOSTNAME; exec sleep 100000"),
        pod_object("two", "sleep", "100000", runtimeClassName="crun"),
    )
    pod = node.running("one")
    assert ipaddress.ip_address(pod["status"]["podIP"]) in ipaddress.ip_network(served.subnet)
    container_id = pod["status"]["containerStatuses"][0]["containerID"]
    assert container_id.startswith("runc://")
    assert node.running("two")["status"]["containerStatuses"][0]["containerID"].startswith("crun://")
    eventually(lambda: node.kubectl("logs", "one"), "log")
    assert node.kubectl("logs", "one") == "hello from one\n"
    assert node.kubectl("exec", "-i", "one", "--", "cat", stdin="through the socket") == "through the socket"
    assert "exit code 5" in node.kubectl("exec", "one", "--", "sh", "-c", "exit 5", check=False)
    note = node.directory / "note"
    note.write_text("copied")
    if shutil.which("tar"):
        node.kubectl("cp", str(note), "one:/tmp/note")
        assert node.kubectl("exec", "one", "--", "cat", "/tmp/note") == "copied"
    served.end()
    served.start()
    node.apply(pod_object("three", "sleep", "100000"))
    node.running("three")
    check_older_peer(node, served)
    again = node.running("one")["status"]["containerStatuses"][0]
    assert (again["containerID"], again["restartCount"]) == (container_id, 0)
    node.kubectl("delete", "pods", "--all", "--grace-period=1")
    eventually(lambda: not any("/pods/" in leak or "conmon" in leak for leak in served.leaks()), "nothing is left")
