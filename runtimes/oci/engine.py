"""The engine as a RuntimeService: every verb of the CRI for one handler, in process, with no runtime daemon.

The verbs' work is in sandboxes.py (pods), containers.py and termination.py (containers), streaming.py, statistics.py; here it
is given the CRI's form.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable

from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import (
    Capabilities,
    LocalStreaming,
    NetworkProvider,
    PortConnection,
    RuntimeService,
    StreamSession,
)
from runtimes.linux.cgroups.tree import remove_if_empty
from runtimes.oci import messages, program
from runtimes.oci.assembly import Parts, assemble, take_lock
from runtimes.oci.config import OCIRuntimeConfig
from runtimes.oci.images.contract import ImageStore
from runtimes.oci.instrument import instrumented
from runtimes.oci.restore import Restore
from runtimes.oci.updates import update_resources

_API_VERSION = "v1"
_STOP_SECONDS = 30.0


@instrumented
class OCIRuntime(RuntimeService, LocalStreaming):
    """One handler. `start` before the first verb, `stop` after the last; containers live on in between agents."""

    def __init__(self, *, config: OCIRuntimeConfig, images: ImageStore, network: NetworkProvider | None) -> None:
        self._config = config
        self._images = images
        self._network = network
        self._parts: Parts | None = None
        self._lock: int | None = None
        self._down = f"runtime {config.name} is not started"

    # life of the engine ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Find out what the runtime and the host can do, adopt what runs, remove what was half made.

        Raises Unavailable when the runtime or conmon cannot be run, or a folder of the engine's not be used.
        """
        try:
            try:
                await self._start()
            except OSError as error:
                raise errors.Unavailable(f"{error.strerror or error} ({error.filename})") from error
        except errors.RuntimeFault as error:
            self._down = f"runtime {self._config.name} is not started: {error}"
            raise

    async def _start(self) -> None:
        if reason := await program.missing_program(self._config.conmon_path):
            raise errors.Unavailable(f"conmon: {reason}")
        self._lock = await take_lock(self._config.state_dir)
        try:
            self._parts = await assemble(self._config, self._images, self._network)
            self._parts.exits.start()
            await Restore(self._parts.core, self._parts.sandboxes, self._parts.termination).run()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let go of everything; containers and sandboxes stay as they are. Repeatable."""
        parts, self._parts = self._parts, None
        if parts is not None:
            await self._stop(parts)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _stop(self, parts: Parts) -> None:
        core = parts.core
        core.bus.close()
        await parts.exits.stop()
        for container in core.registry.containers.values():
            for session in tuple(container.sessions):
                await session.close()
            if container.monitor_watch is not None:
                container.monitor_watch.close()
        await core.background.drain(_STOP_SECONDS)
        await core.disk.flush()
        await asyncio.to_thread(remove_if_empty, *core.cgroups.directories(self._config.conmon_cgroup))

    @property
    def _live(self) -> Parts:
        if self._parts is None:
            raise errors.Unavailable(self._down)
        return self._parts

    # the runtime itself ----------------------------------------------------------------------------------------------

    @property
    @override
    def capabilities(self) -> Capabilities:
        return Capabilities(events=True, local_streaming=True, early_sandbox=True)

    @override
    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse:
        traits = self._live.core.traits
        return cri.VersionResponse(
            version="0.1.0",
            runtime_name=traits.name or self._config.name,
            runtime_version=traits.version,
            runtime_api_version=_API_VERSION,
        )

    @override
    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse:
        core = self._live.core
        broken = await program.missing_program(self._config.path) or await program.missing_program(
            self._config.conmon_path
        )
        unconnected = await core.network.status() if core.network is not None else None
        response = cri.StatusResponse()
        response.status.conditions.extend(
            [
                _condition("RuntimeReady", "RuntimeNotReady", broken),
                _condition("NetworkReady", "NetworkPluginNotReady", unconnected),
            ]
        )
        response.runtime_handlers.add(
            name=self._config.name,
            features=cri.RuntimeHandlerFeatures(
                recursive_read_only_mounts=core.traits.recursive_read_only,
                user_namespaces=core.mapped_mounts,
            ),
        )
        response.features.supplemental_groups_policy = True
        return response

    @override
    async def runtime_config(self, request: cri.RuntimeConfigRequest) -> cri.RuntimeConfigResponse:
        systemd = self._config.cgroup_driver == "systemd"
        driver = cri.SYSTEMD if systemd else cri.CGROUPFS
        return cri.RuntimeConfigResponse(linux=cri.LinuxRuntimeConfiguration(cgroup_driver=driver))

    @override
    async def update_runtime_config(self, request: cri.UpdateRuntimeConfigRequest) -> cri.UpdateRuntimeConfigResponse:
        return cri.UpdateRuntimeConfigResponse()  # the pod CIDR is the CNI configuration's business

    # sandboxes -------------------------------------------------------------------------------------------------------

    @override
    async def run_pod_sandbox(
        self, request: cri.RunPodSandboxRequest, *, on_created: Callable[[str], None] | None = None
    ) -> cri.RunPodSandboxResponse:
        if request.runtime_handler not in ("", self._config.name):
            raise errors.InvalidArgument(f"no runtime for {request.runtime_handler!r} is configured here")
        sandbox = await self._live.sandboxes.run(request.config, on_created)
        return cri.RunPodSandboxResponse(pod_sandbox_id=sandbox.id)

    @override
    async def stop_pod_sandbox(self, request: cri.StopPodSandboxRequest) -> cri.StopPodSandboxResponse:
        parts = self._live
        try:
            sandbox = parts.core.registry.sandbox(request.pod_sandbox_id)
        except errors.NotFound:
            return cri.StopPodSandboxResponse()
        await parts.sandboxes.stop(sandbox)
        return cri.StopPodSandboxResponse()

    @override
    async def remove_pod_sandbox(self, request: cri.RemovePodSandboxRequest) -> cri.RemovePodSandboxResponse:
        parts = self._live
        try:
            sandbox = parts.core.registry.sandbox(request.pod_sandbox_id)
        except errors.NotFound:
            return cri.RemovePodSandboxResponse()
        await parts.sandboxes.remove(sandbox)
        return cri.RemovePodSandboxResponse()

    @override
    async def pod_sandbox_status(self, request: cri.PodSandboxStatusRequest) -> cri.PodSandboxStatusResponse:
        sandbox = self._live.core.registry.sandbox(request.pod_sandbox_id)
        return cri.PodSandboxStatusResponse(
            status=messages.sandbox_status(sandbox),
            containers_statuses=[messages.container_status(entry) for entry in sandbox.listed_containers],
            timestamp=time.time_ns(),
            info=messages.sandbox_info(sandbox) if request.verbose else {},
        )

    @override
    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        found = list(self._live.core.registry.candidates(request.filter.label_selector))
        return cri.ListPodSandboxResponse(
            items=[messages.sandbox_item(entry) for entry in found if messages.sandbox_matches(entry, request.filter)]
        )

    @override
    async def update_pod_sandbox_resources(
        self, request: cri.UpdatePodSandboxResourcesRequest
    ) -> cri.UpdatePodSandboxResourcesResponse:
        core = self._live.core
        sandbox = core.registry.sandbox(request.pod_sandbox_id)
        if (holder := core.traits.holder(sandbox)) is not None:
            await update_resources(core, holder, request.resources)
        return cri.UpdatePodSandboxResourcesResponse()  # the pod's own cgroup is the agent's

    # containers ------------------------------------------------------------------------------------------------------

    @override
    async def create_container(self, request: cri.CreateContainerRequest) -> cri.CreateContainerResponse:
        container = await self._live.containers.create(request)
        return cri.CreateContainerResponse(container_id=container.id)

    @override
    async def start_container(self, request: cri.StartContainerRequest) -> cri.StartContainerResponse:
        parts = self._live
        await parts.containers.start(parts.core.registry.container(request.container_id))
        return cri.StartContainerResponse()

    @override
    async def stop_container(self, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
        parts = self._live
        try:
            container = parts.core.registry.container(request.container_id)
        except errors.NotFound:
            return cri.StopContainerResponse()
        await parts.termination.stop(container, request.timeout)
        return cri.StopContainerResponse()

    @override
    async def remove_container(self, request: cri.RemoveContainerRequest) -> cri.RemoveContainerResponse:
        parts = self._live
        try:
            container = parts.core.registry.container(request.container_id)
        except errors.NotFound:
            return cri.RemoveContainerResponse()
        await parts.termination.remove(container)
        return cri.RemoveContainerResponse()

    @override
    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
        container = self._live.core.registry.container(request.container_id)
        return cri.ContainerStatusResponse(
            status=messages.container_status(container),
            info=messages.container_info(container) if request.verbose else {},
        )

    @override
    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        found = self._live.core.registry.listed_containers(request.filter.label_selector)
        return cri.ListContainersResponse(
            containers=[
                messages.container_item(entry) for entry in found if messages.container_matches(entry, request.filter)
            ]
        )

    @override
    async def update_container_resources(
        self, request: cri.UpdateContainerResourcesRequest
    ) -> cri.UpdateContainerResourcesResponse:
        core = self._live.core
        await update_resources(core, core.registry.container(request.container_id), request.linux)
        return cri.UpdateContainerResourcesResponse()

    @override
    async def reopen_container_log(self, request: cri.ReopenContainerLogRequest) -> cri.ReopenContainerLogResponse:
        parts = self._live
        await parts.streaming.reopen_log(parts.core.registry.container(request.container_id))
        return cri.ReopenContainerLogResponse()

    # streams ---------------------------------------------------------------------------------------------------------

    @override
    async def checkpoint_container(self, request: cri.CheckpointContainerRequest) -> cri.CheckpointContainerResponse:
        self._live.core.registry.container(request.container_id)
        raise errors.NotSupported(
            f"runtime {self._config.name}: this engine does not drive CRIU, which checkpoints need"
        )

    @override
    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        return await self._live.streaming.exec_sync(request)

    @override
    async def open_exec(self, request: cri.ExecRequest) -> StreamSession:
        return await self._live.streaming.open_exec(request)

    @override
    async def open_attach(self, request: cri.AttachRequest) -> StreamSession:
        return await self._live.streaming.open_attach(request)

    @override
    async def open_port(self, pod_sandbox_id: str, port: int) -> PortConnection:
        return await self._live.streaming.open_port(pod_sandbox_id, port)

    @override
    async def exec(self, request: cri.ExecRequest) -> cri.ExecResponse:
        raise errors.NotSupported("exec by URL: this runtime streams in process")

    @override
    async def attach(self, request: cri.AttachRequest) -> cri.AttachResponse:
        raise errors.NotSupported("attach by URL: this runtime streams in process")

    @override
    async def port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse:
        raise errors.NotSupported("port-forward by URL: this runtime streams in process")

    # statistics and events -------------------------------------------------------------------------------------------

    @override
    async def container_stats(self, request: cri.ContainerStatsRequest) -> cri.ContainerStatsResponse:
        parts = self._live
        container = parts.core.registry.container(request.container_id)
        return cri.ContainerStatsResponse(stats=(await parts.statistics.of_containers([container]))[0])

    @override
    async def list_container_stats(self, request: cri.ListContainerStatsRequest) -> cri.ListContainerStatsResponse:
        parts, wanted = self._live, request.filter
        found = [
            container
            for container in parts.core.registry.listed_containers()
            if container.running
            and container.id.startswith(wanted.id)
            and container.record.sandbox_id.startswith(wanted.pod_sandbox_id)
            and messages.labels_match(container.config.labels, wanted.label_selector)
        ]
        return cri.ListContainerStatsResponse(stats=await parts.statistics.of_containers(found))

    @override
    async def pod_sandbox_stats(self, request: cri.PodSandboxStatsRequest) -> cri.PodSandboxStatsResponse:
        parts = self._live
        sandbox = parts.core.registry.sandbox(request.pod_sandbox_id)
        return cri.PodSandboxStatsResponse(stats=(await parts.statistics.of_sandboxes([sandbox]))[0])

    @override
    async def list_pod_sandbox_stats(self, request: cri.ListPodSandboxStatsRequest) -> cri.ListPodSandboxStatsResponse:
        parts, wanted = self._live, request.filter
        found = [
            sandbox
            for sandbox in parts.core.registry.sandboxes.values()
            if sandbox.ready
            and sandbox.id.startswith(wanted.id)
            and messages.labels_match(sandbox.config.labels, wanted.label_selector)
        ]
        return cri.ListPodSandboxStatsResponse(stats=await parts.statistics.of_sandboxes(found))

    @override
    async def list_metric_descriptors(
        self, request: cri.ListMetricDescriptorsRequest
    ) -> cri.ListMetricDescriptorsResponse:
        return cri.ListMetricDescriptorsResponse(descriptors=await self._live.metrics.descriptors())

    @override
    async def list_pod_sandbox_metrics(
        self, request: cri.ListPodSandboxMetricsRequest
    ) -> cri.ListPodSandboxMetricsResponse:
        return cri.ListPodSandboxMetricsResponse(pod_metrics=await self._live.metrics.of_pods())

    @override
    def events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        return self._live.core.bus.subscribe()


def _condition(kind: str, reason: str, trouble: str | None) -> cri.RuntimeCondition:
    if trouble is None:
        return cri.RuntimeCondition(type=kind, status=True)
    return cri.RuntimeCondition(type=kind, status=False, reason=reason, message=trouble)
