"""The engine's parts, put together once it is known what the runtime and the host are."""

import asyncio
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from runtimes import errors
from runtimes.contract import NetworkProvider
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.cgroups.detect import detect
from runtimes.oci.config import OCIRuntimeConfig, Paths
from runtimes.oci.containers import Containers
from runtimes.oci.core import Core
from runtimes.oci.exits import ExitWatch
from runtimes.oci.hostfacts import HostFacts, read_host_facts
from runtimes.oci.idmap import supports_mapped_mounts
from runtimes.oci.images.contract import ImageStore
from runtimes.oci.metrics import Metrics
from runtimes.oci.processes import boot_id
from runtimes.oci.program import RuntimeProgram
from runtimes.oci.records import ContainerRecord, SandboxRecord, check_container, check_sandbox
from runtimes.oci.sandboxes import Sandboxes
from runtimes.oci.spec.resources import CgroupFeatures
from runtimes.oci.statistics import Statistics
from runtimes.oci.store import DiskSync, RecordStore
from runtimes.oci.streaming import Streaming
from runtimes.oci.termination import Termination
from runtimes.oci.traits.contract import Probed, RuntimeTraits
from runtimes.oci.traits.probe import probe, traits_of

_LOCK_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 0.0)


class Parts:
    """What the verbs are carried out by."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.termination = Termination(core)
        self.containers = Containers(core, self.termination)
        self.sandboxes = Sandboxes(core, self.containers, self.termination)
        self.streaming = Streaming(core)
        self.statistics = Statistics(core)
        self.metrics = Metrics(core, self.statistics)
        self.exits = ExitWatch(core.paths.exits, self.termination.on_exit)


async def assemble(config: OCIRuntimeConfig, images: ImageStore, network: NetworkProvider | None) -> Parts:
    """Raises Unavailable when the runtime cannot be run, OSError when a folder of the engine's cannot be used."""
    paths = Paths(config.state_dir, config.run_dir)
    machine = await asyncio.to_thread(_prepare, config, paths, await probe(config.path))
    disk = DiskSync()
    return Parts(
        Core(
            config=config,
            paths=paths,
            traits=machine.traits,
            program=machine.program,
            host=machine.host,
            cgroups=machine.cgroups,
            cgroup_features=machine.cgroup_features,
            mapped_mounts=machine.mapped_mounts,
            boot_id=boot_id(),
            images=images,
            network=network,
            disk=disk,
            sandbox_records=RecordStore(paths.sandboxes, SandboxRecord, disk, check_sandbox),
            container_records=RecordStore(paths.containers, ContainerRecord, disk, check_container),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """The runtime and the host under the engine."""

    traits: RuntimeTraits
    program: RuntimeProgram
    host: HostFacts
    cgroups: Cgroups
    cgroup_features: CgroupFeatures
    mapped_mounts: bool


def _prepare(config: OCIRuntimeConfig, paths: Paths, probed: Probed) -> _Machine:
    """Make the engine's folders and look at the host. Blocks. Raises OSError."""
    _make_directories(paths)
    variant = traits_of(probed.name)
    program = RuntimeProgram(config, paths.runtime_root, json_log=variant.json_log)
    cgroups = detect()
    traits = variant(probed=probed, config=config, paths=paths, program=program, cgroups=cgroups)
    traits.prepare()
    host = traits.limit_host(read_host_facts())
    return _Machine(
        traits=traits,
        program=program,
        host=host,
        cgroups=cgroups,
        cgroup_features=CgroupFeatures.of(cgroups),
        mapped_mounts=traits.maps_users and supports_mapped_mounts(config.state_dir, host.kernel),
    )


def _make_directories(paths: Paths) -> None:
    private = (paths.exits, paths.runtime_root)
    # what containers see is mounted from below these, by users of their own, too: they may pass, but not look
    passable = (paths.sandboxes, paths.containers, paths.bundles, paths.pods)
    for directory in (*private, *passable):
        directory.mkdir(parents=True, exist_ok=True)
    for directory in (paths.state_dir, paths.run_dir, *passable):
        directory.chmod(0o711)
    for directory in private:
        directory.chmod(0o700)


async def take_lock(state_dir: Path) -> int:
    """The state is one engine's at a time; the kernel gives it back when that one ends, however it ends. Raises StateInUse.

    Returns the descriptor that holds the lock. A program that a killed agent was just about to run holds it, too, until its
    exec, which closes it: waited for.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for pause_seconds in _LOCK_PAUSES_SECONDS:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(pause_seconds)
        else:
            return fd
    os.close(fd)
    raise errors.StateInUse(f"{state_dir} is in use by another agent")
