"""Containers that exchange folders for links in a volume while other pods mount parts of it. Real pods on the real engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, pod_object

from runtimes.linux.mounts import mounts_below

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-subpath")]

PODS = 16
SHORT = {"terminationGracePeriodSeconds": 1}
# the machine's Python in the container, as busybox cannot exchange two names at once (renameat2, RENAME_EXCHANGE)
HOST = [("usr", "/usr"), ("lib", "/usr/lib"), ("lib64", "/usr/lib64")]
EXCHANGE = """
import ctypes, os, sys
libc, target = ctypes.CDLL(None), sys.argv[1]
os.path.lexists("/v/l") or os.symlink(target, "/v/l")
open("/v/ready", "w").close()
while True:
    libc.renameat2(-100, b"/v/d", -100, b"/v/l", 2)
"""


class Attack:
    """A volume on the host with a folder `d`, which a container exchanges for a link to what lies outside, without end."""

    def __init__(self, node: NodeUnderTest, folder: Path) -> None:
        self.node = node
        self.volume, self.victim = folder / "volume", folder / "victim"
        for place, word in ((self.volume / "d", "own"), (self.victim, "victim")):
            (place / "x").mkdir(parents=True)
            (place / "x/file").write_text(word)
            (place / "file").write_text(word)
        self.volume.chmod(0o777)

    def begin(self) -> None:
        volumes = [{"name": name, "hostPath": {"path": path}} for name, path in (*HOST, ("v", str(self.volume)))]
        mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("usr", "lib", "lib64", "v")]
        spec = {"volumes": volumes, "volumeMounts": mounts, **SHORT}
        self.node.apply(pod_object("exchanger", "/usr/bin/python3", "-c", EXCHANGE, str(self.victim), **spec))
        eventually((self.volume / "ready").exists, "the exchange goes on")

    def read(self, name: str, path: str, **spec: Any) -> None:
        """A pod that has `path` of the volume, says what it finds there, and goes on."""
        script = "cat /m/file /m 2>/dev/null; ls /m; echo end; sleep 100000"
        volumes = [{"name": "v", "hostPath": {"path": str(self.volume)}}]
        mounts = [{"name": "v", "mountPath": "/m", "subPath": path}]
        self.node.apply(pod_object(name, "sh", "-c", script, volumes=volumes, volumeMounts=mounts, **SHORT, **spec))

    def outcome(self, name: str) -> str:
        """What the pod has said, or why it is refused; empty: neither yet."""
        for status in self.node.pod(name)["status"].get("containerStatuses", ()):
            waiting = status["state"].get("waiting", {})
            if "subPath" in waiting.get("message", ""):
                return str(waiting["message"])
            if "running" in status["state"] and (log := self.node.container_log(name, "c")).endswith("end"):
                return log
        return ""


@pytest.fixture
def attack(node: NodeUnderTest, tmp_path: Path) -> Iterator[Attack]:
    made = Attack(node, tmp_path)
    made.begin()
    yield made
    node.kubectl("delete", "pod", "--all", "--grace-period=1", "--wait", timeout=120)
    assert mounts_below(tmp_path) == []


def test_a_pod_sees_its_volume_or_does_not_start(attack: Attack) -> None:
    """The last part of the path, one above it, a file, or what has to be made is exchanged (CVE-2017-1002101, CVE-2021-25741):
    the pod has the volume's own, or is refused in words that show nothing of the host. Nothing is made outside."""
    names = [f"reads-{number}" for number in range(PODS)]
    for number, name in enumerate(names):
        attack.read(name, ("d", "d/x", "d/x/file", f"d/made{number}/deep")[number % 4])
    found = [eventually(lambda name=name: attack.outcome(name), f"{name} starts or is refused") for name in names]
    for text in found:
        assert "victim" not in text
        assert str(attack.victim) not in text and str(attack.volume) not in text
    assert sorted(str(path.relative_to(attack.victim)) for path in attack.victim.rglob("*")) == ["file", "x", "x/file"]
