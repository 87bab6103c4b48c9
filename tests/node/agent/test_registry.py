"""Images from a real registry (Debian's docker-registry), by tag and by digest."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, import_image, make_node, pod_object
from registry_under_test import Registry, running_registry

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-registry")]


@pytest.fixture(scope="module")
def registry(open_registry: Registry) -> str:
    """`127.0.0.1:port` of a registry that holds `demo:1`."""
    return open_registry.host


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry") / "open") as running:
        running.push(demo_image, "demo:1")
        yield running


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Registry]:
    """A registry over TLS, with a certificate of its own CA."""
    with running_registry(tmp_path_factory.mktemp("registry") / "secure", tls=True) as running:
        running.push(demo_image, "demo:1")
        yield running


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory,
    demo_image: Path,
    open_registry: Registry,
    secure: Registry,
) -> Iterator[NodeUnderTest]:
    """A node that knows the CA of one registry, trusts the same one blindly by another name, and has mirrors of others."""
    port = secure.host.rpartition(":")[2]
    registries = {
        secure.host: {"certsDir": str(secure.certs)},
        f"localhost:{port}": {"insecure": True},
        "registry.invalid/team": {"mirrors": ["127.0.0.1:1", open_registry.host], "insecure": True},
        "http.invalid": {"mirrors": [f"localhost:{open_registry.host.rpartition(':')[2]}"]},
        f"localhost:{open_registry.host.rpartition(':')[2]}": {"insecure": True},
        "tls.invalid": {"mirrors": [secure.host]},
    }
    made = make_node(tmp_path_factory.mktemp("agent"), registries=registries)
    made.directory.mkdir()
    import_image(made, demo_image)
    made.start()
    yield made
    made.clean()


def test_a_pod_pulls_by_tag_and_by_digest(node: NodeUnderTest, registry: str) -> None:
    """The image is pulled, the events say so with its size, and the status names it by digest."""
    image = f"{registry}/demo:1"
    node.apply(pod_object("pulled", "sleep", "100000", image=image, imagePullPolicy="Always"))
    status = node.running("pulled")["status"]["containerStatuses"][0]
    assert status["image"] == image
    digest = status["imageID"].rpartition("@")[2]  # the same image was imported under another name before
    assert digest.startswith("sha256:")
    reasons = dict(node.events("pulled"))
    assert reasons["Pulling"] == f'Pulling image "{image}"'
    assert reasons["Pulled"].startswith(f'Successfully pulled image "{image}" in ')
    node.apply(pod_object("digest", "sleep", "100000", image=f"{registry}/demo@{digest}", imagePullPolicy="Always"))
    assert node.running("digest")["status"]["containerStatuses"][0]["imageID"].endswith(digest)


def test_an_image_that_the_registry_does_not_have(node: NodeUnderTest, registry: str) -> None:
    """ErrImagePull carries the registry's answer."""
    node.apply(pod_object("absent", image=f"{registry}/nothing:9"))
    message = node.event_when("absent", "Failed")
    assert "manifest unknown" in message or "not found" in message.lower()
    node.kubectl("delete", "pod", "absent", "--wait=false")


def test_configured_registries(node: NodeUnderTest, secure: Registry) -> None:
    """A registry with a CA of its own, one whose certificate nobody verifies, and those that only a mirror can stand in for:
    one reached like its registry, one in plain HTTP and one with a CA by entries of their own."""
    port = secure.host.rpartition(":")[2]
    images = {
        "own-ca": f"{secure.host}/demo:1",
        "unverified": f"localhost:{port}/demo:1",
        "mirrored": "registry.invalid/team/demo:1",
        "mirrored-http": "http.invalid/demo:1",
        "mirrored-tls": "tls.invalid/demo:1",
        "unreachable": "registry.invalid/other/demo:1",
    }
    node.apply(*(pod_object(name, "sleep", "100000", image=image) for name, image in images.items()))
    for name in images.keys() - {"unreachable"}:
        assert node.running(name)["status"]["containerStatuses"][0]["image"] == images[name]
    assert "registry.invalid" in node.event_when("unreachable", "Failed")
    node.kubectl("delete", "pod", "unreachable", "--wait=false")


def test_image_commands(node: NodeUnderTest, registry: str) -> None:
    """`nodeagent image pull` and `list` work beside the running agent on the same store."""
    state = f"--state-dir={node.directory / 'state'}"
    run = [sys.executable, "-m", "nodeagent", "image"]
    pulled = subprocess.run([*run, "pull", f"{registry}/demo:1", state], check=True, capture_output=True, timeout=60)
    stages = [line.split()[1] for line in pulled.stderr.decode().splitlines()]
    assert stages == ["resolving", "unpacking", "done"]  # its layers are there
    listed = subprocess.run([*run, "list", "--output=json", state], check=True, capture_output=True, timeout=60)
    assert any(f"{registry}/demo:1" in row["tags"] for row in json.loads(listed.stdout))
