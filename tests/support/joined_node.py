"""A node that joins an API server that is not its own: the API a process apart, and a faulty proxy between the two."""

import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faulty_api import FaultyAPI
from node_under_test import REPO, NodeUnderTest, eventually, free_port, import_image, make_node
from typing_extensions import override

from cni.default import DefaultNetwork, write_default


@dataclass
class JoinedNode(NodeUnderTest):
    """`proxy` stands before the API that the agent uses; kubectl asks the API itself."""

    proxy: FaultyAPI | None = None
    health_port: int = 0

    @property
    @override
    def kubeconfig(self) -> Path:
        return self.api_dir / "admin.kubeconfig"

    @property
    def api_dir(self) -> Path:
        """Beside the node's folder: the API outlives the node."""
        return self.directory.with_name(f"api-{self.name}")

    def join(self) -> None:
        """Start the agent; returns at once."""
        assert self.proxy is not None
        self.start_with(f"--kubeconfig={self.proxy.kubeconfig}")

    @override
    def start(self, log_level: str = "debug") -> None:
        self.join()
        eventually(self._ready, "node ready")

    def healthz(self, check: str = "") -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/healthz{check}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready_condition(self) -> dict[str, Any]:
        node = self.api.get(f"api/v1/nodes/{self.name}")
        assert node is not None
        found: dict[str, Any] = next(item for item in node["status"]["conditions"] if item["type"] == "Ready")
        return found


@contextlib.contextmanager
def joined_node(directory: Path, image: Path) -> Iterator[JoinedNode]:
    """A node with its image, its API and its proxy up, and its agent not yet started."""
    base = make_node(directory)
    health_port = free_port()
    node = JoinedNode(
        **{field: getattr(base, field) for field in ("directory", "name", "subnet", "bridge", "cgroup", "port")},
        config={"kubelet": {"healthzPort": health_port, "nodeStatusUpdateFrequency": "1s"}},
        health_port=health_port,
    )
    node.directory.mkdir(parents=True)
    (node.directory / "cni").mkdir()
    node.api_dir.mkdir()
    network = DefaultNetwork(name=node.bridge, bridge=node.bridge, subnet=node.subnet, ipam_dir=node.directory / "ipam")
    write_default(node.directory / "cni", network)
    import_image(node, image)
    with (node.api_dir / "api.log").open("ab") as log:
        api = subprocess.Popen(
            [
                *(sys.executable, "-m", "nodeagent.apiserver", f"--state-dir={node.api_dir}"),
                *(f"--node-name={node.name}", "--port=0", "--log-level=WARNING"),
                "--authorization-mode=Node",
            ],
            cwd=REPO,
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    assert api.stdout is not None
    try:
        assert api.stdout.readline(), (node.api_dir / "api.log").read_text()[-2000:]
        with FaultyAPI(node.api_dir / "node.kubeconfig", node.api_dir) as proxy:
            node.proxy = proxy
            try:
                yield node
            finally:
                proxy.clear()
                node.clean()
    finally:
        api.terminate()
        api.wait(30)
        api.stdout.close()
