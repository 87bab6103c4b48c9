"""The pod's containers are started, one after the other in the order of the spec, each with its postStart hook; and stopped."""

import contextlib
import logging
from typing import ClassVar, Protocol

from lightkube.models.core_v1 import LifecycleHandler
from typing_extensions import override

from nodeagent.api.events import Events
from nodeagent.pods.cancellation import carry_through
from nodeagent.pods.hooks import HookError, Hooks
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.rules.model import StartContainer
from nodeagent.pods.steps.contract import NoStartObserver, StartError, StartObserver, Step, SyncPass, UndoPhase
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.containers import AnyContainer, ContainerKind, field_path, find_container
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

# What is under way when the pod is to end, or the agent, is waited for; so long, then it is cancelled.
START_GRACE_SECONDS = 120.0  # the runtime's own deadline for a start
HOOK_GRACE_SECONDS = 10.0  # postStart: it may take for ever


class HostsFiles(Protocol):
    def write_hosts(self, pod: AgentPod, pod_ips: tuple[str, ...]) -> None:
        """Bring the pod's /etc/hosts up to date, in place: running containers see it."""
        ...


class PodTerminator(Protocol):
    async def kill_container(
        self, runtime: Runtime, pod: AgentPod, container_id: str, name: str, *, message: str = ""
    ) -> None:
        """Stop one container by the rules of its pod, and return when it has exited."""
        ...

    async def kill_pod(self, runtime: Runtime, teardown: Teardown) -> None:
        """Stop every container of the pod in one runtime by the rules of its termination. Raises if any may still run."""
        ...


class StartsStep(Step):
    """Bounds itself: each start has the runtime's deadline, and a postStart hook none."""

    name: ClassVar[str] = "starts"
    undone: ClassVar[UndoPhase] = UndoPhase.STOP

    def __init__(
        self,
        *,
        hosts: HostsFiles,
        hooks: Hooks,
        terminator: PodTerminator,
        events: Events,
        paths: PodPaths,
        observer: StartObserver | None = None,
    ) -> None:
        self._hosts = hosts
        self._hooks = hooks
        self._terminator = terminator
        self._events = events
        self._paths = paths
        self._observer = observer or NoStartObserver()

    @override
    async def run(self, work: SyncPass) -> None:
        for start in work.plan.start:
            found = find_container(work.pod, start.name)
            if found is None:
                continue
            if not await self._start_one(work, start, *found) and start.kind is ContainerKind.INIT:
                break  # the next ones may only follow a completed init container

    @override
    async def undo(self, teardown: Teardown) -> None:
        await teardown.in_each(self._terminator.kill_pod)

    async def _start_one(
        self, work: SyncPass, start: StartContainer, kind: ContainerKind, container: AnyContainer
    ) -> bool:
        try:
            container_id = await work.created[start.name].get()
            await work.pod_ips.get()
        except StartError as error:
            self._observer.container(kind)
            self._failed(work, kind, start, error)
            return False
        self._observer.container(kind)
        what = f"start of {start.name} in pod {work.uid}"
        lifecycle = container.lifecycle
        handler = lifecycle.postStart if lifecycle is not None else None
        if handler is not None:
            work.hooked.add(container_id)
        try:
            # carried to their ends: no started container goes unrecorded, and nothing stops one that is just being started
            await carry_through(self._start(work, kind, start, container_id), what, grace_seconds=START_GRACE_SECONDS)
            if start.name in work.started and handler is not None:
                hook = self._post_start(work, kind, container, start, container_id, handler)
                await carry_through(hook, f"postStart at the {what}", grace_seconds=HOOK_GRACE_SECONDS)
        finally:
            work.hooked.discard(container_id)
        return start.name in work.started

    async def _start(self, work: SyncPass, kind: ContainerKind, start: StartContainer, container_id: str) -> None:
        self._hosts.write_hosts(work.pod, await work.pod_ips.get())
        try:
            await work.runtime.service.start_container(cri.StartContainerRequest(container_id=container_id))
        except RuntimeFault as error:
            self._failed(work, kind, start, StartError("RunContainerError", str(error)))
            return
        work.started[start.name] = start.backoff
        self._event(work, kind, start.name, "Normal", "Started", "Container started")
        self._link_log(work, start, container_id)

    async def _post_start(
        self,
        work: SyncPass,
        kind: ContainerKind,
        container: AnyContainer,
        start: StartContainer,
        container_id: str,
        handler: LifecycleHandler,
    ) -> None:
        """Run the hook; where it fails, the container is stopped and does not count as started."""
        try:
            await self._hooks.run(work.pod, container, container_id, handler, work.runtime)
        except HookError as error:
            del work.started[start.name]
            self._event(work, kind, start.name, "Warning", "FailedPostStartHook", "PostStartHook failed")
            try:
                await self._terminator.kill_container(
                    work.runtime, work.pod, container_id, start.name, message="FailedPostStartHook"
                )
            finally:
                self._failed(work, kind, start, StartError("PostStartHookError", str(error)))

    def _failed(self, work: SyncPass, kind: ContainerKind, start: StartContainer, error: StartError) -> None:
        self._observer.container_failed(kind, error.failure.reason)
        work.failures[start.name] = error.failure
        if error.retry_seconds is not None:
            work.retry_seconds[start.name] = error.retry_seconds
        self._event(work, kind, start.name, "Warning", "Failed", f"Error: {error.event_text}")

    def _link_log(self, work: SyncPass, start: StartContainer, container_id: str) -> None:
        """`/var/log/containers/<pod>_<ns>_<container>-<id>.log`, as log collectors know it."""
        namespace, name = work.pod.key
        log_file = self._paths.log_dir(namespace, name, work.uid) / start.name / f"{start.restart_count}.log"
        link = self._paths.log_link(namespace, name, start.name, container_id)
        if not log_file.exists():
            return
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        try:
            link.symlink_to(log_file)
        except OSError as error:
            log.warning("cannot link %s to %s: %s", link, log_file, error)

    def _event(self, work: SyncPass, kind: ContainerKind, name: str, type: str, reason: str, message: str) -> None:
        self._events.event(work.pod, type, reason, message, field_path=field_path(kind, name))
