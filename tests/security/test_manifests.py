"""One manifest never takes the agent down, nor another pod: not by a wrong type, a name, what it is, or what it becomes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from full_pod import FULL_POD
from node_fixtures import started_node
from node_under_test import NodeUnderTest, eventually, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-manifests")]

MISTYPED: dict[str, dict[str, Any]] = {
    "overhead": {"overhead": {"cpu": [1]}},
    "limits": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": {"a": 1}}}}]},
    "container": {"containers": [7]},
    "containers": {"containers": {"name": "c"}},
    "volume": {"volumes": [[]]},
    "selector": {"nodeSelector": {"a": [1]}},
    "security": {"securityContext": "x"},
    "probe": {"containers": [{"name": "c", "image": "i", "livenessProbe": {"httpGet": [1]}}]},
    "tolerations": {"tolerations": [{"tolerationSeconds": {}}]},
    "sysctls": {"securityContext": {"sysctls": {"a": "b"}}},
}
BOMB = "a0: &a0 [x, x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))


def manifest(name: str, metadata: dict[str, Any] | None = None, **spec: Any) -> str:
    made = pod_object(name, "sleep", "100000", automountServiceAccountToken=False)
    made["spec"] |= {"terminationGracePeriodSeconds": 1, **spec}
    made["metadata"] |= metadata or {}
    return yaml.safe_dump(made)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifests")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path, manifests: Path) -> Iterator[NodeUnderTest]:
    """A node that finds all of it in its folder when it starts."""
    for name, spec in MISTYPED.items():
        (manifests / f"{name}.yaml").write_text(manifest(name, **spec))
    (manifests / "uid.yaml").write_text(manifest("uid", {"uid": "../../../x"}))
    (manifests / "namespace.yaml").write_text(manifest("namespace", {"namespace": "../x"}))
    (manifests / "name.yaml").write_text(manifest("../name"))
    (manifests / "bomb.yaml").write_text(manifest("bomb") + BOMB)
    (manifests / "deep.yaml").write_text("a: " + "[" * 100_000)
    (manifests / "large.yaml").write_text("#" * (11 << 20))
    (manifests / "zero.yaml").symlink_to("/dev/zero")
    os.mkfifo(manifests / "pipe.yaml")
    (manifests / "good.yaml").write_text(manifest("good"))
    yield from started_node(tmp_path_factory.mktemp("node"), demo_image, kubelet={"staticPodPath": str(manifests)})


def test_the_good_pod_runs_beside_all_that_is_bad(node: NodeUnderTest, manifests: Path) -> None:
    """At the agent's start and while it runs; each bad file is told of once, in one line with its name and the field."""
    node.running(f"good-{node.name}")
    bad = [path for path in manifests.iterdir() if path.name != "good.yaml"]
    said = [line for line in node.log().splitlines() if "static pod file" in line]
    assert sorted(line.partition("static pod file ")[2].partition(" ignored: ")[0] for line in said) == sorted(
        map(str, bad)
    )
    reasons = {Path(line.partition("static pod file ")[2].partition(" ")[0]).stem: line for line in said}
    for name, text in {
        "overhead": "spec.overhead: quantities must match",
        "container": "field PodSpec.spec.containers of type v1.Container",
        "selector": "field PodSpec.spec.nodeSelector of type string",
        "uid": "metadata.uid: Invalid value",
        "namespace": "metadata.namespace: Invalid value",
        "name": "metadata.name: Invalid value",
        "bomb": "excessive aliasing",
        "deep": "exceeded max depth",
        "large": "larger than 10485760 bytes",
        "zero": "not a regular file",
        "pipe": "not a regular file",
    }.items():
        assert text in reasons[name], reasons[name]
    assert "Traceback" not in node.log()
    (manifests / "late.yaml").write_text(manifest("late", overhead={"cpu": [1]}))
    (manifests / "better.yaml").write_text(manifest("better"))
    node.running(f"better-{node.name}")
    eventually(lambda: f"{manifests / 'late.yaml'} ignored: spec.overhead" in node.log(), "it is told")
    for path in ("good.yaml", "better.yaml"):
        (manifests / path).unlink()
    eventually(lambda: not node._processes("conmon"), "the good ones end with their files")


def test_the_api_refuses_the_same(node: NodeUnderTest) -> None:
    """Each through the embedded API, created and put in place of a pod: 4xx, and a reason; nothing in its log."""
    node.apply(pod_object("there", "sleep", "100000"))
    node.running("there")
    there = json.dumps(node.pod("there"))
    before = len(node.log())
    for name, spec in MISTYPED.items():
        for verb in ("create", "replace"):
            body = json.loads(there) if verb == "replace" else json.loads(json.dumps(FULL_POD))
            body["spec"] |= spec
            said = node.kubectl(verb, "--validate=false", "-f", "-", stdin=json.dumps(body), check=False)
            assert "BadRequest" in said or "is invalid" in said, (name, verb, said)
    assert "Traceback" not in node.log()[before:]
    assert node.pod("there")["status"]["phase"] == "Running"
