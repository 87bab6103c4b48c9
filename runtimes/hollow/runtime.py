"""The hollow runtime's sandboxes and containers."""

import asyncio
import ipaddress
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any

import msgspec
from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import Capabilities, RuntimeService
from runtimes.events import EventBus
from runtimes.hollow.chance import Chance
from runtimes.hollow.checks import SandboxName, check_container, check_sandbox, name_of
from runtimes.hollow.images import HollowImages, image_id_of
from runtimes.hollow.messages import (
    HollowContainer,
    HollowSandbox,
    container_item,
    container_stats,
    has_labels,
    sandbox_item,
    sandbox_stats,
)
from runtimes.kube.labels import LABEL_POD_UID

EXIT_AFTER = "hollow.nodeagent.dev/exit-after"
EXIT_CODE = "hollow.nodeagent.dev/exit-code"

_KILLED = 137
_FAILED = 1
_STREAMING = "the hollow runtime runs nothing: there is nothing to stream from"


Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0)]


class HollowSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The handler's `options`."""

    start_seconds: Seconds = 0.0
    stop_seconds: Seconds = 0.0
    pull_seconds: Seconds = 0.0
    spread: Seconds = 0.0
    failures: Share = 0.0
    crashes: Share = 0.0
    crash_after_seconds: Seconds = 30.0
    seed: str = ""
    subnet: str = "198.18.0.0/15"


