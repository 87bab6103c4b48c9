"""What an OCI runtime does in a way of its own, behind one object that is chosen once, when the engine starts.

`RuntimeTraits` itself is the runtime of which nothing is known but that it has the OCI command line; runc, crun and runsc are
variants that say only where they differ. Nobody else asks which runtime it is.
"""

import asyncio
import enum
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import CgroupLimits, Cgroups
from runtimes.linux.cgroups.tree import signal_all
from runtimes.oci import processes
from runtimes.oci.config import OCIRuntimeConfig, Paths
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.hostfacts import HostFacts
from runtimes.oci.program import RuntimeProgram
from runtimes.oci.records import ContainerRecord, ProcessRef

_DEATH_SECONDS = 10.0  # for SIGKILL to take effect
# for orphans of a command to be reaped by the container's first process, if it does such things
_REAPING_SECONDS = 0.5


class ExecTerminal(enum.Enum):
    """How `exec` of the runtime gets a terminal of ours that later changes of the size reach, too."""

    COOKED = "cooked"  # as its own; it sets the mode
    RAW = "raw"  # as its own, in raw mode
    CONSOLE_SOCKET = "console socket"  # it makes one and sends it


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a runtime program says of itself. `name`: empty for one that is not known. `mount_options`: under `features`."""

    name: str
    version: str
    mount_options: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a runtime tells of one container whose cgroup does not."""

    cpu_ns: int
    processes: int


@dataclass(kw_only=True, eq=False, repr=False)
class RuntimeTraits:
    """One runtime program of one handler. Methods may be called concurrently for different containers.

    Coroutines raise the errors of `runtimes.errors`: Internal with the runtime's own words, Timeout, Unavailable where the
    program cannot be run. Plain methods raise nothing; `prepare` OSError.
    """

    name: ClassVar[str] = ""  # as the program calls itself; empty: unknown
    asks_features: ClassVar[bool] = True  # it has the `features` command
    json_log: ClassVar[bool] = False  # errors come as JSON lines when asked for
    # A supplemental group's number is taken for the name of a group first, in the container's own file: seen with runc 1.1, and
    # of others it is not known.
    groups_by_name: ClassVar[bool] = True
    # A file system that is to be mounted read-only is made so for all its mounts, as mount(2) does with the first one.
    read_only_superblocks: ClassVar[bool] = True
    block_devices: ClassVar[bool] = True  # containers may have such of the host
    guest_hostname: ClassVar[bool] = False  # the host name is the guest kernel's, and must be told
    joins_pid_namespaces: ClassVar[bool] = False  # of another container, by a path in /proc
    maps_users: ClassVar[bool] = False  # pods may have users of their own
    needs_infra: ClassVar[bool] = False  # every pod's containers live in what an infra container holds
    exec_pid_flag: ClassVar[str] = "--pid-file"
    exec_terminal: ClassVar[ExecTerminal] = ExecTerminal.COOKED

    probed: Probed
    config: OCIRuntimeConfig
    paths: Paths
    program: RuntimeProgram
    cgroups: Cgroups

    @property
    def version(self) -> str:
        """As the program prints it."""
        return self.probed.version

    @property
    def recursive_read_only(self) -> bool:
        """Whether mounts can be made read-only with all below them (the `rro` option of OCI runtime-spec 1.1)."""
        return "rro" in self.probed.mount_options

    # host ------------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make what the runtime needs on the host, once, before the first container. Blocks. Raises OSError."""

    def limit_host(self, host: HostFacts) -> HostFacts:
        """The facts of the host without what the runtime cannot use."""
        return host

    # launch ----------------------------------------------------------------------------------------------------------

    def conmon_runtime(self, record: ContainerRecord) -> tuple[Path, tuple[str, ...]]:
        """The program that conmon calls for `create`, and its global arguments."""
        return Path(self.program.path), self.program.global_args

    async def start(self, record: ContainerRecord) -> None:
        """Let the created container's program run. Raises Internal with the runtime's own words, Timeout, Unavailable."""
        await self.program.start(record.id)

    async def delete(self, record: ContainerRecord) -> None:
        """Have the runtime forget the container, unless it never knew it."""
        if not record.create_error:
            await self.program.delete(record.id)

    # signals ---------------------------------------------------------------------------------------------------------

    async def signal(self, container: Container, init: ProcessRef, number: int) -> None:
        """Signal the container's first process: `init` may be one on the host that only stands for it."""
        record = container.record
        if record.infra:
            # the sandbox last: conmon ends with it, and should have reaped the others before
            signal_all(self.cgroups.processes(record.cgroup) - {init.pid}, number)
            processes.send_signal(init, number)
            return
        await self.program.kill(record.id, number)
        if number == signal.SIGKILL and container.record.state.can_start:
            processes.send_signal(init, number)

    def has_ended(self, init: ProcessRef) -> bool:
        """Whether the first process is known to have ended; False where that cannot be seen from the host."""
        return False

    # exec ------------------------------------------------------------------------------------------------------------

    async def kill_exec(
        self, record: ContainerRecord, runtime_pid: int, inner_pid: Callable[[], Awaitable[int | None]]
    ) -> str:
        """SIGKILL a command and what it started; returns, as text, what has not gone after all.

        `runtime_pid`: the runtime's process, of which the command is a child or still will be. `inner_pid` waits for the
        pid that the command has inside the container.
        """

        def kill() -> list[ProcessRef]:
            killed = processes.kill_below(runtime_pid, self.cgroups.processes(record.cgroup))
            return killed or [
                entry for entry in processes.kill_with_descendants(runtime_pid) if entry.pid != runtime_pid
            ]

        killed = await asyncio.to_thread(kill)
        stuck = await processes.wait_for_all(killed, _DEATH_SECONDS)
        if not stuck:
            await processes.wait_for_reaping(killed, _REAPING_SECONDS)
        return ", ".join(f"process {process.pid}" for process in stuck)

    # resources -------------------------------------------------------------------------------------------------------

    def limit_infra(self, limits: cri.LinuxContainerResources, config: cri.PodSandboxConfig) -> None:
        """Give the infra container what it needs for the pod's containers; by default these have cgroups of their own."""

    def holder(self, sandbox: Sandbox) -> Container | None:
        """The container in whose cgroup the processes of all others of the pod are; None where each has its own."""
        return None

    async def update(self, container_id: str, limits: Mapping[str, Any]) -> CgroupLimits:
        """Change a live container's limits; returns those that the caller has to write to its cgroup.

        `limits`: CPU and memory of the bundle's linux.resources, as far as they change.
        """
        if limits:
            await self.program.update(container_id, limits)
        return CgroupLimits()

    async def usages(self, container_ids: Sequence[str]) -> Mapping[str, Usage | None] | None:
        """What the containers use, by id, None for one that it cannot be learnt of; None as a whole: their cgroups tell."""
        return None
