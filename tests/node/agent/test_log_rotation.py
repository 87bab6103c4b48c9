"""Log rotation by a whole node: `kubectl logs -f` across it on two kinds of runtime, and an agent that is killed meanwhile."""

import gzip
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containerd_under_test import Containerd, containerd
from node_under_test import NodeUnderTest, eventually, pod_object
from runtime_classes import runtime_class

from nodeagent.server.log_lines import parse_line

pytestmark = pytest.mark.node

LINES = 50_000
EXPECTED = [f"line {number}" for number in range(1, LINES + 1)]


def writer(seconds: int) -> str:
    """A script that writes the lines in as many bursts as seconds, once it is told to."""
    return (
        "while ! test -e /tmp/go; do sleep 0.1; done; i=0; "
        f"while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; [ $((i % {LINES // seconds})) = 0 ] && sleep 1; done; "
        "while ! test -e /tmp/end; do sleep 0.1; done; sleep 1"  # whoever made it has ended
    )


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Containerd | None]:
    if shutil.which("containerd") is None:
        yield None
        return
    with containerd(tmp_path_factory.mktemp("c"), demo_image) as started:
        yield started


@pytest.fixture
def node(daemon: Containerd | None, own_node: Callable[..., NodeUnderTest]) -> NodeUnderTest:
    """Logs are rotated at 64 KiB, looked at as often as the configuration allows, and none is ever dropped."""
    runtimes = {"runc": {"type": "oci", "path": shutil.which("runc")}}
    if daemon is not None:
        runtimes["containerd"] = {"type": "cri", "endpoint": daemon.endpoint, "handler": "runc"}
    kubelet = {"containerLogMaxSize": "64Ki", "containerLogMaxFiles": 50, "containerLogMonitorInterval": "3s"}
    made = own_node(runtimes=runtimes, defaultRuntime="runc", kubelet=kubelet)
    made.start()
    made.apply(*(runtime_class(name) for name in runtimes))
    for name in runtimes:
        made.apply(pod_object(name, "sh", "-c", writer(6), runtimeClassName=name, restartPolicy="Never"))
    for name in runtimes:
        made.running(name)
    return made


def files(node: NodeUnderTest, pod: str) -> list[Path]:
    """A container's log files, the oldest first."""
    (folder,) = (node.directory / "logs").glob(f"default_{pod}_*/c")
    return [*sorted(folder.glob("0.log.*")), folder / "0.log"]


def kept_lines(node: NodeUnderTest, pod: str) -> list[str]:
    """All lines of all files of a container's log."""
    text = b""
    for path in files(node, pod):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for raw in data.splitlines():
            line = parse_line(raw)
            assert line is not None, (path, raw)
            text += line.content + (b"" if line.partial else b"\n")
    return text.decode().splitlines()


def test_follow_and_kill(node: NodeUnderTest, daemon: Containerd | None) -> None:
    """Who follows gets each of 50,000 lines once, in order, until the container ends; the link for log collectors leads to the
    live log; afterwards, with the agent killed again and again while it rotates, every line is on disk once."""
    pods = ["runc"] if daemon is None else ["runc", "containerd"]
    followers = {}
    for pod in pods:
        followers[pod] = subprocess.Popen(
            ["kubectl", f"--kubeconfig={node.kubeconfig}", "logs", "-f", pod],
            stdout=(node.directory / f"{pod}.followed").open("wb"),
            stderr=subprocess.PIPE,
        )
    for pod in pods:
        node.kubectl("exec", pod, "--", "touch", "/tmp/go")
    for pod in pods:
        eventually(lambda pod=pod: kept_last(node, pod) == EXPECTED[-1], f"{pod} has written all")
        node.kubectl("exec", pod, "--", "touch", "/tmp/end")
    for pod, follower in followers.items():
        _, errors = follower.communicate(timeout=60)
        assert (follower.returncode, errors) == (0, b"")
        assert (node.directory / f"{pod}.followed").read_text().splitlines() == EXPECTED, pod
        assert kept_lines(node, pod) == EXPECTED, pod
        assert len(files(node, pod)) >= 3, "it was rotated more than once"
        (link,) = (node.directory / "containers").glob(f"{pod}_default_c-*.log")
        assert link.resolve() == files(node, pod)[-1]

    node.apply(pod_object("again", "sh", "-c", writer(9), restartPolicy="Never"))
    node.running("again")
    node.kubectl("exec", "again", "--", "touch", "/tmp/go")
    for number in range(3):
        time.sleep(0.7 * number)  # some moment
        node.kill()
        node.start()
    eventually(lambda: kept_last(node, "again") == EXPECTED[-1], "it has written all")
    eventually(lambda: len(files(node, "again")) >= 2, "it is rotated by the agent that came back")
    assert kept_lines(node, "again") == EXPECTED
    names = [path.name for path in files(node, "again")]
    assert not [name for name in names if name.endswith(".tmp")]


def kept_last(node: NodeUnderTest, pod: str) -> str:
    """The last line that a container has written so far."""
    for path in reversed(files(node, pod)):
        if path.exists() and path.suffix != ".gz" and (lines := path.read_bytes().splitlines()):
            return lines[-1].split(b" ", 3)[-1].decode()
    return ""
