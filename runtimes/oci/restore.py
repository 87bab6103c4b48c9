"""The engine's start: what is remembered is compared with what is there; what lives is adopted, what was half made removed."""

import asyncio
import functools
import logging
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.linux.cgroups.cleanup import kill_all
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import run_blocking
from runtimes.oci import bundles, processes, program, transitions
from runtimes.oci.core import Core
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.exits import UNKNOWN_EXIT_CODE, read_exit
from runtimes.oci.lifecycle import ContainerState
from runtimes.oci.namespaces import SandboxNamespaces
from runtimes.oci.records import ContainerRecord
from runtimes.oci.sandboxes import Sandboxes
from runtimes.oci.termination import Termination

log = logging.getLogger(__name__)

_ANY_OPTIONS = cri.NamespaceOption()


class Restore:
    """Runs once, before any verb. Nothing of another handler or another engine is looked at."""

    def __init__(self, core: Core, sandboxes: Sandboxes, termination: Termination) -> None:
        self._core = core
        self._sandboxes = sandboxes
        self._termination = termination

    async def run(self) -> None:
        sandboxes, broken_sandboxes = await asyncio.to_thread(self._core.sandbox_records.load)
        containers, broken_containers = await asyncio.to_thread(self._core.container_records.load)
        for known in sandboxes.values():
            self._core.registry.restore_sandbox(Sandbox.restored(known, self._core.paths))
        half_made = [Container.restored(record) for record in containers.values() if self._is_half_made(record)]
        for record in containers.values():
            if not self._is_half_made(record):
                await self._adopt(Container.restored(record))
        await asyncio.to_thread(self._kill_unknown_monitors)
        for container in half_made:
            await self._remove_half_made(container)
        for container_id in broken_containers:
            await self._attempt(self._remove_broken_container(container_id), f"container {container_id}")
        await self._finish_sandboxes(broken_sandboxes)
        await asyncio.to_thread(self._sweep)
        await self._attempt(self._sweep_runtime(), "containers that only the runtime knows")

    def _is_half_made(self, record: ContainerRecord) -> bool:
        sandbox = self._core.registry.sandboxes.get(record.sandbox_id)
        return record.state is ContainerState.CREATING or sandbox is None or sandbox.half_made

    # containers ------------------------------------------------------------------------------------------------------

    async def _adopt(self, container: Container) -> None:
        """Go on with a container where the last agent left it."""
        core, record = self._core, container.record
        core.registry.restore_container(container)
        if record.state is ContainerState.EXITED or record.create_error:
            return
        if record.state is ContainerState.STARTING:
            begun = await core.program.state(record.id) != program.CREATED
            core.note_container(container, transitions.started if begun else transitions.start_undone)
        self._termination.check_exit(container)  # it may have ended while nobody looked
        if container.exited.is_set():
            return
        if record.boot_id == core.boot_id and processes.is_alive(record.monitor):
            self._termination.watch_monitor(container)
        else:
            self._gone(container)

    def _gone(self, container: Container) -> None:
        """No exit file and no monitor: a reboot, or a SIGKILL to conmon. How it ended nobody knows."""
        core, record = self._core, container.record
        if record.boot_id == core.boot_id and record.init is not None:
            processes.send_signal(record.init, signal.SIGKILL)
        found = read_exit(core.paths.container(record.id) / "exit")
        code, at_ns = found if found is not None else (UNKNOWN_EXIT_CODE, time.time_ns())
        reason = transitions.UNKNOWN if found is None else transitions.exit_reason(code)
        core.note_container(
            container,
            lambda record: transitions.exited(record, code=code, finished_at_ns=at_ns, reason=reason),
        )
        container.exited.set()

    async def _remove_half_made(self, container: Container) -> None:
        """It was on the way in, or its sandbox was, when the agent ended."""
        log.warning("container %s was half made: removed", container.id)
        core = self._core
        core.registry.restore_container(container)
        await asyncio.to_thread(kill_all, core.cgroups, container.record.cgroup)
        container.exited.set()
        await self._attempt(self._termination.remove(container), f"container {container.id}")

    async def _remove_broken_container(self, container_id: str) -> None:
        """A directory without a record: only its name is known."""
        core = self._core
        await core.program.delete(container_id)
        await core.images.remove_rootfs(bundles.rootfs_directory(core, container_id))
        await run_blocking(remove_tree, bundles.declared_directory(core, container_id))
        await asyncio.to_thread(self._forget, core.paths.container(container_id), core.paths.bundle(container_id))

    # sandboxes -------------------------------------------------------------------------------------------------------

    async def _finish_sandboxes(self, broken: list[str]) -> None:
        core = self._core
        for sandbox in list(core.registry.sandboxes.values()):
            if sandbox.half_made:
                log.warning("sandbox %s was half made: removed", sandbox.id)
                await self._attempt(self._sandboxes.abandon(sandbox), f"sandbox {sandbox.id}")
            elif sandbox.ready and not sandbox.namespaces.intact():
                # a reboot took its namespaces; stopping it will undo the network as far as that left anything on the disk
                sandbox.closing = True
                network = sandbox.record.network or bool(sandbox.record.ips)
                core.note_sandbox(sandbox, functools.partial(transitions.stopped, network=network))
        for sandbox_id in broken:
            await self._attempt(self._sandboxes.abandon_unknown(sandbox_id), f"sandbox {sandbox_id}")

    async def _attempt(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """One thing that cannot be removed must not keep the engine from starting: it is tried again at the next."""
        try:
            await work
        except (OSError, RuntimeFault) as error:
            log.error("%s, half made, could not be removed: %s", what, error)
        except Exception:
            log.exception("%s, half made, could not be removed", what)

    # what nobody knows -----------------------------------------------------------------------------------------------

    def _kill_unknown_monitors(self) -> None:
        """conmons of this engine whose container is not known, or not known to be whole."""
        core = self._core
        prefix = f"{core.paths.bundles}/"
        for pid, argv in processes.command_lines():
            if "--bundle" not in argv or Path(argv[0]).name != Path(core.config.conmon_path).name:
                continue
            bundle = argv[argv.index("--bundle") + 1 : argv.index("--bundle") + 2]
            if bundle and bundle[0].startswith(prefix) and Path(bundle[0]).name not in core.registry.containers:
                log.warning("conmon %d belongs to no container: killed", pid)
                processes.kill_with_descendants(pid)

    def _sweep(self) -> None:
        """Files of containers and sandboxes that are not known."""
        core, paths = self._core, self._core.paths
        containers, sandboxes = core.registry.containers, core.registry.sandboxes
        strange = [
            path for folder in (paths.bundles, paths.exits) for path in folder.iterdir() if path.name not in containers
        ]
        strange += [path for path in paths.pods.iterdir() if path.name not in sandboxes]
        for path in strange:
            try:
                if path.parent == paths.pods:
                    SandboxNamespaces(path, _ANY_OPTIONS).release()
                self._forget(path)
            except (OSError, RuntimeFault) as error:
                log.error("%s belongs to nobody and cannot be removed: %s", path, error)

    async def _sweep_runtime(self) -> None:
        """Containers that only the OCI runtime knows."""
        core = self._core
        if core.paths.runtime_root.is_dir():
            for entry in list(core.paths.runtime_root.iterdir()):
                if entry.is_dir() and entry.name not in core.registry.containers:
                    await core.program.delete(entry.name)

    def _forget(self, *directories: Path) -> None:
        for directory in directories:
            bundles.remove_with_mounts(directory)
