"""A node without a controller that pods are limited by: what it is asked for and cannot do, it says wherever somebody looks."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cgroup_files import UNIFIED, CgroupFiles
from node_under_test import REPO, NodeUnderTest, eventually, make_node
from pods_under_test import conditions, make_pod

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("limits"),
    pytest.mark.skipif(UNIFIED, reason="a controller of cgroup v2 cannot be hidden from one process"),
]

# the node, and everything that it starts, do not see that hierarchy; all others do
WITHOUT_PIDS = ("unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/pids && exec "$0" "$@"')


def test_no_pids_controller(own_node: Callable[..., NodeUnderTest]) -> None:
    """Pods run; the Ready condition, an event of each pod that is not held, and `nodeagent check` name what is missing."""
    node = own_node(kubelet={"podPidsLimit": 20})
    node.inside = WITHOUT_PIDS
    node.start()
    node.apply(make_pod("free"))
    node.running("free")
    found = node.api.get(f"api/v1/nodes/{node.name}")
    assert found is not None
    ready = "kubelet is posting ready status. WARNING: no cgroup controller pids: limits of pods are not held"
    assert conditions(found)["Ready"] == ("True", "KubeletReady", ready)
    unheld = "The pod is not held to its limits of pids: this node has no such cgroup controller"
    assert node.event_when("free", "LimitsNotEnforced") == unheld
    assert not CgroupFiles(f"{node.cgroup}/kubepods").file("pids", "").exists()
    command = [*WITHOUT_PIDS, sys.executable, "-m", "nodeagent", "check", f"--config={node.directory}/config.yaml"]
    checked = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert "no pids controller: limits cannot be held" in checked.stdout
    eventually(lambda: node.kubectl("delete", "pod", "free", "--grace-period=1"), "it goes")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        (
            "systemReserved",
            {"memory": "100000Gi"},
            'Resource "memory" has a reservation of ',
        ),
        ("kubeReserved", {"cpu": "1000"}, 'Resource "cpu" has a reservation of 1000 but capacity of '),
        ("reservedSystemCPUs", "0,5000", "reservedSystemCPUs: 0,5000 are not all online; the machine has 0"),
    ],
)
def test_more_reserved_than_there_is(tmp_path: Path, field: str, value: Any, told: str) -> None:
    """The agent ends with 2 and a line that names what is too much, before it has made anything of pods."""
    node = make_node(tmp_path, kubelet={field: value})
    node.start_with("--standalone", log_level="info")
    assert node.agent is not None
    status = node.agent.wait(30)
    assert (status, told in node.log()) == (2, True), node.log()[-1000:]
    assert node.leaks() == []
