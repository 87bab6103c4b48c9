"""A real containerd for a test: its own folders, socket, CNI bridge and subnet, with an image to run and one to pause."""

import contextlib
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from runtimes.testing import images
from runtimes.testing.networks import bridge_network, claim_subnet

PAUSE_IMAGE = "localhost/pause:1"
_DEADLINE_SECONDS = 60.0


def build_pause_image(out: Path) -> None:
    """busybox that sleeps until it is told to end: what holds a sandbox's namespaces."""
    images.build(out, tag=PAUSE_IMAGE, config={"Cmd": None, "Entrypoint": ["/bin/sleep", "2147483647"]})


@dataclass
class Containerd:
    """One daemon. `directory` is its own, and short: a unix socket's path is at most 107 bytes. `within`: the program, with its
    arguments, that starts it somewhere else (`nsenter …`)."""

    directory: Path
    subnet: str = field(default_factory=claim_subnet)
    bridge: str = field(default_factory=lambda: f"natc{uuid.uuid4().hex[:8]}")
    within: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        return self.directory / "c.sock"

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        self._write_configuration()
        log = open(self.directory / "containerd.log", "ab")  # noqa: SIM115  # the process keeps it
        self.process = subprocess.Popen(
            [*self.within, "containerd", "-c", str(self.directory / "config.toml")],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while self.ctr("version", check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9; shims and containers live on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def load(self, *archives: Path) -> None:
        """Import images, and the pause image with them."""
        pause = self.directory / "pause.tar"
        build_pause_image(pause)
        for archive in (pause, *archives):
            self.ctr("images", "import", str(archive))

    def ctr(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            ["ctr", "--address", str(self.socket), "-n", "k8s.io", *arguments],
            capture_output=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def log(self) -> str:
        return (self.directory / "containerd.log").read_text(errors="replace")

    def tasks(self) -> list[str]:
        return self.ctr("tasks", "list", "-q").stdout.split()

    def leaks(self) -> list[str]:
        """Processes and mounts that name this daemon's folder: shims, and root filesystems."""
        found = [line.split()[4] for line in _mounts() if f"{self.directory}/" in line]
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if f"{self.directory}/" in line:
                    found.append(f"process {line}")
        return found

    def remove(self) -> None:
        """Stop it, and take away what is its own."""
        self.stop()
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
        shutil.rmtree(self.directory)

    def _write_configuration(self) -> None:
        cni = self.directory / "cni"
        cni.mkdir(parents=True, exist_ok=True)
        (cni / "10-test.conflist").write_text(bridge_network(self.bridge, self.subnet, self.directory / "ipam"))
        (self.directory / "config.toml").write_text(
            f"""version = 2
root = "{self.directory}/root"
state = "{self.directory}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{self.socket}"
[ttrpc]
  address = "{self.socket}.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  stats_collect_period = 1
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
"""
        )


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()


@contextlib.contextmanager
def containerd(directory: Path, *archives: Path, within: tuple[str, ...] = ()) -> Iterator[Containerd]:
    """A started daemon with those images; afterwards nothing of it is left, or the test fails."""
    directory.mkdir(parents=True, exist_ok=True)
    daemon = Containerd(directory, within=within)
    try:
        daemon.start()
        daemon.load(*archives)
        yield daemon
    finally:
        daemon.stop()
        left = daemon.leaks()
        daemon.remove()
    assert left == [], left
