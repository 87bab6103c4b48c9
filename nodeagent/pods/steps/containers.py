"""The pod's containers: images and creation side by side, starts one after the other in the order of the spec."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nodeagent.images.manager import EnsuredImage, ImageFailure
from nodeagent.pods.hooks import HookError, Hooks
from nodeagent.pods.killing import Killer
from nodeagent.pods.rules.model import StartContainer, StartFailure
from nodeagent.pods.slot import NotProvided, Slot
from nodeagent.pods.steps.contract import Ending, PodEvents, PodPaths, Work
from nodeagent.pods.steps.image_volumes import ImageVolumes, VolumeImages
from nodeagent.pods.translation.environment import ConfigError, needs_pod_ip
from nodeagent.podspec.containers import AnyContainer, ContainerKind, field_path, find_container
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import MountedVolume
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

SHOW_BACKOFF_SECONDS = 1.0


class Images(VolumeImages, Protocol):
    """Who brings images to a runtime's store."""

    async def ensure(
        self, pod: AgentPod, kind: ContainerKind, container: AnyContainer, runtime: Runtime
    ) -> EnsuredImage:
        """Raises ImageFailure with the waiting reason and message."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRequest:
    """All that one container's configuration is made from."""

    pod: AgentPod
    kind: ContainerKind
    container: AnyContainer
    restart_count: int
    image: EnsuredImage
    mounts: Mapping[str, MountedVolume]
    pod_ips: tuple[str, ...]
    runtime: Runtime
    volume_images: Mapping[str, cri.ImageSpec] = field(default_factory=dict)


class ContainerConfigs(Protocol):
    """Who translates a container into the runtime's configuration."""

    async def container(self, request: ContainerRequest) -> cri.ContainerConfig:
        """Raises ConfigError with the message of CreateContainerConfigError."""
        ...

    def sandbox(self, pod: AgentPod, *, attempt: int, cgroup_parent: str) -> cri.PodSandboxConfig: ...

    def write_hosts(self, pod: AgentPod, pod_ips: tuple[str, ...]) -> None:
        """Bring the pod's /etc/hosts up to date, in place: running containers see it."""
        ...


