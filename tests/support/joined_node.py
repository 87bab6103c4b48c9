"""A node that joins an API server that is not its own: the API a process apart, and a faulty proxy between the two."""

import contextlib
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faulty_api import FaultyAPI
from node_under_test import HURRIED, REPO, NodeUnderTest, eventually, free_port, import_image, make_node
from typing_extensions import override

from cni.default import DefaultNetwork, write_default
from nodeagent.apiserver.kubeconfig import write_kubeconfig
from nodeagent.apiserver.pki import Pki

# What an outage costs a test is the real back-offs and time-outs, each tens of seconds; the real ones: tests/unit/nodeagent/api.
HURRY = (
    "nodeagent.api.authorities:CHECK_SECONDS=1",
    "nodeagent.api.certificates:CHECK_SECONDS=1",
    "nodeagent.api.certificate_rotation:CHECK_SECONDS=1",
    "nodeagent.api.client:WATCH_SILENCE_SECONDS=5",
    "nodeagent.api.credentials:CERTIFICATE_CHECK_SECONDS=1",
    "nodeagent.api.informer:BACKOFF.cap_seconds=2",
    "nodeagent.assembly.node:BLIND_SECONDS=5",
    "nodeagent.pods.sync_backoff:RETRY_SECONDS=2",
    "nodeagent.sources.api:BLIND_SECONDS=5",
)
# More often than the agent takes a silent watch for one that has stopped.
HURRY_OF_API = "nodeagent.apiserver.rest.watching:BOOKMARK_SECONDS=2"


@dataclass(kw_only=True)
class JoinedNode(NodeUnderTest):
    """`proxy` stands before the API that the agent uses; kubectl asks the API itself, `api_process`."""

    api_process: "APIProcess"
    proxy: FaultyAPI | None = None
    health_port: int = 0

    @property
    @override
    def kubeconfig(self) -> Path:
        return self.api_process.folder / "admin.kubeconfig"

    def join(self) -> None:
        """Start the agent; returns at once."""
        assert self.proxy is not None
        self.start_with(f"--kubeconfig={self.proxy.kubeconfig}")

    @override
    def start(self, log_level: str = "debug") -> None:
        self.join()
        eventually(self._ready, "node ready")

    @override
    def pods(self) -> list[dict[str, Any]]:
        """Its own: the API may have other nodes."""
        found = self.api.get("api/v1/pods", fieldSelector=f"spec.nodeName={self.name}")
        assert found is not None
        items: list[dict[str, Any]] = found["items"]
        return items

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


class APIProcess:
    """The embedded API as a process of its own, at one port; nodes may do there what kubelets may do, and no more."""

    def __init__(self, folder: Path, node_name: str) -> None:
        self.folder = folder
        self._node_name = node_name
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def node_kubeconfig(self) -> Path:
        return self.folder / "node.kubeconfig"

    def start(self) -> None:
        """Returns when it answers."""
        with (self.folder / "api.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, HURRIED, HURRY_OF_API, "-m", "nodeagent.apiserver", f"--state-dir={self.folder}"),
                    *(f"--node-name={self._node_name}", f"--port={self._port}", "--log-level=WARNING"),
                    *("--authorization-mode=Node", "--exit-with-parent"),
                ],
                cwd=REPO,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), (self.folder / "api.log").read_text()[-2000:]

    def stop(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process.stdout.close()
            self._process = None

    def back_up(self, to: Path) -> None:
        """A copy of all objects as they are now, into a new folder."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            to.mkdir()
            for path in self.folder.glob("state.db*"):
                shutil.copy(path, to)
        finally:
            self._process.send_signal(signal.SIGCONT)

    def restore(self, backup: Path) -> None:
        """Go on from the copy: what has happened since is not known, and its versions are given again."""
        self.stop()
        for path in self.folder.glob("state.db*"):
            path.unlink()
        for path in backup.iterdir():
            shutil.copy(path, self.folder)
        self.start()

    def kubeconfig_of(self, node_name: str) -> Path:
        """Of another node than its own, made as somebody who has the CA's key can."""
        folder = self.folder / f"pki-{node_name}"
        folder.mkdir(mode=0o700)
        for name in ("ca.key", "ca.crt"):
            shutil.copy(self.folder / "pki" / name, folder)
        pki = Pki(folder, node_name, [])
        path = folder / "node.kubeconfig"
        server = f"https://127.0.0.1:{self._port}"
        write_kubeconfig(
            path, server=server, ca_pem=pki.ca_pem, user=f"system:node:{node_name}", pair=pki.node, by_name=True
        )
        return path


@contextlib.contextmanager
def joined_node(
    directory: Path,
    image: Path,
    *,
    own: bool = True,
    disk: Path | None = None,
    inside: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    **kubelet: Any,
) -> Iterator[JoinedNode]:
    """A node with its image, its API and its proxy up, and its agent not yet started.

    Not `own`: the API was started for another node, and does nothing for this one by itself. `disk`: where its own folders are,
    if elsewhere. `inside`: of `NodeUnderTest`. `host`: what the agent calls the proxy's. `kubelet`: of its configuration.
    """
    node = _made(directory, image, disk or directory, **kubelet)
    if not own:
        node.api_process = APIProcess(node.api_process.folder, "another")
    node.inside = inside
    node.api_process.start()
    try:
        with _proxied(node, node.api_process.node_kubeconfig, host):
            yield node
    finally:
        node.api_process.stop()


@contextlib.contextmanager
def second_node(first: JoinedNode, directory: Path, image: Path) -> Iterator[JoinedNode]:
    """Another node of this machine, of the same API."""
    node = _made(directory, image, directory)
    node.api_process = first.api_process
    with _proxied(node, first.api_process.kubeconfig_of(node.name)):
        yield node


def _made(directory: Path, image: Path, place: Path, **kubelet: Any) -> JoinedNode:
    base = make_node(place)
    health_port = free_port()
    folder = directory / f"api-{base.name}"
    node = JoinedNode(
        **{field: getattr(base, field) for field in ("directory", "name", "subnet", "bridge", "cgroup", "port")},
        config={"kubelet": {"healthzPort": health_port, "nodeStatusUpdateFrequency": "1s", **kubelet}},
        health_port=health_port,
        api_process=APIProcess(folder, base.name),
        hurry=HURRY,
    )
    node.directory.mkdir(parents=True)
    (node.directory / "cni").mkdir()
    folder.mkdir()
    network = DefaultNetwork(name=node.bridge, bridge=node.bridge, subnet=node.subnet, ipam_dir=node.directory / "ipam")
    write_default(node.directory / "cni", network)
    import_image(node, image)
    return node


@contextlib.contextmanager
def _proxied(node: JoinedNode, upstream: Path, host: str = "127.0.0.1") -> Iterator[None]:
    folder = node.api_process.folder / f"proxy-{node.name}"
    folder.mkdir()
    with FaultyAPI(upstream, folder, host) as proxy:
        node.proxy = proxy
        try:
            yield
        finally:
            proxy.clear()
            node.clean()
