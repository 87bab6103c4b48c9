#!/usr/bin/env python3
"""What attaching a pod costs: the native network in this process, as a program, and the CNI programs, in turns.

    hack/bench/cni.py [--count 100] [--burst 50] [--bin-dir /usr/lib/cni] [--output text|json]

On a host of its own (a fresh network namespace), with one host port and masquerading, each round an ADD and a DEL by every way.
CPU is user and system time of this process (the agent's share) and of the programs, medians for one ADD and DEL together.
`--burst`: that many ADDs at once, then DELs; the time until the last. Root.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
# this file has the package's name, and its folder comes first
sys.path[0] = str(REPOSITORY)

from cni.attachment import Attachment  # noqa: E402
from cni.default import DefaultNetwork  # noqa: E402
from cni.native.in_process import InProcess  # noqa: E402
from cni.native.packet_filter import choose_rules  # noqa: E402
from cni.native.request import TYPE  # noqa: E402
from cni.network import Network  # noqa: E402
from cni.testing import namespaces  # noqa: E402
from cni.testing.host import fresh_host  # noqa: E402

PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from cni.native.protocol import main
sys.exit(main())
"""


@dataclass
class Figures:
    """Milliseconds."""

    add: list[float] = field(default_factory=list)
    delete: list[float] = field(default_factory=list)
    own_cpu: list[float] = field(default_factory=list)
    programs_cpu: list[float] = field(default_factory=list)
    burst_add: float = 0.0
    burst_delete: float = 0.0


def networks(folder: Path, bin_dir: Path) -> dict[str, Network]:
    programs = folder / "bin"
    programs.mkdir()
    (programs / TYPE).write_text(PROGRAM)
    (programs / TYPE).chmod(0o755)
    found = {}
    for number, (name, native, in_process) in enumerate(
        (
            ("native, in process", True, {TYPE: InProcess(choose_rules)}),
            ("native, program", True, {}),
            ("bridge + host-local + portmap", False, {}),
        )
    ):
        described = DefaultNetwork(
            name=f"bench{number}",
            bridge=f"bench{number}",
            subnet=f"10.{90 + number}.0.0/16",
            ipam_dir=folder / "ipam",
            native=native,
        )
        found[name] = Network(
            described.config(), bin_dirs=[programs, bin_dir], cache_dir=folder / "cache", in_process=in_process
        )
    return found


class Pods:
    """Namespaces to attach, made beforehand."""

    def __init__(self, folder: Path, count: int) -> None:
        self._paths = [folder / f"ns{number}" for number in range(count)]
        for path in self._paths:
            namespaces.create(path)

    def attachment(self, number: int) -> Attachment:
        ports = [{"hostPort": 20000 + number, "containerPort": 80, "protocol": "tcp"}]
        return Attachment(
            container_id=f"bench{number}", netns=str(self._paths[number]), capabilities={"portMappings": ports}
        )

    def close(self) -> None:
        for path in self._paths:
            namespaces.delete(path)


def cpu(who: int) -> float:
    used = resource.getrusage(who)
    return (used.ru_utime + used.ru_stime) * 1000


async def one(network: Network, attachment: Attachment, figures: Figures) -> None:
    own, programs = cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    await network.add(attachment)
    added = time.perf_counter()
    await network.delete(attachment)
    deleted = time.perf_counter()
    figures.add.append((added - began) * 1000)
    figures.delete.append((deleted - added) * 1000)
    figures.own_cpu.append(cpu(resource.RUSAGE_SELF) - own)
    figures.programs_cpu.append(cpu(resource.RUSAGE_CHILDREN) - programs)


async def burst(network: Network, attachments: list[Attachment], figures: Figures) -> None:
    began = time.perf_counter()
    await asyncio.gather(*(network.add(item) for item in attachments))
    figures.burst_add = (time.perf_counter() - began) * 1000
    began = time.perf_counter()
    await asyncio.gather(*(network.delete(item) for item in attachments))
    figures.burst_delete = (time.perf_counter() - began) * 1000


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Figures]:
    ways = networks(folder, Path(options.bin_dir))
    figures = {name: Figures() for name in ways}
    pods = Pods(folder, max(1, options.burst))
    try:
        for number in range(-2, options.count):  # two rounds to warm up
            for name, network in ways.items():
                await one(network, pods.attachment(0), figures[name] if number >= 0 else Figures())
        for name, network in ways.items() if options.burst else ():
            await burst(network, [pods.attachment(number) for number in range(options.burst)], figures[name])
    finally:
        pods.close()
    return figures


def summary(figures: Figures) -> dict[str, float]:
    def p(values: list[float], percent: int) -> float:
        return round(sorted(values)[min(len(values) - 1, len(values) * percent // 100)], 2)

    return {
        "add_p50_ms": p(figures.add, 50),
        "add_p99_ms": p(figures.add, 99),
        "delete_p50_ms": p(figures.delete, 50),
        "delete_p99_ms": p(figures.delete, 99),
        "own_cpu_ms": round(statistics.median(figures.own_cpu), 2),
        "programs_cpu_ms": round(statistics.median(figures.programs_cpu), 2),
        "burst_add_ms": round(figures.burst_add, 1),
        "burst_delete_ms": round(figures.burst_delete, 1),
    }


def show(found: Mapping[str, dict[str, float]], document: dict[str, Any], output: str) -> None:
    if output == "json":
        print(json.dumps(document, indent=2))
        return
    print(f"load {document['load'][0]:.1f} -> {document['load'][1]:.1f} on {os.cpu_count()} processors")
    for key in next(iter(found.values())):
        print(f"{key:18}", *(f"{name}: {figures[key]:9.2f}" for name, figures in found.items()), sep="  ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--burst", type=int, default=50)
    parser.add_argument("--bin-dir", default="/usr/lib/cni")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="nb-cni-") as text, fresh_host(Path(text)):
        figures = asyncio.run(measure(options, Path(text)))
    found = {name: summary(one) for name, one in figures.items()}
    document = {"load": [before, os.getloadavg()[0]], "ways": found}
    if options.output == "json":
        document["times"] = {name: asdict(one) for name, one in figures.items()}
    show(found, document, options.output)


if __name__ == "__main__":
    main()
