"""The pod's containers, made from their images and configurations side by side, some before the pod's network is up."""

from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.api.events import Events
from nodeagent.pods.cancellation import run_all
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.rules.model import StartContainer
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.contract import SlotName, StartError, Step, SyncPass
from nodeagent.pods.translation.environment import ConfigError, needs_pod_ip
from nodeagent.pods.translation.request import ContainerRequest
from nodeagent.podspec.containers import field_path, find_container
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault


class ContainerConfigs(Protocol):
    """Who translates a container into the runtime's configuration."""

    async def container(self, request: ContainerRequest) -> cri.ContainerConfig:
        """Raises ConfigError with the message of CreateContainerConfigError."""
        ...

    def sandbox(self, pod: AgentPod, *, attempt: int, cgroup_parent: str) -> cri.PodSandboxConfig: ...


class ContainersStep(Step):
    """Creates; `StartsStep` starts, and its undo ends what runs."""

    name: ClassVar[str] = "containers"
    provides: ClassVar[tuple[SlotName, ...]] = ("created",)

    def __init__(self, configs: ContainerConfigs, events: Events, paths: PodPaths) -> None:
        self._configs = configs
        self._events = events
        self._paths = paths

    @override
    async def run(self, work: SyncPass) -> None:
        await run_all(self._create_one(work, start) for start in work.plan.start)

    async def _create_one(self, work: SyncPass, start: StartContainer) -> None:
        slot = work.created[start.name]
        try:
            slot.set(await self._create(work, start))
        except StartError as error:
            slot.fail(error)
        except NotProvided:
            pass  # the step that it needs something of tells why
        finally:
            slot.fail()  # at once, if it was not set: whoever waits for it need not wait for the others

    async def _create(self, work: SyncPass, start: StartContainer) -> str:
        images = await work.images[start.name].get()
        mounts = await work.mounts.get()
        sandbox_id = await work.sandbox_id.get()
        found = find_container(work.pod, start.name)
        assert found is not None  # it has an image
        kind, container = found
        early = not needs_pod_ip(work.pod, container)
        request = ContainerRequest(
            pod=work.pod,
            kind=kind,
            container=container,
            restart_count=start.restart_count,
            image=images.image,
            mounts=mounts,
            pod_ips=() if early and not work.pod_ips.ready else await work.pod_ips.get(),
            handler=work.runtime.handler,
            cri_handler=work.runtime.cri_handler,
            instances=work.observed.instances,
            volume_images=images.volumes,
            assigned=await work.assigned[start.name].get(),
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
            # a sandbox that came to nothing takes the container along: that is reported once, as its failure
            await work.pod_ips.get()
            raise StartError("CreateContainerError", str(error)) from error
        self._events.event(work.pod, "Normal", "Created", "Container created", field_path=field_path(kind, start.name))
        return answer.container_id
