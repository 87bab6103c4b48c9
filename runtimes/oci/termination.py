"""How containers end: exits seen, stop, kill, removal, and the undoing of what was half made."""

import asyncio
import contextlib
import logging
import signal
import time
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux.cgroups.cleanup import kill_all, remove_when_empty
from runtimes.linux.tasks import run_blocking
from runtimes.oci import bundles, processes, transitions
from runtimes.oci.core import Core
from runtimes.oci.entities import Container
from runtimes.oci.exits import UNKNOWN_EXIT_CODE, read_exit
from runtimes.oci.records import ProcessRef

log = logging.getLogger(__name__)

_KILL_SECONDS = 30.0
_BLIND_SECONDS = 5.0  # in which a monitor sees the end of its container
_MONITOR_SECONDS = 2.0


class Termination:
    """The second half of a container's life."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # exits -----------------------------------------------------------------------------------------------------------

    def on_exit(self, container_id: str) -> None:
        """conmon left an exit file."""
        if container := self._core.registry.containers.get(container_id):
            self.check_exit(container)

    def check_exit(self, container: Container) -> None:
        """Take note of the container's exit if its exit file is there."""
        if not container.record.state.can_exit:
            return
        if found := read_exit(self._core.paths.exits / container.id):
            code, finished_at_ns = found
            self._finish(container, code, finished_at_ns)

    def monitor_of(self, container: Container) -> ProcessRef | None:
        """The container's conmon, by its pid file."""
        try:
            pid = int((self._core.paths.bundle(container.id) / "conmon.pid").read_text())
        except (OSError, ValueError):
            return None
        return processes.identify(pid)

    def watch_monitor(self, container: Container) -> None:
        """Notice when conmon itself dies: then nobody writes an exit file any more."""

        def ended() -> None:
            container.monitor_watch = None
            self._monitor_ended(container)

        monitor = container.record.monitor
        if monitor is None:
            asyncio.get_running_loop().call_soon(ended)
            return
        try:
            container.monitor_watch = processes.EndWatch(monitor, ended)
        except ProcessLookupError:
            asyncio.get_running_loop().call_soon(ended)

    def started(self, container: Container) -> None:
        """Take note of what happened while the container was being started."""
        self.check_exit(container)
        if container.running and container.monitor_watch is None:
            self._monitor_ended(container)

    def _monitor_ended(self, container: Container) -> None:
        self.check_exit(container)
        if container.record.state.can_exit and not container.removing:
            log.error("conmon of container %s died: the container is killed", container.id)
            self._core.background.spawn(self._lost(container), f"ending container {container.id}, whose monitor died")

    async def _lost(self, container: Container) -> None:
        """Without its monitor a container's output goes nowhere and its exit code is not seen: it cannot go on."""
        await self._signal(container, signal.SIGKILL)
        await asyncio.to_thread(kill_all, self._core.cgroups, container.record.cgroup)
        if not container.exited.is_set():
            self._finish(container, UNKNOWN_EXIT_CODE, time.time_ns(), "the container's monitor (conmon) died")

    def _finish(self, container: Container, code: int, finished_at_ns: int, message: str = "") -> None:
        oom_kills = self._core.cgroups.statistics.oom_kills(container.record.cgroup)
        reason = transitions.exit_reason(code)
        if self._was_oom_killed(container):
            reason, oom_kills = transitions.OOM_KILLED, max(oom_kills, 1)
        _remove_unwritten_log(container)
        # who waits for the end must hear of it, recorded or not; the next agent has conmon's exit file
        self._core.note_container(
            container,
            lambda record: transitions.exited(
                record,
                code=code,
                finished_at_ns=finished_at_ns,
                reason=reason,
                message=message,
                oom_kills=oom_kills,
            ),
        )
        self._ended(container)

    def _ended(self, container: Container) -> None:
        container.exited.set()
        self._core.publish_container(cri.CONTAINER_STOPPED_EVENT, container)
        container.clearing = self._core.background.spawn(self._clear(container), f"clearing container {container.id}")

    def _was_oom_killed(self, container: Container) -> bool:
        core, record = self._core, container.record
        cgroups = [record.cgroup]
        sandbox = core.registry.sandboxes.get(record.sandbox_id)
        if sandbox is not None and (holder := core.traits.holder(sandbox)) is not None:
            cgroups.append(holder.record.cgroup)  # where the containers' memory is accounted
        if any(core.cgroups.statistics.oom_kills(cgroup) for cgroup in cgroups):
            return True
        # a systemd scope is gone with its last process; then conmon's own notice is what is left
        return core.config.cgroup_driver == "systemd" and (core.paths.container(record.id) / "oom").exists()

    async def _clear(self, container: Container) -> None:
        """Processes that outlived the first one (in a shared PID namespace they do), and the cgroup."""

        def clear() -> None:
            kill_all(self._core.cgroups, container.record.cgroup)
            remove_when_empty(self._core.cgroups, container.record.cgroup)

        await asyncio.to_thread(clear)

    async def start_failed(self, container: Container, message: str) -> None:
        """The container never ran its program: it is exited, and says why."""
        record = container.record
        if record.init is not None:
            await self._signal(container, signal.SIGKILL)
        if container.exited.is_set():
            return  # its end was seen meanwhile
        now_ns = time.time_ns()
        self._core.note_container(container, lambda record: transitions.start_failed(record, message, now_ns))
        self._ended(container)

    # stop and kill ---------------------------------------------------------------------------------------------------

    async def stop(self, container: Container, timeout_seconds: float) -> None:
        """The stop signal, once, and SIGKILL when that has not helped in time. A container that does not run is fine."""
        if not container.record.state.can_stop:
            await self._cleared(container)
            return
        if timeout_seconds > 0:
            if not container.stop_sent:
                container.stop_sent = True
                await self._signal(container, container.record.stop_signal)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await container.exited.wait()
        await self.kill_now(container)

    async def kill_now(self, container: Container) -> None:
        """SIGKILL; returns when the container has exited and its processes are gone. Raises Timeout."""
        if not container.exited.is_set() and container.record.state.can_kill:
            await self._signal(container, signal.SIGKILL)
            if not await _within(_BLIND_SECONDS, container.exited) and self._is_blind(container):
                await self._give_up_monitor(container)
            if not await _within(_KILL_SECONDS - _BLIND_SECONDS, container.exited):
                raise errors.Timeout(f"container {container.id} did not exit within {_KILL_SECONDS:g}s of SIGKILL")
        await self._cleared(container)

    def _is_blind(self, container: Container) -> bool:
        """Whether the first process has ended and its monitor, which lives, has not seen it: it was stopped, or hangs."""
        init = container.record.init
        return init is not None and self._core.traits.has_ended(init)

    async def _give_up_monitor(self, container: Container) -> None:
        monitor = container.record.monitor or self.monitor_of(container)
        if monitor is not None:
            log.error("conmon of container %s does not see its end: it is killed", container.id)
            processes.send_signal(monitor, signal.SIGKILL)
            await processes.wait_for_end(monitor, _MONITOR_SECONDS)
        self.check_exit(container)
        if not container.exited.is_set():
            message = "the container's monitor (conmon) did not see its end"
            self._finish(container, UNKNOWN_EXIT_CODE, time.time_ns(), message)

    async def _cleared(self, container: Container) -> None:
        if container.clearing is not None:
            await asyncio.wait({container.clearing})

    async def _signal(self, container: Container, number: int) -> None:
        record = container.record
        if record.create_error or record.init is None:
            self._finish_unborn(container)
        else:
            await self._core.traits.signal(container, record.init, number)

    def _finish_unborn(self, container: Container) -> None:
        """Nothing ever ran that could exit."""
        if not container.exited.is_set():
            self.check_exit(container)
        if not container.exited.is_set() and container.record.state.can_kill:
            self._finish(container, 128 + signal.SIGKILL, time.time_ns())

    # removal ---------------------------------------------------------------------------------------------------------

    async def remove(self, container: Container) -> None:
        """Kill it where needed and leave nothing. Concurrent removals join. Raises Timeout, Internal."""
        container.removing = True
        async with container.lock:
            if container.id not in self._core.registry.containers:
                return
            for session in tuple(container.sessions):
                await session.close()
            await self.kill_now(container)
            await self._dismantle(container)
            self._core.registry.forget_container(container)
        self._core.publish_container(cri.CONTAINER_DELETED_EVENT, container)

    async def undo(self, container: Container, cause: BaseException, *, timeout_seconds: float) -> None:
        """Remove what a failed creation left, whatever happens to the caller meanwhile; failures join the cause as notes."""

        async def work() -> None:
            container.removing = True
            async with container.lock:
                try:
                    async with asyncio.timeout(timeout_seconds):
                        await asyncio.to_thread(self._abort, container)
                        await self._dismantle(container)
                except Exception as error:
                    cause.add_note(f"undo: {error}")
                    log.exception("container %s, half made, could not be removed; the next start will", container.id)
                finally:
                    self._core.registry.forget_container(container)

        await asyncio.shield(self._core.background.spawn(work(), f"undoing container {container.id}"))

    def _abort(self, container: Container) -> None:
        """End a creation that may still be going on: a conmon of which not even the pid is known, and what it started."""
        bundle = str(self._core.paths.bundle(container.id))
        for pid, argv in processes.command_lines():
            if bundle in argv and Path(argv[0]).name == Path(self._core.config.conmon_path).name:
                processes.kill_with_descendants(pid)
        kill_all(self._core.cgroups, container.record.cgroup)

    async def _dismantle(self, container: Container) -> None:
        core, record = self._core, container.record
        if container.monitor_watch is not None:
            container.monitor_watch.close()
            container.monitor_watch = None
        await core.traits.delete(record)
        monitor = record.monitor or self.monitor_of(container)
        if monitor is not None and not await processes.wait_for_end(monitor, _MONITOR_SECONDS):
            processes.send_signal(monitor, signal.SIGKILL)
        if container.clearing is None:
            await self._clear(container)  # its end was never seen: nothing may run any more before its files go
        for number in range(len(container.image_mounts)):
            await core.images.remove_rootfs(bundles.volume_directory(core, record.id, number))
        if not record.infra:
            await core.images.remove_rootfs(bundles.rootfs_directory(core, record.id))
        await run_blocking(self._remove_files, container)

    def _remove_files(self, container: Container) -> None:
        """The record goes last: until then the next agent knows what is left."""
        paths, record = self._core.paths, container.record
        remove_when_empty(self._core.cgroups, record.cgroup)  # where the last processes were slow to go
        _remove_unwritten_log(container)
        (paths.exits / record.id).unlink(missing_ok=True)
        bundles.remove_with_mounts(paths.bundle(record.id))
        bundles.remove_with_mounts(paths.container(record.id))


async def _within(seconds: float, happened: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await happened.wait()
    return happened.is_set()


def _remove_unwritten_log(container: Container) -> None:
    """Of a container that was made and never started; the number of its log must not count as a run."""
    record = container.record
    if record.log_path and not record.started_at_ns and record.reason != transitions.START_ERROR:
        Path(record.log_path).unlink(missing_ok=True)
