"""What a pod's author writes into annotations reaches no runtime, unless the node's configuration says so. Real runtimes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, import_image, make_node
from pods_under_test import finished, make_pod, shell, state_of
from runtime_classes import runtime_class

from nodeagent.config.runtimes import GVISOR_ARGS

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-annotations")]

EVIL = "nasec-evil"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """runc, crun, gVisor, and a gVisor that may be told by pods how to log."""
    paths = {name: shutil.which(name) for name in ("runc", "crun", "runsc")}
    gvisor = {"type": "oci", "path": paths["runsc"], "args": list(GVISOR_ARGS), "infraContainer": "always"}
    runtimes = {
        "runc": {"type": "oci", "path": paths["runc"]},
        "crun": {"type": "oci", "path": paths["crun"]},
        "gvisor": gvisor,
        "trusting": {**gvisor, "podAnnotations": ["dev.gvisor.internal.nothing.*"]},
    }
    made = make_node(tmp_path_factory.mktemp("annotations"), runtimes=runtimes, defaultRuntime="runc")
    made.directory.mkdir()
    import_image(made, demo_image)
    made.start()
    made.apply(*(runtime_class(name) for name in runtimes))
    yield made
    made.clean()


def annotated(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    annotations = {
        "dev.gvisor.spec.cgroup-parent": f"/{EVIL}",
        "dev.gvisor.internal.nothing.at-all": "kept",
        "run.oci.hooks.stdout": f"/tmp/{EVIL}",
        "org.systemd.property.Description": EVIL,
        "io.kubernetes.cri.sandbox-id": EVIL,
    }
    return make_pod(name, *containers, metadata={"annotations": annotations}, **spec)


def specs(node: NodeUnderTest, handler: str) -> list[dict[str, Any]]:
    """What the runtime is told of each container."""
    return [
        json.loads(path.read_text()) for path in (node.directory / "run").glob(f"**/{handler}/bundles/*/config.json")
    ]


def test_no_annotation_of_a_pod_reaches_a_runtime(node: NodeUnderTest) -> None:
    """On runc, crun and gVisor none; with an allow-list what it names, and nothing that would name another pod; gVisor's sandbox
    is in the pod's own cgroup."""
    ours = {
        "container-type",
        "sandbox-id",
        "sandbox-name",
        "sandbox-namespace",
        "sandbox-uid",
        "container-name",
        "image-name",
    }
    expected = {f"io.kubernetes.cri.{name}" for name in ours}
    handlers = ("runc", "crun", "gvisor", "trusting")
    for handler in handlers:
        node.apply(annotated(handler, runtimeClassName=handler))
    for handler in handlers:
        node.running(handler)
    for handler in handlers:
        found = specs(node, handler)
        assert found, handler
        for spec in found:
            more = set(spec["annotations"]) - expected
            assert more == ({"dev.gvisor.internal.nothing.at-all"} if handler == "trusting" else set()), handler
            assert EVIL not in spec["annotations"].values()
    assert list(Path("/sys/fs/cgroup").glob(f"*/{EVIL}*")) == []


def test_a_gvisor_pod_stays_in_its_limits(node: NodeUnderTest) -> None:
    """An annotation that names another cgroup does not lift the memory limit."""
    greedy = shell(
        "c", "dd bs=200000000 count=1 if=/dev/zero of=/dev/null; exit $?", resources={"limits": {"memory": "96Mi"}}
    )
    node.apply(annotated("greedy", greedy, runtimeClassName="gvisor", restartPolicy="Never"))
    pod = node.pod_when("greedy", finished)
    assert state_of(pod)[2] == 137, pod["status"]
