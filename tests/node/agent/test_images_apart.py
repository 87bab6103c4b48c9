"""A node whose images are on a disk of their own: each of the two small disks runs short for itself."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hand_made_images import OCILayout, make_layer, named
from node_under_test import REPO, NodeUnderTest, eventually, import_image, is_ready, make_node
from pods_under_test import conditions, finished, make_pod, shell
from small_disk import small_disk

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("eviction")]

MIB = 2**20
UNUSED = "docker.io/library/unused:1"
KUBELET = {
    "evictionHard": {"nodefs.available": "25Mi", "imagefs.available": "20Mi"},
    "evictionPressureTransitionPeriod": "1s",
    "imageMinimumGCAge": "1ms",  # 0s would be the default
    "imageGCHighThresholdPercent": 99,  # evictions alone remove images here
    "containerLogMaxSize": "1Mi",
    "containerLogMaxFiles": 3,
}


def image_command(node: NodeUnderTest, *arguments: str) -> str:
    command = [sys.executable, "-m", "nodeagent", "image", *arguments, f"--state-dir={node.directory / 'state'}"]
    return subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """A disk of 192 MiB, and one of 64 MiB for images, which an image that nobody uses nearly fills."""
    own, other = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("other")
    layout = OCILayout()
    random = os.urandom(20 * MIB).decode(errors="surrogateescape")
    image = layout.image((make_layer(("file", "random", random)), ""), platform="linux/amd64")
    archive = layout.write(other / "unused.tar", named(image, full=UNUSED))
    with small_disk(own, 192) as disk, small_disk(other, 64) as images:
        made = make_node(disk, kubelet=KUBELET)
        (made.directory / "state").mkdir(parents=True)
        (made.directory / "state" / "images").symlink_to(images)
        import_image(made, demo_image)
        import_image(made, archive)
        image_command(made, "unpin", UNUSED)
        try:
            made.start()
            yield made
        finally:
            made.clean()


def pressure(node: NodeUnderTest) -> str:
    found = node.api.get(f"api/v1/nodes/{node.name}")
    assert found is not None
    return str(conditions(found)["DiskPressure"][0])


def images_of(node: NodeUnderTest) -> set[str]:
    return {name for item in json.loads(image_command(node, "list", "-o", "json")) for name in item["tags"]}


def test_unused_images_go_first(node: NodeUnderTest) -> None:
    """Of the images' disk what nobody uses is removed, which is enough; pods run then, and none is evicted."""
    eventually(lambda: UNUSED not in images_of(node), "the unused image is removed")
    assert "file systems for eviction: images apart" in node.log()
    eventually(lambda: pressure(node) == "False", "no DiskPressure any more")
    messages = [item["message"] for item in node.events_of(reason="EvictionThresholdMet")]
    assert messages == ["Attempting to reclaim ephemeral-storage"]
    node.apply(make_pod("runs"))
    node.running("runs")


def test_writable_layers_are_on_the_nodes_disk(node: NodeUnderTest) -> None:
    """A pod that fills its layer makes that disk short; it goes for it, no image does."""
    before = images_of(node)
    node.apply(make_pod("writes", shell("c", "dd if=/dev/zero of=/x bs=1M count=150 2>/dev/null; sleep 100000")))
    status = node.pod_when("writes", finished)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert (
        "Threshold quantity: 25Mi, available: " in status["message"] and "Container c was using " in status["message"]
    )
    eventually(lambda: pressure(node) == "False", "no DiskPressure any more")
    assert images_of(node) == before
    assert is_ready(node.running("runs"))


def test_logs_without_end(node: NodeUnderTest) -> None:
    """Who prints more than the disk is large, in lines or without any, comes to its end: the logs are kept near their bounds,
    the disk never runs short, and nobody goes for it."""
    script = "{} | head -c " + str(110 * MIB)
    forever = {"lines": f"yes {'x' * 100}", "no-lines": "tr '\\0' x < /dev/zero"}
    node.apply(*(make_pod(name, shell("c", script.format(it)), restartPolicy="Never") for name, it in forever.items()))
    assert [node.pod_when(name, finished)["status"]["phase"] for name in forever] == ["Succeeded", "Succeeded"]
    assert is_ready(node.running("runs"))
    kept = sum(path.stat().st_blocks * 512 for path in (node.directory / "logs").glob("*/c/*"))
    assert kept < 64 * MIB
