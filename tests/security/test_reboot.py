"""A reboot leaks nothing: no address, no sandbox. Simulated: every process, namespace, mount and the run folder gone."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, eventually
from pods_under_test import make_pod, restarted

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-reboot")]


def reboot(node: NodeUnderTest) -> None:
    """What the machine forgets, of this node only."""
    node.kill()
    run = str(node.directory / "run")
    pods = list(Path("/sys/fs/cgroup/pids").glob(f"{node.cgroup.strip('/')}/**/cgroup.procs"))
    for path in pods:
        for pid in path.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: not any(path.read_text().split() for path in pods if path.exists()), "all processes end")
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()]
    for point in reversed([point for point in points if point.startswith(f"{run}/")]):
        subprocess.run(["umount", "-l", point], check=True)
    shutil.rmtree(run)
    subprocess.run(["ip", "link", "del", node.bridge], check=True)
    rules = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, check=True).stdout
    for rule in rules.splitlines():
        if rule.startswith("-A") and f'name: \\"{node.bridge}\\"' in rule:
            argv = ["-D", *shlex.split(rule)[1:]]
            subprocess.run(["iptables", "-w", "5", "-t", "nat", *argv], capture_output=True, check=False)


def test_reboots_leak_no_address_and_no_sandbox(node: NodeUnderTest) -> None:
    """After three: the pod runs again with one address, and the records are not those of all sandboxes there ever were."""
    node.apply(make_pod("stays"))
    node.running("stays")
    for number in range(1, 4):
        reboot(node)
        node.start()
        node.pod_when("stays", restarted(number), f"it is back after reboot {number}")
        pod = node.running("stays")
        taken = [path.name for path in (node.directory / "ipam" / node.bridge).iterdir() if path.name[0].isdigit()]
        assert taken == [pod["status"]["podIP"]]
    records = list((node.directory / "state" / "runtimes" / "runc" / "sandboxes").iterdir())
    assert len(records) <= 3  # the one that is, that of the dead container, and one that is forgotten with the next
