#!/usr/bin/env python3
"""runc, crun, gVisor and containerd side by side on one node, in one run, beside what the same programs take by hand.

    sudo hack/bench/handlers.py [--sequential 20] [--burst 50]

Starts a node of its own in a temporary folder, with a containerd beside it, and takes everything away again. The pods of the
four runtimes are started in turn, so that a noisy minute hits all of them. "by hand" is what nobody can go below without
doing things at the same time: a network namespace, the CNI chain's ADD, conmon with create, start; one after the other.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests" / "support"), str(Path(__file__).parent)]

import pods  # noqa: E402
from containerd_under_test import containerd  # noqa: E402
from node_under_test import DEMO_IMAGE, NodeUnderTest, import_image, make_node  # noqa: E402

from cni import Attachment, Network, load_default  # noqa: E402
from cni.testing import namespaces  # noqa: E402
from runtimes.linux import process  # noqa: E402
from runtimes.oci.conmon import Monitor, launch  # noqa: E402

RUNTIMES = ("runc", "crun", "gvisor", "containerd")


@contextlib.contextmanager
def node_with_four() -> Iterator[NodeUnderTest]:
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:
        archive = Path(folder, "demo.tar")
        subprocess.run([str(REPO / "hack" / "demo-image"), str(archive), "--tag", DEMO_IMAGE], check=True, timeout=60)
        with containerd(Path(folder, "c"), archive) as daemon:
            gvisor = {"args": ["--platform=ptrace", "--network=host"], "infraContainer": "always"}
            runtimes: dict[str, Any] = {
                "runc": {"type": "oci", "path": shutil.which("runc")},
                "crun": {"type": "oci", "path": shutil.which("crun")},
                "gvisor": {"type": "oci", "path": shutil.which("runsc"), **gvisor},
                "containerd": {"type": "cri", "endpoint": daemon.endpoint, "handler": "runc"},
            }
            node = make_node(Path(folder), "bench", runtimes=runtimes, defaultRuntime="runc", kubelet={"maxPods": 500})
            node.directory.mkdir()
            import_image(node, archive)
            node.start("info")
            try:
                node.apply(
                    *(
                        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": n}, "handler": n}
                        for n in RUNTIMES
                    )
                )
                yield node
            finally:
                node.clean()


async def through_the_node(node: NodeUnderTest, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {name: {} for name in RUNTIMES}
    async with (
        pods.connected(node.kubeconfig, node.name) as (client, _),
        contextlib.AsyncExitStack() as stack,
    ):
        benches = {name: pods.Bench(client, _options(options, name), node.name) for name in RUNTIMES}
        for bench in benches.values():
            await stack.enter_async_context(bench.watching())
            await bench.warm_up()
        for index in range(options.sequential):
            for bench in benches.values():
                name = bench.names("s", options.sequential)[index]
                await bench.create(name)
                await bench.ready([name])
        for runtime, bench in benches.items():
            names = bench.names("s", options.sequential)
            results[runtime]["sequential"] = pods.summary(bench.timings.created, bench.timings.ready, names)
            await bench.delete(names)
        for runtime, bench in benches.items():
            names, before, begin = bench.names("b", options.burst), pss(), time.monotonic()
            await bench.create_all(names)
            await bench.ready(names)
            results[runtime]["burst_seconds"] = round(time.monotonic() - begin, 2)
            await asyncio.sleep(3)
            # what grew: the pods' own programs, and what the agent, the API and containerd need more
            results[runtime]["pss_mb_per_pod"] = round((pss() - before) / options.burst / 1e6, 2)
            await bench.delete(names)
            await asyncio.sleep(3)
    return results


def pss() -> int:
    total: int = pods.memory_by_program()["total"]
    return total


def _options(options: argparse.Namespace, runtime: str) -> argparse.Namespace:
    command = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]
    return argparse.Namespace(
        runtime_class=runtime, namespace="default", image=DEMO_IMAGE, command=command, timeout=300.0, no_token=False
    )


async def by_hand(node: NodeUnderTest, runtime: str, count: int) -> dict[str, float]:
    """Milliseconds, p50, of each part and of all of them."""
    program = shutil.which(runtime) or runtime
    network = Network(
        load_default(node.directory / "cni"),
        bin_dirs=[Path("/opt/cni/bin"), Path("/usr/lib/cni")],
        cache_dir=node.directory / "bare-cache",
    )
    parts: dict[str, list[float]] = {"CNI ADD": [], "conmon + create": [], "start": [], "all": []}
    with tempfile.TemporaryDirectory(prefix="nb-bare-") as folder:
        for _ in range(count):
            await _one_by_hand(program, network, Path(folder), parts)
    return {name: round(statistics.median(times), 1) for name, times in parts.items()}


async def _one_by_hand(program: str, network: Network, folder: Path, parts: dict[str, list[float]]) -> None:
    container_id = secrets.token_hex(8)
    here = folder / container_id
    space = here / "netns"
    for name in ("bin", "dev", "proc"):
        (here / "rootfs" / name).mkdir(parents=True)
    (here / "exits").mkdir()
    (here / "persist").mkdir()
    shutil.copy("/bin/busybox", here / "rootfs" / "bin" / "busybox")
    (here / "config.json").write_text(json.dumps(_spec(space)))
    times = [time.monotonic()]
    namespaces.create(space)
    attachment = Attachment(container_id=container_id, netns=str(space))
    await network.add(attachment)
    times.append(time.monotonic())
    monitor = Monitor(
        conmon_path=shutil.which("conmon") or "conmon",
        container_id=container_id,
        name=container_id,
        bundle=here,
        exits=here / "exits",
        persist=here / "persist",
        log_path=str(here / "log"),
        terminal=False,
        stdin=False,
        stdin_once=False,
        program=program,
        global_args=(),
    )
    try:
        await launch(monitor, timeout_seconds=30)
        times.append(time.monotonic())
        await process.run((program, "start", container_id), timeout_seconds=30)
        times.append(time.monotonic())
    finally:
        await process.run((program, "delete", "--force", container_id), timeout_seconds=30)
        await network.delete(attachment)
        namespaces.delete(space)
    spans = [(late - early) * 1000 for early, late in itertools.pairwise(times)]
    for name, span in zip(("CNI ADD", "conmon + create", "start"), spans, strict=True):
        parts[name].append(span)
    parts["all"].append(sum(spans))


def _spec(space: Path) -> dict[str, Any]:
    kinds = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    return {
        "ociVersion": "1.0.2",
        "process": {"cwd": "/", "args": ["/bin/busybox", "sleep", "1000"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [*kinds, {"type": "network", "path": str(space)}]},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequential", type=int, default=20)
    parser.add_argument("--burst", type=int, default=50)
    options = parser.parse_args()
    with node_with_four() as node:
        results = asyncio.run(through_the_node(node, options))
        bare = {name: asyncio.run(by_hand(node, name, options.sequential)) for name in ("runc", "crun")}
    print("| runtime | create -> Ready p50 (p90) ms | at once, all Ready | PSS a pod | by hand ms | the node adds |")
    print("|---|---|---|---|---|---|")
    for name, result in results.items():
        times = result["sequential"]
        hand = bare.get(name, {}).get("all")
        added = f"{times['p50_ms'] - hand:+.0f} ms" if hand else "-"
        print(
            f"| {name} | {times['p50_ms']} ({times['p90_ms']}) | {options.burst} in {result['burst_seconds']} s "
            f"| {result['pss_mb_per_pod']} MB | {hand or '-'} | {added} |"
        )
    for name, parts in bare.items():
        print(f"{name} by hand: " + ", ".join(f"{part} {span} ms" for part, span in parts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
