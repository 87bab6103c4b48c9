#!/usr/bin/env python3
"""How long `nodeagent run --standalone` takes from exec to a Ready node, seen through the API.

    sudo hack/bench/startup.py [--rounds 6]

Each round is a new node in a folder of its own, keys and store included; it is taken down before the next.
"""

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from lightkube.models.core_v1 import Node

from nodeagent.api import kubeconfig
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from runtimes.testing.networks import claim_subnet

REPO = Path(__file__).resolve().parents[2]
NAME = "bench-startup"
DEADLINE_SECONDS = 60.0
LOOK_SECONDS = 0.005


def configuration(folder: Path) -> str:
    kubelet: dict[str, object] = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    agent = {"apiVersion": "nodeagent.dev/v1alpha1", "kind": "NodeAgentConfiguration"}
    kubelet |= {"port": 19350, "healthzPort": 19348, "cgroupRoot": f"/{NAME}", "podLogsDir": str(folder / "pods")}
    cni = {key: str(folder / key) for key in ("confDir", "cacheDir", "ipamDir")}
    cni |= {"networkName": NAME, "bridge": NAME, "subnet": claim_subnet()}
    runtimes = {"runc": {"type": "oci", "path": shutil.which("runc")}}
    return yaml.safe_dump_all([kubelet, {**agent, "runtimes": runtimes, "cni": cni, "apiServer": {"port": 19543}}])


async def ready(path: Path) -> None:
    async with ApiClient(kubeconfig.load(path), qps=-1) as client:
        while True:
            try:
                node = await client.get(Node, NAME)
                conditions = (node.status.conditions if node.status is not None else None) or ()
                if any(item.type == "Ready" and item.status == "True" for item in conditions):
                    return
            except ApiError:
                pass  # not there yet
            await asyncio.sleep(LOOK_SECONDS)


def one_round() -> float:
    with tempfile.TemporaryDirectory(prefix="nodeagent-bench-") as made:
        folder = Path(made)
        (folder / "config.yaml").write_text(configuration(folder))
        places = [f"--{kind}-dir={folder / kind}" for kind in ("state", "root", "run", "container-logs")]
        argv = [sys.executable, "-m", "nodeagent", "run", "--standalone", f"--config={folder / 'config.yaml'}"]
        with (folder / "log").open("w") as log:
            began = time.monotonic()
            agent = subprocess.Popen([*argv, *places, f"--node-name={NAME}"], cwd=REPO, stdout=log, stderr=log)
            try:
                path = folder / "state" / "admin.kubeconfig"
                while not path.exists() and time.monotonic() - began < DEADLINE_SECONDS:
                    time.sleep(LOOK_SECONDS)
                asyncio.run(asyncio.wait_for(ready(path), DEADLINE_SECONDS))
                return time.monotonic() - began
            except (TimeoutError, kubeconfig.KubeconfigError):
                raise SystemExit(f"not Ready after {DEADLINE_SECONDS:g} s:\n{(folder / 'log').read_text()}") from None
            finally:
                agent.send_signal(signal.SIGTERM)
                agent.wait(DEADLINE_SECONDS)
                take_down(folder)


def take_down(folder: Path) -> None:
    subprocess.run(["umount", str(folder / "root")], capture_output=True, check=False)
    subprocess.run(["ip", "link", "delete", NAME], capture_output=True, check=False)
    for root in Path("/sys/fs/cgroup").glob(f"**/{NAME}"):
        for below, _, _ in os.walk(root, topdown=False):
            Path(below).rmdir()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    seconds = [one_round() for _ in range(options.rounds)]
    print(
        f"exec -> Ready: p50 {statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f}; load {load:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
