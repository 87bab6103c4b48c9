"""Pods with users of their own (`hostUsers: false`), on every runtime of the node. docs/facts/pod-lifecycle.md 11.6."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, import_image, make_node, pod_object
from runtime_classes import runtime_class

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-users")]

LENGTH = 65536
SCRIPT = """
cat /proc/self/uid_map /proc/self/gid_map
stat -c '%n %u:%g' /empty /map/key /secret/key /host/file /etc/hosts /dev/termination-log
cat /map/key /secret/key /host/file
touch /empty/made && stat -c '%n %u:%g' /empty/made
trap 'exit 0' TERM; sleep 100000 & wait
"""


@pytest.fixture(scope="module")
def node(demo_image: Path) -> Iterator[NodeUnderTest]:
    """A node in folders that others than root may pass, as they may pass /var/lib: pytest's own are closed to all."""
    folder = Path(tempfile.mkdtemp(prefix="natest-"))
    folder.chmod(0o711)
    made = make_node(folder)
    made.directory.mkdir(mode=0o755)
    import_image(made, demo_image)
    made.start()
    yield made
    made.clean()
    shutil.rmtree(folder)


def users_pod(name: str, host: Path, **spec: Any) -> dict[str, Any]:
    volumes = [
        {"name": "empty", "emptyDir": {}},
        {"name": "map", "configMap": {"name": "words"}},
        {"name": "secret", "secret": {"secretName": "words"}},
        {"name": "host", "hostPath": {"path": str(host)}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    return pod_object(
        name, "sh", "-c", SCRIPT, hostUsers=False, volumes=volumes, volumeMounts=mounts,
        automountServiceAccountToken=False, **spec,
    )  # fmt: skip


def first_host_id(node: NodeUnderTest, name: str) -> int:
    """The range of a pod as it sees it itself; the same for users and groups."""
    maps = re.findall(r"^ *0 +(\d+) +(\d+)$", node.kubectl("logs", name), re.MULTILINE)
    assert len(maps) == 2, node.kubectl("logs", name)
    assert len(set(maps)) == 1
    assert maps[0][1] == str(LENGTH)
    return int(maps[0][0])


def test_pods_have_users_of_their_own(node: NodeUnderTest) -> None:
    """Distinct ranges of 65536 on runc and crun, whose root owns what volumes show as root's and is nobody on the host; exec
    and logs work; the range outlives the agent and is free when the pod has ended."""
    host = node.directory / "shared"
    host.mkdir()
    (host / "file").write_text("of-the-host\n")
    node.kubectl("create", "configmap", "words", "--from-literal=key=from-the-map")
    node.kubectl("create", "secret", "generic", "words", "--from-literal=key=from-the-secret")
    classes = [runtime_class(name) for name in ("crun", "gvisor")]
    node.apply(*classes, users_pod("one", host), users_pod("two", host, runtimeClassName="crun"))
    firsts = {}
    for name in ("one", "two"):
        node.running(name)
        eventually(lambda name=name: "/empty/made" in node.kubectl("logs", name), "the pod's report")
        firsts[name] = first_host_id(node, name)
        log = node.kubectl("logs", name)
        owners = dict(line.split() for line in log.splitlines() if re.fullmatch(r"/\S+ \d+:\d+", line))
        assert owners == dict.fromkeys(
            ("/empty", "/map/key", "/secret/key", "/host/file", "/etc/hosts", "/dev/termination-log", "/empty/made"),
            "0:0",
        )
        for text in ("from-the-map", "from-the-secret", "of-the-host"):
            assert text in log
        assert node.kubectl("exec", name, "--", "id", "-u").strip() == "0"
    assert len(set(firsts.values())) == 2
    assert all(first % LENGTH == 0 and first > 0 for first in firsts.values())

    uid = node.pod("one")["metadata"]["uid"]
    range_file = node.root_dir / "pods" / uid / "userns"
    written = {"hostId": firsts["one"], "containerId": 0, "length": LENGTH}
    assert json.loads(range_file.read_text()) == {"uidMappings": [written], "gidMappings": [written]}
    own = [
        line.split()[1]
        for path in Path("/proc").glob("[0-9]*")
        if uid in _text(path / "cgroup")
        for line in _text(path / "status").splitlines()
        if line.startswith("Uid:")
    ]
    assert own
    assert set(own) == {str(firsts["one"])}  # to the host, root of the pod is nobody

    node.kill()
    node.start()
    status = node.running("one")["status"]["containerStatuses"][0]
    assert status["restartCount"] == 0
    node.apply(users_pod("three", host))
    node.running("three")
    eventually(lambda: "/empty/made" in node.kubectl("logs", "three"), "the pod's report")
    assert first_host_id(node, "three") not in firsts.values()

    node.kubectl("delete", "pod", "one", "--grace-period=1")
    assert not range_file.exists()
    node.apply(users_pod("four", host))
    node.running("four")
    eventually(lambda: "/empty/made" in node.kubectl("logs", "four"), "the pod's report")
    assert first_host_id(node, "four") == firsts["one"]


def test_a_runtime_without_user_namespaces_says_so(node: NodeUnderTest) -> None:
    """gVisor: the kubelet's words; the node's status tells which handlers can."""
    node.apply(
        runtime_class("gvisor"),
        pod_object("guest", "sleep", "1000", hostUsers=False, runtimeClassName="gvisor"),
    )
    assert node.event_when("guest", "FailedCreatePodSandBox") == (
        "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces"
    )
    handlers = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]["runtimeHandlers"]
    able = {item["name"]: item["features"].get("userNamespaces", False) for item in handlers}
    assert able == {"": True, "runc": True, "crun": True, "gvisor": False}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
