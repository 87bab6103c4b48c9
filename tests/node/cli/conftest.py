"""A place for one agent of its own on this machine: folders, ports, bridge, subnet, cgroup root."""

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from live_trees import cgroups_below, remove_cgroups

from runtimes.testing.networks import claim_subnet

REPO = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`name` is in everything that the agent makes, so that left-overs can be found."""

    name: str
    folder: Path
    config: Path
    bridge: str
    cgroup: str

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "NODEAGENT_CONFIG": str(self.config),
            "NODEAGENT_STATE_DIR": str(self.state_dir),
            "NODEAGENT_ROOT_DIR": str(self.folder / "root"),
            "NODEAGENT_RUN_DIR": str(self.folder / "run"),
            "NODEAGENT_CONTAINER_LOGS_DIR": str(self.folder / "containers"),
            "NODEAGENT_NODE_NAME": self.name,
        }

    def left_overs(self) -> list[str]:
        """Mounts, links, cgroups and processes that carry the name; empty when nothing was left."""
        found = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines() if self.name in line]
        found += [str(path) for path in Path("/sys/class/net").glob(f"{self.bridge}*")]
        found += [str(path) for path in cgroups_below(self.cgroup) if path.name.startswith("pod")]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if self.name.encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                    found.append(str(path))
            except OSError:
                continue
        return found


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place that is empty before and after."""
    name = f"nacli{uuid.uuid4().hex[:8]}"
    folder = Path("/tmp") / name  # short: sockets have paths of at most 107 bytes
    folder.mkdir()
    node_api, healthz, api = free_ports(3)
    documents = [
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "port": node_api,
            "healthzPort": healthz,
            "cgroupRoot": f"/{name}",
            "podLogsDir": str(folder / "pods"),
        },
        {
            "apiVersion": "nodeagent.dev/v1alpha1",
            "kind": "NodeAgentConfiguration",
            "runtimes": {"runc": {"type": "oci", "path": shutil.which("runc")}},
            "cni": {
                "confDir": str(folder / "cni"),
                "cacheDir": str(folder / "cni-cache"),
                "ipamDir": str(folder / "cni-ipam"),
                "networkName": name,
                "bridge": name[:15],
                "subnet": claim_subnet(),
            },
            "apiServer": {"port": api},
        },
    ]
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump_all(documents))
    yield Place(name=name, folder=folder, config=config, bridge=name[:15], cgroup=f"/{name}")
    remove_cgroups(f"/{name}")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def demo_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo.tar"
    subprocess.run([REPO / "hack/demo-image", path], check=True, timeout=60, capture_output=True)
    return path
