"""gVisor: one sandbox, with a kernel of its own, holds all containers of a pod, and only runsc knows their processes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.oci import gvisor
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.hostfacts import HostFacts
from runtimes.oci.records import ContainerRecord
from runtimes.oci.traits.contract import RuntimeTraits, Usage

log = logging.getLogger(__name__)

_NEWEST_CAPABILITY = "CAP_AUDIT_READ"  # runsc refuses those that are newer than itself
_WRAPPER = "runsc-in-pod"
_AT_ONCE = 4  # a process of runsc for each figure


@dataclass(kw_only=True, eq=False, repr=False)
class Runsc(RuntimeTraits):
    name: ClassVar[str] = "runsc"
    asks_features: ClassVar[bool] = False
    groups_by_name: ClassVar[bool] = False
    read_only_superblocks: ClassVar[bool] = False
    block_devices: ClassVar[bool] = False  # it leaves them out, and says nothing
    guest_hostname: ClassVar[bool] = True
    needs_infra: ClassVar[bool] = True
    exec_pid_flag: ClassVar[str] = "--internal-pid-file"

    asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE), init=False)

    @property
    def _wrapper(self) -> Path:
        return self.config.run_dir / _WRAPPER

    @override
    def prepare(self) -> None:
        gvisor.write_wrapper(self._wrapper, self.program.argv())

    @override
    def limit_host(self, host: HostFacts) -> HostFacts:
        return host.up_to_capability(_NEWEST_CAPABILITY)

    @override
    def conmon_runtime(self, record: ContainerRecord) -> tuple[Path, tuple[str, ...]]:
        """The wrapper, but for the infra container, which is a sandbox like any other program's. It has the arguments."""
        return super().conmon_runtime(record) if record.infra else (self._wrapper, ())

    @override
    async def start(self, record: ContainerRecord) -> None:
        if record.infra:
            await super().start(record)
        else:
            bundle = self.paths.bundle(record.id)
            await gvisor.start(bundle, timeout_seconds=self.config.call_timeout_seconds)

    @override
    async def delete(self, record: ContainerRecord) -> None:
        """Unless the wrapper has seen to it."""
        if record.infra or any(self.paths.runtime_root.glob(f"*{record.id}*")):
            await super().delete(record)

    @override
    async def kill_exec(
        self, record: ContainerRecord, runtime_pid: int, inner_pid: Callable[[], Awaitable[int | None]]
    ) -> str:
        return await gvisor.kill_command(self.program, record.id, await inner_pid())

    @override
    def limit_infra(self, limits: cri.LinuxContainerResources, config: cri.PodSandboxConfig) -> None:
        """All containers of the pod run in this one's cgroup: it gets what the pod as a whole may use."""
        total, extra = config.linux.resources, config.linux.overhead
        limits.cpu_shares = max(limits.cpu_shares, total.cpu_shares + extra.cpu_shares)
        limits.cpu_period = total.cpu_period
        limits.cpu_quota = total.cpu_quota + max(extra.cpu_quota, 0) if total.cpu_quota > 0 else total.cpu_quota
        if total.memory_limit_in_bytes > 0:
            limits.memory_limit_in_bytes = total.memory_limit_in_bytes + extra.memory_limit_in_bytes

    @override
    def holder(self, sandbox: Sandbox) -> Container | None:
        return sandbox.infra

    @override
    async def update(self, container_id: str, limits: Mapping[str, Any]) -> CgroupLimits:
        """runsc has no update; its processes are in ordinary cgroups."""
        cpu, memory = limits.get("cpu", {}), limits.get("memory", {})
        return CgroupLimits(
            cpu_shares=cpu.get("shares"),
            cpu_quota_us=cpu.get("quota"),
            cpu_period_us=cpu.get("period"),
            memory_limit_bytes=memory.get("limit"),
            memory_swap_limit_bytes=memory.get("swap"),
        )

    @override
    async def usages(self, container_ids: Sequence[str]) -> Mapping[str, Usage | None] | None:
        return dict(zip(container_ids, await asyncio.gather(*map(self._usage, container_ids)), strict=True))

    async def _usage(self, container_id: str) -> Usage | None:
        async with self.asking:
            try:
                cpu_ns = await gvisor.cpu_usage_ns(self.program, container_id)
                processes = await gvisor.processes(self.program, container_id)
            except RuntimeFault as error:
                log.debug("no figures of container %s: %s", container_id, error)
                return None
        return None if cpu_ns is None else Usage(cpu_ns=cpu_ns, processes=len(processes))