class HollowRuntime(RuntimeService):
    """Implements the CRI in memory; every verb is its bookkeeping and an event."""

    def __init__(self, settings: HollowSettings, images: HollowImages, handler: str = "hollow") -> None:
        self._settings = settings
        self._chance = Chance(settings.seed)
        self._tries: Counter[tuple[str, str]] = Counter()  # of pods whose sandbox has failed, by namespace and name
        self._images = images
        self._handler = handler
        self._bus = EventBus()
        self._sandboxes: dict[str, HollowSandbox] = {}
        self._containers: dict[str, HollowContainer] = {}
        self._names: set[SandboxName] = set()
        self._pods: dict[str, dict[str, HollowSandbox]] = {}  # by pod UID, the label that everyone asks for
        self._network = ipaddress.ip_network(settings.subnet)
        self._addresses: Iterator[Any] = iter(())

    @property
    @override
    def capabilities(self) -> Capabilities:
        return Capabilities(events=True, local_streaming=False, early_sandbox=False)

    @override
    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse:
        return cri.VersionResponse(
            version="0.1.0", runtime_name="hollow", runtime_version="1", runtime_api_version="v1"
        )

    @override
    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse:
        conditions = [cri.RuntimeCondition(type=name, status=True) for name in ("RuntimeReady", "NetworkReady")]
        return cri.StatusResponse(status=cri.RuntimeStatus(conditions=conditions))

    @override
    async def runtime_config(self, request: cri.RuntimeConfigRequest) -> cri.RuntimeConfigResponse:
        return cri.RuntimeConfigResponse()

    @override
    async def update_runtime_config(self, request: cri.UpdateRuntimeConfigRequest) -> cri.UpdateRuntimeConfigResponse:
        return cri.UpdateRuntimeConfigResponse()

    # sandboxes -------------------------------------------------------------------------------------------------------

    @override
    async def run_pod_sandbox(
        self, request: cri.RunPodSandboxRequest, *, on_created: Callable[[str], None] | None = None
    ) -> cri.RunPodSandboxResponse:
        check_sandbox(request, self._handler, self._names)
        config, name = request.config, name_of(request.config.metadata)
        self._names.add(name)
        try:
            await self._come_up(config.metadata)
        except (asyncio.CancelledError, errors.RuntimeFault):
            self._names.discard(name)
            raise
        status = cri.PodSandboxStatus(
            id=secrets.token_hex(32),
            metadata=config.metadata,
            state=cri.SANDBOX_READY,
            created_at=time.time_ns(),
            labels=config.labels,
            annotations=config.annotations,
            runtime_handler=self._handler,
        )
        status.linux.namespaces.options.CopyFrom(config.linux.security_context.namespace_options)
        if status.linux.namespaces.options.network == cri.POD:
            status.network.ip = self._next_address()
        sandbox = HollowSandbox(status)
        self._sandboxes[status.id] = sandbox
        self._pods.setdefault(status.labels.get(LABEL_POD_UID, ""), {})[status.id] = sandbox
        for kind in (cri.CONTAINER_CREATED_EVENT, cri.CONTAINER_STARTED_EVENT):
            self._tell(kind, status.id, sandbox)
        return cri.RunPodSandboxResponse(pod_sandbox_id=status.id)

    async def _come_up(self, pod: cri.PodSandboxMetadata) -> None:
        """Takes its time, and fails now and then: another try is another draw."""
        key, settings = (pod.namespace, pod.name), self._settings
        what = (*key, self._tries[key])
        await asyncio.sleep(self._chance.seconds(settings.start_seconds, settings.spread, "sandbox", *what))
        if self._chance.share("sandbox fails", *what) < settings.failures:
            self._tries[key] += 1
            raise errors.Unavailable("the sandbox has failed, as the settings of the hollow runtime ask")
        self._tries.pop(key, None)

    def _next_address(self) -> str:
        """In turn through the subnet, again from its beginning after its end: with more pods than addresses some share one."""
        found = next(self._addresses, None)
        if found is None:
            self._addresses = islice(self._network.hosts(), 1, None)
            found = next(self._addresses)
        return str(found)

    @override
    async def stop_pod_sandbox(self, request: cri.StopPodSandboxRequest) -> cri.StopPodSandboxResponse:
        sandbox = self._sandboxes.get(request.pod_sandbox_id)
        if sandbox is not None and sandbox.status.state == cri.SANDBOX_READY:
            for container in sandbox.containers.values():
                self._exit(container, _KILLED)
            sandbox.status.state = cri.SANDBOX_NOTREADY
            self._tell(cri.CONTAINER_STOPPED_EVENT, sandbox.status.id, sandbox)
        return cri.StopPodSandboxResponse()

    @override
    async def remove_pod_sandbox(self, request: cri.RemovePodSandboxRequest) -> cri.RemovePodSandboxResponse:
        await self.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=request.pod_sandbox_id))
        sandbox = self._sandboxes.pop(request.pod_sandbox_id, None)
        if sandbox is not None:
            for container_id in sandbox.containers:
                self._containers.pop(container_id, None)
            self._names.discard(name_of(sandbox.status.metadata))
            uid = sandbox.labels.get(LABEL_POD_UID, "")
            self._pods[uid].pop(sandbox.status.id)
            if not self._pods[uid]:
                del self._pods[uid]
            self._tell(cri.CONTAINER_DELETED_EVENT, sandbox.status.id, sandbox)
        return cri.RemovePodSandboxResponse()

    @override
    async def pod_sandbox_status(self, request: cri.PodSandboxStatusRequest) -> cri.PodSandboxStatusResponse:
        sandbox = self._sandbox(request.pod_sandbox_id)
        statuses = [container.status for container in sandbox.containers.values()]
        return cri.PodSandboxStatusResponse(
            status=sandbox.status, containers_statuses=statuses, timestamp=time.time_ns()
        )

    @override
    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        wanted = request.filter
        found = [
            entry.status
            for entry in self._candidates(wanted.label_selector)
            if entry.status.id.startswith(wanted.id)
            and (not wanted.HasField("state") or wanted.state.state == entry.status.state)
            and has_labels(entry.labels, wanted.label_selector)
        ]
        return cri.ListPodSandboxResponse(items=[sandbox_item(status) for status in found])

    def _candidates(self, selector: Mapping[str, str]) -> list[HollowSandbox]:
        found = self._pods.get(selector[LABEL_POD_UID], {}) if LABEL_POD_UID in selector else self._sandboxes
        return list(found.values())

    @override
    async def update_pod_sandbox_resources(
        self, request: cri.UpdatePodSandboxResourcesRequest
    ) -> cri.UpdatePodSandboxResourcesResponse:
        self._sandbox(request.pod_sandbox_id)
        return cri.UpdatePodSandboxResourcesResponse()

    # containers ------------------------------------------------------------------------------------------------------

    @override
    async def create_container(self, request: cri.CreateContainerRequest) -> cri.CreateContainerResponse:
        sandbox = self._sandbox(request.pod_sandbox_id)
        check_container(request.config, sandbox)
        config = request.config
        if config.image.image not in self._images:
            raise errors.NotFound(f"no image {config.image.image!r}: it has not been pulled")
        status = cri.ContainerStatus(
            id=secrets.token_hex(32),
            metadata=config.metadata,
            state=cri.CONTAINER_CREATED,
            created_at=time.time_ns(),
            image=config.image,
            image_ref=image_id_of(config.image.image),
            labels=config.labels,
            annotations=config.annotations,
            mounts=config.mounts,
        )
        status.resources.linux.CopyFrom(config.linux.resources)
        container = HollowContainer(request.pod_sandbox_id, status)
        self._containers[status.id] = sandbox.containers[status.id] = container
        self._tell(cri.CONTAINER_CREATED_EVENT, status.id, sandbox)
        return cri.CreateContainerResponse(container_id=status.id)

    @override
    async def start_container(self, request: cri.StartContainerRequest) -> cri.StartContainerResponse:
        container = self._container(request.container_id)
        if container.status.state != cri.CONTAINER_CREATED:
            raise errors.WrongState(f"container {container.status.id} has been started before")
        sandbox = self._sandboxes[container.sandbox_id]
        planned = _planned_end(sandbox.status.annotations) or self._crash(sandbox, container)
        container.status.state, container.status.started_at = cri.CONTAINER_RUNNING, time.time_ns()
        if planned is not None:
            after_seconds, code = planned
            loop = asyncio.get_running_loop()
            container.end = loop.call_later(after_seconds, self._exit, container, code)
        self._tell(cri.CONTAINER_STARTED_EVENT, container.status.id, sandbox)
        return cri.StartContainerResponse()

    def _crash(self, sandbox: HollowSandbox, container: HollowContainer) -> tuple[float, int] | None:
        """After how many seconds a container crashes, if it does, and with which exit code."""
        what, settings = _named(sandbox, container), self._settings
        if self._chance.share("crashes", *what) >= settings.crashes:
            return None
        return self._chance.seconds(settings.crash_after_seconds, settings.spread, "crash", *what), _FAILED

    @override
    async def stop_container(self, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
        container = self._containers.get(request.container_id)
        if container is not None and container.status.state == cri.CONTAINER_RUNNING:
            what, settings = _named(self._sandboxes[container.sandbox_id], container), self._settings
            await asyncio.sleep(self._chance.seconds(settings.stop_seconds, settings.spread, "stop", *what))
            self._exit(container, _KILLED)
        return cri.StopContainerResponse()

    def _exit(self, container: HollowContainer, code: int) -> None:
        status = container.status
        if container.end is not None:
            container.end.cancel()
        if status.state == cri.CONTAINER_EXITED:
            return
        status.state, status.finished_at, status.exit_code = cri.CONTAINER_EXITED, time.time_ns(), code
        status.reason = "Completed" if code == 0 else "Error"
        self._tell(cri.CONTAINER_STOPPED_EVENT, status.id, self._sandboxes.get(container.sandbox_id))

    @override
    async def remove_container(self, request: cri.RemoveContainerRequest) -> cri.RemoveContainerResponse:
        container = self._containers.pop(request.container_id, None)
        if container is not None:
            self._exit(container, _KILLED)
            if sandbox := self._sandboxes.get(container.sandbox_id):
                sandbox.containers.pop(request.container_id, None)
                self._tell(cri.CONTAINER_DELETED_EVENT, request.container_id, sandbox)
        return cri.RemoveContainerResponse()

    @override
    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
        return cri.ContainerStatusResponse(status=self._container(request.container_id).status)

    @override
    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        wanted = request.filter
        candidates: Iterable[HollowContainer] = self._containers.values()
        if LABEL_POD_UID in wanted.label_selector:  # all that the agent asks for a pod: no look at the others
            own = self._candidates(wanted.label_selector)
            candidates = [container for sandbox in own for container in sandbox.containers.values()]
        found = [
            container_item(entry)
            for entry in candidates
            if entry.status.id.startswith(wanted.id)
            and entry.sandbox_id.startswith(wanted.pod_sandbox_id)
            and (not wanted.HasField("state") or wanted.state.state == entry.status.state)
            and has_labels(entry.labels, wanted.label_selector)
        ]
        return cri.ListContainersResponse(containers=found)

    @override
    async def update_container_resources(
        self, request: cri.UpdateContainerResourcesRequest
    ) -> cri.UpdateContainerResourcesResponse:
        self._container(request.container_id).status.resources.linux.MergeFrom(request.linux)
        return cri.UpdateContainerResourcesResponse()

    @override
    async def reopen_container_log(self, request: cri.ReopenContainerLogRequest) -> cri.ReopenContainerLogResponse:
        self._container(request.container_id)
        return cri.ReopenContainerLogResponse()

    @override
    async def checkpoint_container(self, request: cri.CheckpointContainerRequest) -> cri.CheckpointContainerResponse:
        raise errors.NotSupported("hollow containers have nothing to keep")

    @override
    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        if self._container(request.container_id).status.state != cri.CONTAINER_RUNNING:
            raise errors.WrongState(f"container {request.container_id} is not running")
        return cri.ExecSyncResponse()

    @override
    async def exec(self, request: cri.ExecRequest) -> cri.ExecResponse:
        raise errors.NotSupported(_STREAMING)

    @override
    async def attach(self, request: cri.AttachRequest) -> cri.AttachResponse:
        raise errors.NotSupported(_STREAMING)

    @override
    async def port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse:
        raise errors.NotSupported(_STREAMING)

    # statistics: nothing runs, nothing is used ------------------------------------------------------------------------

    @override
    async def container_stats(self, request: cri.ContainerStatsRequest) -> cri.ContainerStatsResponse:
        return cri.ContainerStatsResponse(stats=container_stats(self._container(request.container_id)))

    @override
    async def list_container_stats(self, request: cri.ListContainerStatsRequest) -> cri.ListContainerStatsResponse:
        wanted = request.filter
        found = [
            container_stats(entry)
            for entry in self._containers.values()
            if entry.status.state == cri.CONTAINER_RUNNING
            and entry.status.id.startswith(wanted.id)
            and entry.sandbox_id.startswith(wanted.pod_sandbox_id)
            and has_labels(entry.labels, wanted.label_selector)
        ]
        return cri.ListContainerStatsResponse(stats=found)

    @override
    async def pod_sandbox_stats(self, request: cri.PodSandboxStatsRequest) -> cri.PodSandboxStatsResponse:
        return cri.PodSandboxStatsResponse(stats=sandbox_stats(self._sandbox(request.pod_sandbox_id)))

    @override
    async def list_pod_sandbox_stats(self, request: cri.ListPodSandboxStatsRequest) -> cri.ListPodSandboxStatsResponse:
        wanted = request.filter
        found = [
            sandbox_stats(entry)
            for entry in self._sandboxes.values()
            if entry.status.id.startswith(wanted.id) and has_labels(entry.labels, wanted.label_selector)
        ]
        return cri.ListPodSandboxStatsResponse(stats=found)

    @override
    async def list_metric_descriptors(
        self, request: cri.ListMetricDescriptorsRequest
    ) -> cri.ListMetricDescriptorsResponse:
        raise errors.NotSupported("the hollow runtime runs nothing: there is nothing to measure")

    @override
    async def list_pod_sandbox_metrics(
        self, request: cri.ListPodSandboxMetricsRequest
    ) -> cri.ListPodSandboxMetricsResponse:
        raise errors.NotSupported("the hollow runtime runs nothing: there is nothing to measure")

    # -----------------------------------------------------------------------------------------------------------------

    @override
    def events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        return self._bus.subscribe()

    def close(self) -> None:
        """Nothing ends by itself any more."""
        for container in self._containers.values():
            if container.end is not None:
                container.end.cancel()
        self._bus.close()

    def _tell(self, kind: cri.ContainerEventType, subject_id: str, sandbox: HollowSandbox | None) -> None:
        event = cri.ContainerEventResponse(
            container_id=subject_id, container_event_type=kind, created_at=time.time_ns()
        )
        if sandbox is not None:
            event.pod_sandbox_status.CopyFrom(sandbox.status)
            event.containers_statuses.extend(container.status for container in sandbox.containers.values())
        self._bus.publish(event)

    def _sandbox(self, sandbox_id: str) -> HollowSandbox:
        if (found := self._sandboxes.get(sandbox_id)) is None:
            raise errors.NotFound(f"no sandbox {sandbox_id!r}")
        return found

    def _container(self, container_id: str) -> HollowContainer:
        if (found := self._containers.get(container_id)) is None:
            raise errors.NotFound(f"no container {container_id!r}")
        return found


def _named(sandbox: HollowSandbox, container: HollowContainer) -> tuple[str, str, str, int]:
    """What a container's draws are for: not its id, which is another one each time."""
    pod, own = sandbox.status.metadata, container.status.metadata
    return pod.namespace, pod.name, own.name, own.attempt


def _planned_end(annotations: Mapping[str, str]) -> tuple[float, int] | None:
    """After how many seconds, and with which exit code, the pod's containers end. Raises InvalidArgument."""
    after, code = annotations.get(EXIT_AFTER), annotations.get(EXIT_CODE) or "0"
    try:
        return (float(after), int(code)) if after else None
    except ValueError as error:
        raise errors.InvalidArgument(f"annotations {EXIT_AFTER}, {EXIT_CODE}: {error}") from None
