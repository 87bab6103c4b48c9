"""Runtimes that are missing, fail, hang or talk rubbish beside a good one: their pods say why, the others are unharmed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, import_image, make_node, pod_object
from runtime_classes import runtime_class

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-runtime-faults")]

BROKEN = ("missing", "forbidden", "failing", "rubbish")


def script(path: Path, body: str) -> None:
    """A runtime that is runc but for its `create`."""
    path.write_text(
        f'#!/bin/sh\nfor word in "$@"; do\n  if [ "$word" = create ]; then {body}; fi\ndone\nexec {shutil.which("runc")} "$@"\n'
    )
    path.chmod(0o755)


def condition(node: NodeUnderTest, kind: str) -> tuple[str, str]:
    found = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]["conditions"]
    return next(((item["status"], item["message"]) for item in found if item["type"] == kind), ("", ""))


def waiting(pod: dict[str, Any]) -> tuple[str, str]:
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    state = statuses[0]["state"]
    last = statuses[0].get("lastState", {}).get("terminated")
    found = state.get("waiting") or state.get("terminated") or {}
    return found.get("reason", ""), found.get("message", "") or (last or {}).get("message", "")


def parts(node: NodeUnderTest) -> dict[str, tuple[str, str]]:
    """The agent's parts as `nodeagent status` shows them: name -> (state, reason)."""
    command = [sys.executable, "-m", "nodeagent", "status", f"--kubeconfig={node.kubeconfig}"]
    shown = subprocess.run([*command, "--output=json"], capture_output=True, text=True, timeout=60, check=True)
    found = {part["name"]: (part["state"], part["reason"]) for part in json.loads(shown.stdout)["parts"]}
    table = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert [line.split()[:3] for line in table.splitlines() if line.startswith("PART ")] == [["PART", "STATE", "SINCE"]]
    return found


def activities(node: NodeUnderTest) -> dict[str, list[str]]:
    """What the agent is doing as `nodeagent status -v` shows it: pod -> stage, runtime, and the words of what is done."""
    command = [sys.executable, "-m", "nodeagent", "status", "-v", f"--kubeconfig={node.kubeconfig}"]
    table = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    lines = [line.split() for line in table.splitlines()]
    begin = lines.index(["NAMESPACE", "POD", "STAGE", "RUNTIME", "DOING"])
    return {line[1]: line[2:] for line in lines[begin + 1 : lines.index([], begin)]}


def counts(node: NodeUnderTest) -> dict[str, float]:
    """The agent's own metrics: a series as it is written -> its value; series of containers without their labels, summed."""
    found: dict[str, float] = {}
    for line in node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/metrics").splitlines():
        if not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            name = series if series.startswith("nodeagent_") else series.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runtimes that are not good; one of them is not there yet."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "forbidden-runtime").write_text("not a program")
    script(folder / "failing-runtime", "echo no way >&2; exit 1")
    script(folder / "rubbish-runtime", "head -c 300 /dev/urandom; exit 3")
    return folder


