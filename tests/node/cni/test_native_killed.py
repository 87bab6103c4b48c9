"""The native network cut off: killed between any two steps, and what is left is taken away by a DEL, or by a GC."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from cni.testing.implementation import Implementation
from cni.testing.pod import Pod
from cni.testing.subject import Subject
from runtimes.linux import process

from .conftest import PLUGINS
from .test_native import DUAL_STACK
from .test_native_program import program_folder

pytestmark = [pytest.mark.node, pytest.mark.asyncio]

# what runs the program, and dies before or after the call of one of its functions: module, name, before | after
LAUNCHER = """
import importlib, os, signal, sys
sys.path.insert(0, {repository!r})
from cni.native import protocol
module, name, when = sys.argv[1:]
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, last)
def cut(*arguments, **named):
    if when == "after":
        real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, last, cut)
sys.exit(protocol.main())
"""

ADD_STEPS = (
    ("cni.native.bridges", "ensure", "after"),
    ("cni.native.ipam.reservations", "Reservations.reserve", "before"),
    ("os", "replace", "before"),
    ("cni.native.ipam.reservations", "Reservations.reserve", "after"),
    ("cni.native.ipam.reservations", "Reservations.set_last", "after"),
    ("cni.native.veth", "attach", "before"),
    ("cni.native.veth", "attach", "after"),
    ("cni.native.veth", "configure", "after"),
    ("cni.native.nftables_rules", "NftablesRules.prepare", "after"),
    ("cni.native.nftables_rules", "NftablesRules.apply", "after"),
    ("cni.native.protocol", "_print", "before"),
)
DEL_STEPS = (
    ("cni.native.nftables_rules", "NftablesRules.remove", "before"),
    ("cni.native.nftables_rules", "NftablesRules.remove", "after"),
    ("cni.native.veth", "detach", "after"),
    ("cni.native.ipam.reservations", "Reservations.release", "before"),
    ("cni.native.ipam.allocator", "Allocator.release", "after"),
)


@pytest.fixture
def network_implementation(tmp_path_factory: pytest.TempPathFactory) -> Implementation:
    folder = program_folder(tmp_path_factory.mktemp("program") / "bin")
    return Implementation(name="native, version 1.1.0", document=DUAL_STACK, bin_dirs=(folder, PLUGINS))


async def killed(network: Subject, command: str, pod: Pod, step: tuple[str, str, str]) -> None:
    """Run the program until the step."""
    script = LAUNCHER.format(repository=str(Path(__file__).parents[3]))
    ports = [{"hostPort": 20080, "containerPort": 80, "protocol": "udp"}]
    request = network.request(runtimeConfig={"portMappings": ports})
    done = await process.run(
        [sys.executable, "-c", script, *step],
        timeout_seconds=60,
        stdin=json.dumps(request).encode(),
        env={**os.environ, **network.environment(command, pod)},
    )
    assert done.returncode == -9, f"{step}: {done.stdout!r} {done.stderr!r}"


async def test_an_add_that_was_killed(network: Subject) -> None:
    """At every step: the DEL that follows takes all away, and the next ADD of the same container works."""
    pod = network.pod()
    for step in ADD_STEPS:
        await killed(network, "ADD", pod, step)
        await network.delete(pod)
        await network.left_behind()
    await network.add(pod)


async def test_a_delete_that_was_killed(network: Subject) -> None:
    """At every step: the next DEL takes away the rest."""
    for step in DEL_STEPS:
        pod, _ = await network.attach()
        await killed(network, "DEL", pod, step)
        await network.delete(pod)
        await network.left_behind()


async def test_garbage_of_what_was_killed(network: Subject) -> None:
    """Of containers that nobody speaks of any more: a GC takes it away, and leaves the others' alone, a host-local file too
    that has lost its contents."""
    alive, _ = await network.attach()
    for step in ADD_STEPS:
        await killed(network, "ADD", network.pod(), step)
    empty = network.folder / "ipam" / network.config.name / "10.88.0.77"
    await asyncio.to_thread(empty.touch)
    await network.verbs.gc([(alive.attachment.container_id, "eth0")])
    assert not empty.exists()
    await network.check(alive)
    await network.delete(alive)
    await network.left_behind()
