"""`nodeagent runtime serve` for a test: a process with its own folders, bridge and cgroups, and gRPC clients of its socket."""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import yaml
from live_trees import remove_cgroups

from proto import cri_pb2 as cri
from proto.cri_pb2_grpc import ImageServiceStub, RuntimeServiceStub
from runtimes.testing.host import mount_hugetlb
from runtimes.testing.networks import bridge_network, claim_subnet

REPO = Path(__file__).resolve().parents[2]
_DEADLINE_SECONDS = 60.0


@dataclass
class Client:
    """Stubs as any CRI client has them, and a client for the URLs."""

    runtime: Any
    images: Any

    async def exec(self, container_id: str, *command: str, stdin: bytes | None = None) -> tuple[dict[int, bytes], str]:
        """Over the URL, by WebSocket: the streams by number (3: how it ended), and the URL."""
        request = cri.ExecRequest(
            container_id=container_id, cmd=command, stdin=stdin is not None, stdout=True, stderr=True
        )
        url = (await self.runtime.Exec(request)).url
        found: dict[int, bytes] = {}
        async with aiohttp.ClientSession() as http, http.ws_connect(url, protocols=["v5.channel.k8s.io"]) as socket:
            if stdin is not None:
                await socket.send_bytes(b"\0" + stdin)
                await socket.send_bytes(b"\xff\0")
            async for message in socket:
                found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
        return found, url


@dataclass
class Served:
    """One server's place; servers may follow each other in it."""

    directory: Path
    subnet: str
    name: str = field(default_factory=lambda: f"nats{uuid.uuid4().hex[:8]}")
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        return self.directory / "cri.sock"

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    @property
    def cgroup(self) -> str:
        return f"/{self.name}"

    def command(self, *options: str) -> list[str]:
        return [
            *(sys.executable, "-m", "nodeagent", "runtime", "serve", f"--listen={self.endpoint}"),
            f"--config={self.directory / 'config.yaml'}",
            f"--state-dir={self.directory / 'state'}",
            f"--run-dir={self.directory / 'run'}",
            *options,
        ]

    def start(self, *options: str) -> None:
        """Returns when the socket is there; what a server before left does not count."""
        before = self._inode()
        log = open(self.directory / "log", "ab")  # noqa: SIM115  # the process keeps it
        self.process = subprocess.Popen(
            self.command(*options), cwd=REPO, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while self._inode() in (None, before):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def _inode(self) -> tuple[int, int] | None:
        try:
            status = self.socket.lstat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_ctime_ns

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(30)
        self.process = None
        return code

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        async with grpc.aio.insecure_channel(self.endpoint, options=options) as channel:
            # generated stubs have no types
            yield Client(
                runtime=RuntimeServiceStub(channel),  # type: ignore[no-untyped-call]
                images=ImageServiceStub(channel),  # type: ignore[no-untyped-call]
            )

    def import_image(self, archive: Path) -> None:
        command = [sys.executable, "-m", "nodeagent", "image", "import", str(archive)]
        state = f"--state-dir={self.directory / 'state'}"
        subprocess.run([*command, state], cwd=REPO, check=True, capture_output=True, timeout=_DEADLINE_SECONDS)

    def pod(self, name: str) -> cri.PodSandboxConfig:
        logs = self.directory / "logs" / name
        logs.mkdir(parents=True, exist_ok=True)
        metadata = cri.PodSandboxMetadata(name=name, uid=uuid.uuid4().hex, namespace="default")
        config = cri.PodSandboxConfig(metadata=metadata, hostname=name, log_directory=str(logs), labels={"app": name})
        config.linux.cgroup_parent = f"{self.cgroup}/pod-{metadata.uid}"
        config.linux.security_context.namespace_options.pid = cri.CONTAINER
        return config

    def leaks(self) -> list[str]:
        """Processes, mounts and addresses of pods of this place."""
        found = [line.split()[4] for line in _mounts() if f"{self.directory}/" in line]
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if f"{self.directory}/" in line:
                    found.append(f"process {line}")
        ipam = self.directory / "ipam" / self.name
        if ipam.is_dir():
            found += [f"address {path.name}" for path in ipam.iterdir() if path.name[0].isdigit()]
        return found

    def write_configuration(self) -> None:
        handlers = {name: shutil.which(name) for name in ("runc", "crun")}
        documents = [
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "cgroupRoot": self.cgroup,
            },
            {
                "apiVersion": "nodeagent.dev/v1alpha1",
                "kind": "NodeAgentConfiguration",
                # one whose program is not there: the others are served without it
                "runtimes": {name: {"type": "oci", "path": path} for name, path in handlers.items() if path}
                | {"absent": {"type": "oci", "path": "/nonexistent/runc"}},
                "defaultRuntime": "runc",
                "cni": {"confDir": str(self.directory / "cni"), "cacheDir": str(self.directory / "cni-cache")},
            },
        ]
        (self.directory / "config.yaml").write_text(yaml.safe_dump_all(documents))
        (self.directory / "cni").mkdir()
        network = bridge_network(self.name, self.subnet, self.directory / "ipam")
        (self.directory / "cni" / "10-test.conflist").write_text(network)

    def remove(self) -> None:
        subprocess.run(["ip", "link", "del", self.name], capture_output=True, check=False)
        remove_cgroups(f"/{self.name}")
        shutil.rmtree(self.directory)


@contextlib.contextmanager
def served_place() -> Iterator[Served]:
    """A place without a server; afterwards nothing of its pods may be left."""
    mount_hugetlb()
    directory = Path(tempfile.mkdtemp(prefix="natest-"))  # short: a socket's path is at most 107 bytes
    directory.chmod(0o711)
    place = Served(directory, claim_subnet())
    place.write_configuration()
    try:
        yield place
    finally:
        if place.process is not None:
            place.end(signal.SIGTERM)
        left = place.leaks()
        place.remove()
    assert left == [], left


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
