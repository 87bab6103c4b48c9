"""Images from a real registry (Debian's docker-registry), by tag and by digest."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, free_port, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-registry")]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[str]:
    """`127.0.0.1:port` of a registry that holds `demo:1`."""
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        "log: {level: error}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        target = f"docker://127.0.0.1:{port}/demo:1"
        source = (
            f"docker-archive:{demo_image}" if "manifest.json" in _names(demo_image) else f"oci-archive:{demo_image}"
        )
        for _ in range(50):
            done = subprocess.run(
                ["skopeo", "copy", "--dest-tls-verify=false", source, target],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                break
            time.sleep(0.2)
        assert done.returncode == 0, done.stderr
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _names(archive: Path) -> str:
    return subprocess.run(["tar", "tf", str(archive)], capture_output=True, text=True, check=True).stdout


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


def test_image_commands(node: NodeUnderTest, registry: str) -> None:
    """`nodeagent image pull` and `list` work beside the running agent on the same store."""
    import sys

    state = f"--state-dir={node.directory / 'state'}"
    run = [sys.executable, "-m", "nodeagent", "image"]
    subprocess.run([*run, "pull", f"{registry}/demo:1", state], check=True, capture_output=True, timeout=60)
    listed = subprocess.run([*run, "list", "--output=json", state], check=True, capture_output=True, timeout=60)
    assert any(f"{registry}/demo:1" in row["tags"] for row in json.loads(listed.stdout))
