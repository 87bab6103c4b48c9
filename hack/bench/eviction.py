#!/usr/bin/env python3
"""How long a node takes from the moment its hard threshold of memory is crossed to its victim's SIGKILL.

    sudo hack/bench/eviction.py [--rounds 10] [--megabytes-per-second 0] [--pods 20]

A standalone node of its own, whose pods live in a cgroup of 600 MiB with a threshold of 150 MiB, is left alone for some seconds;
then a pod fills a volume in memory, as fast as it can or in steps. The cgroup is watched every millisecond; the victim's end is
its pidfd's. The victim ignores SIGTERM.
"""

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests" / "support")]
from node_under_test import DEMO_IMAGE, NodeUnderTest, eventually, import_image, make_node  # noqa: E402
from pods_under_test import make_pod, shell  # noqa: E402

from runtimes.linux.cgroups.contract import CgroupLimits  # noqa: E402
from runtimes.linux.cgroups.detect import detect  # noqa: E402

MIB = 2**20
LIMIT, THRESHOLD = 600 * MIB, 150 * MIB
REST_SECONDS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--megabytes-per-second", type=int, default=0, help="0: as fast as it can")
    parser.add_argument("--pods", type=int, default=20, help="that do nothing, beside the victim")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-eviction-") as folder:
        node = started(Path(folder))
        try:
            node.apply(*(make_pod(f"idle-{number}") for number in range(arguments.pods)))
            for number in range(arguments.pods):
                node.running(f"idle-{number}")
            found = [one_round(node, number, arguments.megabytes_per_second) for number in range(arguments.rounds)]
        finally:
            node.clean()
    print(f"rounds {len(found)}, ms: median {statistics.median(found):.0f}, worst {max(found):.0f}; all {found}")
    return 0


def started(folder: Path) -> NodeUnderTest:
    thresholds = {"memory.available": str(THRESHOLD)}
    node = make_node(folder, kubelet={"evictionHard": thresholds, "evictionPressureTransitionPeriod": "1s"})
    cgroups = detect()
    cgroups.create(node.cgroup)
    cgroups.apply(node.cgroup, CgroupLimits(memory_limit_bytes=LIMIT))
    node.directory.mkdir()
    archive = folder / "demo.tar"
    subprocess.run([str(REPO / "hack" / "demo-image"), str(archive), "--tag", DEMO_IMAGE], check=True, timeout=60)
    import_image(node, archive)
    node.start(log_level="info")
    return node


def one_round(node: NodeUnderTest, number: int, rate: int) -> int:
    """Milliseconds."""
    name = f"victim-{number}"
    step = "dd if=/dev/zero of=/m/f$i bs=1M count={} 2>/dev/null"
    fill = f"for i in $(seq 100); do {step.format(max(1, rate // 10))}; sleep 0.1; done" if rate else step.format(560)
    script = f"trap '' TERM; while ! [ -e /m/go ]; do sleep 0.05; done; {fill}; sleep 100000"
    volume: dict[str, Any] = {"name": "m", "emptyDir": {"medium": "Memory"}}
    mounts = [{"name": "m", "mountPath": "/m"}]
    node.apply(make_pod(name, shell("c", script, volumeMounts=mounts), volumes=[volume]))
    pod = node.running(name)
    go = node.root_dir / "pods" / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~empty-dir" / "m" / "go"
    process = main_process(pod["metadata"]["uid"])
    time.sleep(REST_SECONDS)
    crossed, killed = watch(node, process, go)
    eventually(lambda: node.pod(name)["status"].get("reason") == "Evicted", "evicted")
    node.kubectl("delete", "pod", name, "--grace-period=1")
    return round((killed - crossed) * 1000)


def main_process(uid: str) -> int:
    """The first process of the pod's container: the shell that carries its script."""
    for entry in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if uid in entry.read_text() and b"/m/go" in (entry.parent / "cmdline").read_bytes():
                return int(entry.parent.name)
        except OSError:
            continue
    raise SystemExit(f"no process of pod {uid}")


def watch(node: NodeUnderTest, process: int, go: Path) -> tuple[float, float]:
    """(when the threshold was crossed, when the victim was dead)"""
    memory = detect().statistics
    ended = select.poll()
    pidfd = os.pidfd_open(process)
    ended.register(pidfd, select.POLLIN)
    go.touch()
    crossed, deadline = 0.0, time.monotonic() + 60
    while time.monotonic() < deadline:
        used = memory.memory(node.cgroup).working_set_bytes or 0
        if not crossed and LIMIT - used < THRESHOLD:
            crossed = time.monotonic()
        if ended.poll(1):
            os.close(pidfd)
            return crossed, time.monotonic()
    raise SystemExit("nobody was evicted within a minute")


if __name__ == "__main__":
    sys.exit(main())
