"""A monitor that hangs keeps no pod: real conmon, stopped by a signal."""

import os
import signal
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, eventually
from pods_under_test import make_pod

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-monitor")]


def monitors(node: NodeUnderTest) -> list[int]:
    """The pids of this node's conmon processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if Path(os.fsdecode(argv[0])).name == "conmon" and any(str(node.directory).encode() in word for word in argv):
            found.append(int(path.parent.name))
    return found


def test_a_stopped_monitor(node: NodeUnderTest) -> None:
    """Its container is killed, the monitor too, and the pod goes; the log says why."""
    node.apply(make_pod("held"))
    node.running("held")
    (monitor,) = monitors(node)
    os.kill(monitor, signal.SIGSTOP)
    node.delete_pods("held")
    eventually(lambda: "NotFound" in node.kubectl("get", "pod", "held", check=False), "the pod is gone")
    assert monitors(node) == []
    assert "does not see its end: it is killed" in node.log()
    assert "unhandled errors in a TaskGroup" not in node.log()