class StartError(Exception):
    """One container could not be started; what its status shows, and when to try again (None: as usual)."""

    def __init__(self, reason: str, message: str, *, event_text: str = "", retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.failure = StartFailure(reason=reason, message=message)
        self.event_text = event_text or message
        self.retry_seconds = retry_seconds


class Containers:
    name = "containers"
    deadline_seconds = None  # image pulls and postStart hooks have bounds of their own
    runs_processes = True

    def __init__(
        self,
        *,
        images: Images,
        configs: ContainerConfigs,
        hooks: Hooks,
        killer: Killer,
        events: PodEvents,
        paths: PodPaths,
    ) -> None:
        self._images = images
        self._configs = configs
        self._hooks = hooks
        self._killer = killer
        self._events = events
        self._paths = paths

    def provides(self, work: Work) -> tuple[Slot[str], ...]:
        return ()

    async def run(self, work: Work) -> None:
        if not work.plan.start:
            return
        volumes = ImageVolumes(self._images, work.pod, work.runtime)
        prepared = [asyncio.create_task(self._create(work, start, volumes)) for start in work.plan.start]
        try:
            for start, creation in zip(work.plan.start, prepared, strict=True):
                if not await self._start_one(work, start, creation) and start.kind is ContainerKind.INIT:
                    break  # the next ones may only follow a completed init container
        finally:
            for task in prepared:
                task.cancel()
            await asyncio.gather(*prepared, volumes.close(), return_exceptions=True)

    async def undo(self, ending: Ending) -> None:
        """Kill every container of the pod by the rules of its termination; remove the dead unless records are wanted."""
        await ending.in_each(self._killer.kill_pod)

    async def _start_one(self, work: Work, start: StartContainer, creation: "asyncio.Task[str]") -> bool:
        found = find_container(work.pod, start.name)
        if found is None:
            return True
        kind, container = found
        try:
            container_id = await creation
            await work.pod_ips.get()
            # a start that began is carried through, so that no started container goes unrecorded
            await asyncio.shield(self._start(work, kind, container, start, container_id))
        except StartError as error:
            work.failures[start.name] = error.failure
            if error.retry_seconds is not None:
                work.retry_seconds[start.name] = error.retry_seconds
            self._event(work, kind, start.name, "Warning", "Failed", f"Error: {error.event_text}")
            return False
        work.started[start.name] = start.backoff
        return True

    async def _create(self, work: Work, start: StartContainer, volumes: ImageVolumes) -> str:
        found = find_container(work.pod, start.name)
        if found is None:
            raise NotProvided(start.name)
        kind, container = found
        try:
            volume_images = await volumes.of(container)
            image = await self._images.ensure(work.pod, kind, container, work.runtime)
        except ImageFailure as failure:
            raise StartError(
                failure.reason, failure.message, event_text=failure.reason, retry_seconds=_retry_seconds(failure)
            ) from failure
        mounts = await work.mounts.get()
        sandbox_id = await work.sandbox_id.get()
        early = not needs_pod_ip(work.pod, container)
        pod_ips = () if early and not work.pod_ips.ready else await work.pod_ips.get()
        request = ContainerRequest(
            pod=work.pod,
            kind=kind,
            container=container,
            restart_count=start.restart_count,
            image=image,
            mounts=mounts,
            pod_ips=pod_ips,
            runtime=work.runtime,
            volume_images=volume_images,
        )
        try:
            config = await self._configs.container(request)
        except ConfigError as error:
            raise StartError("CreateContainerConfigError", str(error)) from error
        (self._paths.log_dir(*work.pod.key, work.uid) / start.name).mkdir(mode=0o755, parents=True, exist_ok=True)
        attempt = work.plan.create_sandbox
        if attempt is None:
            attempt = work.observed.sandboxes[0].metadata.attempt
        sandbox_config = self._configs.sandbox(work.pod, attempt=attempt, cgroup_parent=await work.cgroup_parent.get())
        try:
            answer = await work.runtime.service.create_container(
                cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
            )
        except RuntimeFault as error:
            await (
                work.pod_ips.get()
            )  # a sandbox that came to nothing takes the container along: that is told once, as its failure
            raise StartError("CreateContainerError", str(error)) from error
        self._event(work, kind, start.name, "Normal", "Created", "Container created")
        return answer.container_id

    async def _start(
        self, work: Work, kind: ContainerKind, container: AnyContainer, start: StartContainer, container_id: str
    ) -> None:
        self._configs.write_hosts(work.pod, await work.pod_ips.get())
        service = work.runtime.service
        try:
            await service.start_container(cri.StartContainerRequest(container_id=container_id))
        except RuntimeFault as error:
            raise StartError("RunContainerError", str(error)) from error
        self._event(work, kind, start.name, "Normal", "Started", "Container started")
        self._link_log(work, start, container_id)
        lifecycle = container.lifecycle
        if lifecycle is None or lifecycle.postStart is None:
            return
        try:
            await self._hooks.run(work.pod, container, container_id, lifecycle.postStart, work.runtime)
        except HookError as error:
            self._event(work, kind, start.name, "Warning", "FailedPostStartHook", "PostStartHook failed")
            await self._killer.kill_container(
                work.runtime, work.pod, container_id, start.name, message="FailedPostStartHook"
            )
            raise StartError("PostStartHookError", str(error)) from error

    def _link_log(self, work: Work, start: StartContainer, container_id: str) -> None:
        """`/var/log/containers/<pod>_<ns>_<container>-<id>.log`, as log collectors know it."""
        namespace, name = work.pod.key
        log_file = self._paths.log_dir(namespace, name, work.uid) / start.name / f"{start.restart_count}.log"
        link = self._paths.container_logs_dir / link_name(name, namespace, start.name, container_id)
        if not log_file.exists():
            return
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        try:
            link.symlink_to(log_file)
        except OSError as error:
            log.warning("cannot link %s to %s: %s", link, log_file, error)

    def _event(self, work: Work, kind: ContainerKind, name: str, type: str, reason: str, message: str) -> None:
        self._events.event(work.pod, type, reason, message, field_path=field_path(kind, name))


def link_name(pod: str, namespace: str, container: str, container_id: str) -> str:
    """The file name of a log link, cut to 255 bytes with its ending."""
    return f"{pod}_{namespace}_{container}-{container_id}"[: 255 - len(".log")] + ".log"


def _retry_seconds(failure: ImageFailure) -> float | None:
    """A failed pull is looked at again at once, so that the status tells of the back-off; then when that is over."""
    return SHOW_BACKOFF_SECONDS if failure.reason == "ErrImagePull" else failure.retry_after_seconds