@pytest.fixture(scope="module")
def node(programs: Path, tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """A good runc, and others."""
    runtimes = {name: {"type": "oci", "path": str(programs / f"{name}-runtime")} for name in BROKEN}
    runtimes["runc"] = {"type": "oci", "path": shutil.which("runc") or ""}
    made = make_node(tmp_path_factory.mktemp("faults"), runtimes=runtimes, defaultRuntime="runc")
    made.directory.mkdir()
    import_image(made, demo_image)
    made.start()
    made.apply(*(runtime_class(name) for name in BROKEN))
    yield made
    made.clean()


def test_a_process_that_cannot_start(node: NodeUnderTest) -> None:
    """No such file, no permission, not a program: the runtime's words are in the status, with the reason of each."""
    commands = {"absent": "/no/such/program", "denied": "/etc/hostname", "not-elf": "/tmp/words"}
    made = [pod_object(name, command, restartPolicy="Never") for name, command in commands.items()]
    prepare = {"name": "prepare", "image": made[2]["spec"]["containers"][0]["image"]}
    mount = [{"name": "tmp", "mountPath": "/tmp"}]
    prepare |= {"command": ["sh", "-c", "echo words >/tmp/words; chmod 755 /tmp/words"], "volumeMounts": mount}
    made[2]["spec"] |= {"initContainers": [prepare], "volumes": [{"name": "tmp", "emptyDir": {}}]}
    made[2]["spec"]["containers"][0]["volumeMounts"] = mount
    node.apply(pod_object("beside", "sleep", "100000"), *made)
    node.running("beside")
    for name, words in {"absent": "no such file", "denied": "permission denied"}.items():
        pod = node.pod_when(name, lambda found: found["status"]["phase"] == "Failed", f"{name} failed")
        state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (state["exitCode"], state["reason"]) == (128, "StartError")
        assert words in state["message"].lower()
        assert any(reason == "Failed" and words in message.lower() for reason, message in node.events(name))
    # runc finds out in the container's own process, which says so in the log
    pod = node.pod_when("not-elf", lambda found: found["status"]["phase"] == "Failed")
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (1, "Error")
    assert "exec format error" in node.kubectl("logs", "not-elf")
    assert node.pod("beside")["status"]["phase"] == "Running"


def test_exec_in_a_stopped_container(node: NodeUnderTest) -> None:
    """It is refused, with words, and not with a hang."""
    node.apply(pod_object("ended", "true", restartPolicy="Never"))
    node.pod_when("ended", lambda pod: pod["status"]["phase"] == "Succeeded")
    with pytest.raises(AssertionError, match=r"completed pod|not running|container not found"):
        node.kubectl("exec", "ended", "--", "true", timeout=30)


def test_broken_runtimes_beside_a_good_one(node: NodeUnderTest, programs: Path) -> None:
    """Each pod says what is wrong with its runtime; the node is Ready, names those that are down, and runs and deletes the
    pods of the good one; one that is installed later is used then. The same is shown of the agent's parts, and what it did is
    counted."""
    node.apply(
        pod_object("good", "sleep", "100000"),
        *(pod_object(name, "sleep", "100000", runtimeClassName=name) for name in BROKEN),
    )
    node.running("good")
    for name in ("missing", "forbidden"):
        assert f"{name}-runtime" in node.event_when(name, "FailedSync")
        assert waiting(node.pod(name))[0] == "ContainerCreating"
    node.pod_when("failing", lambda pod: "no way" in waiting(pod)[1])
    node.pod_when("rubbish", lambda pod: waiting(pod)[0] in ("RunContainerError", "CrashLoopBackOff", "StartError"))
    assert condition(node, "Ready")[0] == "True"
    status, message = condition(node, "RuntimeHandlersReady")
    assert status == "False"
    assert "container runtime missing is down" in message
    assert "container runtime forbidden is down" in message
    doing = activities(node)
    assert doing["good"][:2] == ["sync", "runc"]
    assert doing["missing"][:2] == ["sync", "missing"] and "again in" in " ".join(doing["missing"])
    shown = parts(node)
    assert shown["runtime missing"][0] == shown["runtime forbidden"][0] == "failed"
    assert "missing-runtime" in shown["runtime missing"][1]
    assert shown["runtime runc"] == shown["pods"] == shown["embedded API"] == ("running", "")
    assert shown["source http"] == ("skipped", "staticPodURL is not set")
    counted = counts(node)
    assert counted['nodeagent_pod_step_duration_seconds_count{outcome="done",step="sandbox",verb="run"}'] >= 1
    assert counted["kubelet_started_pods_total"] >= 1
    assert counted["kubelet_started_containers_total"] >= 1
    node.kubectl("delete", "pod", "good", "--grace-period=1", timeout=60)

    shutil.copy(shutil.which("runc") or "", programs / "missing-runtime")
    node.running("missing")
    eventually(lambda: "missing" not in condition(node, "RuntimeHandlersReady")[1], "the node knows")
    assert parts(node)["runtime missing"] == ("running", "")
    node.kubectl("delete", "pods", "--all", "--grace-period=1", "--wait=false")
    (programs / "forbidden-runtime").unlink()
    shutil.copy(shutil.which("runc") or "", programs / "forbidden-runtime")


def test_no_node_without_its_default_runtime(tmp_path: Path) -> None:
    """The agent says in one line which program is missing, and ends with 1; nothing of it stays."""
    absent = tmp_path / "nothing"
    node = make_node(tmp_path, runtimes={"runc": {"type": "oci", "path": str(absent)}}, defaultRuntime="runc")
    with pytest.raises(AssertionError, match="the agent ended with 1"):
        node.start()
    assert [line for line in node.log().splitlines() if "ERROR" in line and str(absent) in line]
    eventually(lambda: node.leaks() == [], "nothing is left")
