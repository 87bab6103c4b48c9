"""A runtime type of another package, installed with pip and used by a whole node: examples/runtime-plugin."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from node_under_test import REPO, NodeUnderTest, pod_object
from runtime_classes import runtime_class

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("agent-runtime-plugin"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as pip installs it."""
    pytest.importorskip("setuptools", reason="pip builds the example with the setuptools of this environment")
    folder = tmp_path_factory.mktemp("plugin")
    source, target = folder / "source", folder / "site"
    shutil.copytree(REPO / "examples" / "runtime-plugin", source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True, timeout=100)
    return target


@pytest.fixture
def installed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, on the path of every Python that the test starts."""
    target = tmp_path / "site"
    shutil.copytree(site, target)
    monkeypatch.setenv("PYTHONPATH", str(target))
    return target


def test_a_pod_on_a_runtime_of_another_package(
    installed: Path, own_node: Callable[..., NodeUnderTest], tmp_path: Path
) -> None:
    """The RuntimeClass names the handler of the type `traced`: the pod runs, logs and exec work, its calls are written down;
    pods of the built-in type beside it are not."""
    calls = tmp_path / "calls.jsonl"
    runtimes = {
        "runc": {"type": "oci", "path": shutil.which("runc")},
        "runc-traced": {"type": "traced", "path": shutil.which("runc"), "options": {"file": str(calls)}},
    }
    node = own_node(runtimes=runtimes, defaultRuntime="runc")
    node.start()
    node.apply(runtime_class("traced", "runc-traced"))
    node.apply(
        pod_object("watched", "sleep", "100000", runtimeClassName="traced"), pod_object("plain", "sleep", "100000")
    )
    status = node.running("watched")["status"]["containerStatuses"][0]
    assert status["containerID"].startswith("runc-traced://")
    assert node.running("plain")["status"]["containerStatuses"][0]["containerID"].startswith("runc://")
    assert node.kubectl("exec", "watched", "--", "hostname") == "watched\n"
    written = [json.loads(line) for line in calls.read_text().splitlines()]
    container_id = status["containerID"].partition("://")[2]
    verbs = [call["verb"] for call in written]
    assert [verbs.count(verb) for verb in ("run_pod_sandbox", "create_container", "start_container")] == [1, 1, 1]
    assert {call["fault"] for call in written} == {""}
    assert [call["id"] for call in written if call["verb"] == "start_container"] == [container_id]
    assert {call["handler"] for call in written} == {"runc-traced"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"path": "/usr/sbin/runc"}, "runtimes.x: options.file: needs the absolute path of the file to write"),
        (
            {"path": "/usr/sbin/runc", "options": {"file": "/f", "fiel": 1}},
            "runtimes.x: options.fiel: unknown field",
        ),
        ({"options": {"file": "/f"}}, "runtimes.x: path: needs the absolute path of the runtime's program"),
    ],
)
def test_mistakes_are_told(installed: Path, tmp_path: Path, settings: dict[str, Any], expected: str) -> None:
    """What the package does not understand ends the program with one line that names the field."""
    assert _complaint(tmp_path, {"type": "traced", **settings}) == expected


def test_a_package_that_cannot_be_imported(installed: Path, tmp_path: Path) -> None:
    """One line that names the type, the package and the reason; exit code 1."""
    (installed / "traced_runtime.py").write_text("import something_that_is_not_installed\n")
    complaint = _complaint(tmp_path, {"type": "traced"})
    assert complaint.startswith("runtimes.x: type 'traced' of package nodeagent-traced-runtime cannot be loaded: ")
    assert complaint.endswith("No module named 'something_that_is_not_installed'")


def _complaint(tmp_path: Path, settings: dict[str, Any]) -> str:
    """The one line that a server with such a runtime logs before it gives up."""
    document = {"apiVersion": "nodeagent.dev/v1alpha1", "kind": "NodeAgentConfiguration", "runtimes": {"x": settings}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "nodeagent", "runtime", "serve", f"--config={tmp_path / 'config.yaml'}"]
    command += [f"--listen=unix://{tmp_path}/s", f"--state-dir={tmp_path / 'state'}", f"--run-dir={tmp_path / 'run'}"]
    done = subprocess.run([*command, "--log-format=json"], cwd=REPO, capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    return str(json.loads(line)["msg"])
