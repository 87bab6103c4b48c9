#!/usr/bin/env python3
"""How fast an image comes in: `nodeagent image import` against `ctr image import` of the same archive, in turn.

    sudo hack/bench/images.py [--megabytes 288] [--files 10000] [--layers 4] [--rounds 3] [--output text|json]

Both end with the image unpacked and on disk. MB/s are those of the plain files; CPU is user and kernel time of everything
that took part, which a busy machine disturbs less. Both stores lie in one folder of their own
(--directory, default a temporary one), with a containerd of this run's own; everything is deleted afterwards. Without
containerd only the agent is measured. The image is made up: words in files of many sizes, the same in every run.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from runtimes.image_archive import write_archive

REPO = Path(__file__).resolve().parents[2]
MEGABYTE = 1_000_000
REFERENCE = "localhost/bench:1"
DEADLINE_SECONDS = 600


def layers_of(megabytes: int, files: int, layers: int) -> Iterator[bytes]:
    """Plain tars that hold so much in so many files; sizes are spread like those of a distribution's."""
    chance = random.Random(1)
    words = [bytes(chance.choices(b"etaoinshrdlucmfwypvbgkqjxz", k=chance.randint(2, 9))) for _ in range(20_000)]
    text = b" ".join(chance.choices(words, k=1_500_000))
    weights = [chance.lognormvariate(0, 1.6) for _ in range(files)]
    scale = megabytes * MEGABYTE / sum(weights)
    for number in range(layers):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for index in range(number, files, layers):
                size = max(1, int(weights[index] * scale))
                member = tarfile.TarInfo(f"usr/lib/package-{index // 12}/file-{index}")
                member.size, member.mode = size, 0o644
                start = chance.randrange(len(text) // 2)
                piece = text[start : start + size]
                archive.addfile(member, io.BytesIO((piece * (size // len(piece) + 1))[:size]))
        yield stream.getvalue()


def build(path: Path, options: argparse.Namespace) -> int:
    """Write the archive; returns the bytes of its plain layers."""
    plain = list(layers_of(options.megabytes, options.files, options.layers))
    write_archive(path, plain, tag=REFERENCE, config={})
    return sum(len(layer) for layer in plain)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one import, in seconds."""

    wall: float
    cpu: float


def agent(directory: Path, archive: Path) -> Cost:
    """One import into an empty store."""
    state = directory / "state"
    command = [sys.executable, "-m", "nodeagent", "image"]
    cost = timed([*command, "import", str(archive), f"--state-dir={state}"])
    run([*command, "rm", REFERENCE, f"--state-dir={state}"])
    return cost


@contextlib.contextmanager
def containerd(directory: Path) -> Iterator[Callable[[Path], Cost]]:
    """A containerd of our own; yields what measures one import."""
    socket = directory / "c.sock"
    (directory / "config.toml").write_text(
        f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/run"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
        f'[grpc]\n  address = "{socket}"\n[ttrpc]\n  address = "{socket}.ttrpc"\n'
    )
    log = open(directory / "log", "ab")  # noqa: SIM115  # the daemon keeps it
    daemon = subprocess.Popen(["containerd", "-c", str(directory / "config.toml")], stdout=log, stderr=log)
    ctr = ["ctr", f"--address={socket}", "images"]
    try:
        deadline = time.monotonic() + 60
        while subprocess.run([*ctr, "list"], capture_output=True, timeout=60).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"containerd does not start:\n{(directory / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

        def once(archive: Path) -> Cost:
            cost = timed([*ctr, "import", str(archive)], psutil.Process(daemon.pid))
            run([*ctr, "rm", "--sync", REFERENCE])
            return cost

        yield once
    finally:
        daemon.terminate()
        daemon.wait(60)


def timed(argv: list[str], daemon: psutil.Process | None = None) -> Cost:
    os.sync()
    started, cpu = time.monotonic(), cpu_seconds(daemon)
    run(argv)
    return Cost(time.monotonic() - started, cpu_seconds(daemon) - cpu)


def cpu_seconds(daemon: psutil.Process | None) -> float:
    """What the programs run so far have used, and the daemon."""
    children = os.times()
    used = children.children_user + children.children_system
    return used + (sum(daemon.cpu_times()[:4]) if daemon is not None else 0.0)


def run(argv: list[str]) -> None:
    done = subprocess.run(argv, cwd=REPO, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr.strip()}")


def report(options: argparse.Namespace, plain_bytes: int, costs: dict[str, list[Cost]]) -> None:
    rows = {
        name: {
            "MB/s": [round(plain_bytes / MEGABYTE / cost.wall, 1) for cost in values],
            "MB/s p50": round(plain_bytes / MEGABYTE / statistics.median(cost.wall for cost in values), 1),
            "CPU s p50": round(statistics.median(cost.cpu for cost in values), 2),
        }
        for name, values in costs.items()
    }
    if options.output == "json":
        print(json.dumps({"plain_bytes": plain_bytes, "files": options.files, "layers": options.layers} | rows))
        return
    print(f"{plain_bytes / MEGABYTE:.0f} MB in {options.files} files, {options.layers} layers")
    for name, row in rows.items():
        print(f"{name:24} p50 {row['MB/s p50']:6} MB/s, CPU {row['CPU s p50']:5} s   rounds {row['MB/s']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("megabytes", 288), ("files", 10_000), ("layers", 4), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value, help="default: %(default)s")
    parser.add_argument("--directory", type=Path, help="where both stores are made; must be short")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bi-", dir=options.directory))
    try:
        archive = directory / "image.tar"
        plain_bytes = build(archive, options)
        costs: dict[str, list[Cost]] = {"nodeagent image import": []}
        with contextlib.ExitStack() as stack:
            peer: Callable[[Path], Cost] | None = None
            if shutil.which("containerd") and shutil.which("ctr"):
                (directory / "c").mkdir()
                peer = stack.enter_context(containerd(directory / "c"))
                costs["ctr image import"] = []
            for _ in range(options.rounds):
                costs["nodeagent image import"].append(agent(directory, archive))
                if peer is not None:
                    costs["ctr image import"].append(peer(archive))
        report(options, plain_bytes, costs)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
