"""`RuntimeService` and `ImageService` over an endpoint: one line a verb; the peer does the work."""

import weakref
from collections.abc import AsyncIterator, Callable

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import Capabilities
from runtimes.cri import required_features
from runtimes.cri.calls import Call
from runtimes.cri.changes import Changes
from runtimes.cri.endpoint import Endpoint
from runtimes.cri.subscription import Subscription
from runtimes.deadlines import checkpoint_deadline, exec_deadline, no_deadline, sandbox_deadline, stop_deadline


class CRIRuntime:
    """Sandboxes and containers of one CRI endpoint. Implements `RuntimeService` and `RuntimeLifecycle`."""

    service = "runtime.v1.RuntimeService"

    _version = Call(cri.VersionRequest, cri.VersionResponse)
    status = Call(cri.StatusRequest, cri.StatusResponse)
    runtime_config = Call(cri.RuntimeConfigRequest, cri.RuntimeConfigResponse)
    update_runtime_config = Call(cri.UpdateRuntimeConfigRequest, cri.UpdateRuntimeConfigResponse)
    _run_pod_sandbox = Call(cri.RunPodSandboxRequest, cri.RunPodSandboxResponse, deadline=sandbox_deadline)
    stop_pod_sandbox = Call(cri.StopPodSandboxRequest, cri.StopPodSandboxResponse)
    remove_pod_sandbox = Call(cri.RemovePodSandboxRequest, cri.RemovePodSandboxResponse)
    pod_sandbox_status = Call(cri.PodSandboxStatusRequest, cri.PodSandboxStatusResponse)
    list_pod_sandbox = Call(
        cri.ListPodSandboxRequest, cri.ListPodSandboxResponse, pieces=cri.StreamPodSandboxesResponse
    )
    update_pod_sandbox_resources = Call(cri.UpdatePodSandboxResourcesRequest, cri.UpdatePodSandboxResourcesResponse)
    _create_container = Call(cri.CreateContainerRequest, cri.CreateContainerResponse)
    start_container = Call(cri.StartContainerRequest, cri.StartContainerResponse)
    stop_container = Call(cri.StopContainerRequest, cri.StopContainerResponse, deadline=stop_deadline)
    remove_container = Call(cri.RemoveContainerRequest, cri.RemoveContainerResponse)
    container_status = Call(cri.ContainerStatusRequest, cri.ContainerStatusResponse)
    list_containers = Call(cri.ListContainersRequest, cri.ListContainersResponse, pieces=cri.StreamContainersResponse)
    update_container_resources = Call(cri.UpdateContainerResourcesRequest, cri.UpdateContainerResourcesResponse)
    reopen_container_log = Call(cri.ReopenContainerLogRequest, cri.ReopenContainerLogResponse)
    checkpoint_container = Call(
        cri.CheckpointContainerRequest, cri.CheckpointContainerResponse, deadline=checkpoint_deadline
    )
    exec_sync = Call(cri.ExecSyncRequest, cri.ExecSyncResponse, deadline=exec_deadline)
    exec = Call(cri.ExecRequest, cri.ExecResponse)
    attach = Call(cri.AttachRequest, cri.AttachResponse)
    port_forward = Call(cri.PortForwardRequest, cri.PortForwardResponse)
    container_stats = Call(cri.ContainerStatsRequest, cri.ContainerStatsResponse)
    list_container_stats = Call(
        cri.ListContainerStatsRequest, cri.ListContainerStatsResponse, pieces=cri.StreamContainerStatsResponse
    )
    pod_sandbox_stats = Call(cri.PodSandboxStatsRequest, cri.PodSandboxStatsResponse)
    list_pod_sandbox_stats = Call(
        cri.ListPodSandboxStatsRequest, cri.ListPodSandboxStatsResponse, pieces=cri.StreamPodSandboxStatsResponse
    )
    list_metric_descriptors = Call(cri.ListMetricDescriptorsRequest, cri.ListMetricDescriptorsResponse)
    list_pod_sandbox_metrics = Call(
        cri.ListPodSandboxMetricsRequest, cri.ListPodSandboxMetricsResponse, pieces=cri.StreamPodSandboxMetricsResponse
    )

    def __init__(self, endpoint: Endpoint, handler: str = "") -> None:
        """`handler`: the peer's own runtime handler, for sandboxes that name none; empty is the peer's default."""
        self.endpoint = endpoint
        self._handler = handler
        self._image_volumes_refusal = ""
        self._subscriptions: weakref.WeakSet[Subscription[cri.ContainerEventResponse]] = weakref.WeakSet()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            events=True,
            local_streaming=False,
            early_sandbox=False,
            image_volumes_refusal=self._image_volumes_refusal,
        )

    async def start(self) -> None:
        """Nothing is asked of the peer yet: one that is down is reported by `status`, and found when it comes."""

    async def stop(self) -> None:
        for subscription in tuple(self._subscriptions):
            subscription.close()
        await self.endpoint.close()

    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse:
        answer = await self._version(request)
        self._image_volumes_refusal = required_features.image_volumes_refusal(answer)
        return answer

    async def run_pod_sandbox(
        self, request: cri.RunPodSandboxRequest, *, on_created: Callable[[str], None] | None = None
    ) -> cri.RunPodSandboxResponse:
        """A CRI peer answers once, when the network is up: `on_created` is never called."""
        if not request.runtime_handler and self._handler:
            named = cri.RunPodSandboxRequest()
            named.CopyFrom(request)
            named.runtime_handler = self._handler
            request = named
        if wanted := required_features.of_sandbox(request.config):
            await self._insist(wanted, request.runtime_handler)
        return await self._run_pod_sandbox(request)

    async def create_container(self, request: cri.CreateContainerRequest) -> cri.CreateContainerResponse:
        if wanted := required_features.of_container(request.config):
            asked = cri.PodSandboxStatusRequest(pod_sandbox_id=request.pod_sandbox_id)
            await self._insist(wanted, (await self.pod_sandbox_status(asked)).status.runtime_handler)
        if required_features.mounts_images(request.config):
            await self.version(cri.VersionRequest())
            if self._image_volumes_refusal:
                raise errors.NotSupported(self._image_volumes_refusal)
        return await self._create_container(request)

    async def _insist(self, wanted: frozenset[str], handler: str) -> None:
        """Asked each time, which is rare: a peer may be another after a restart. Raises NotSupported."""
        missing = wanted - required_features.met(await self.status(cri.StatusRequest()), handler)
        if missing:
            raise errors.NotSupported(
                f"the runtime at {self.endpoint.address} does not support {' and '.join(sorted(missing))}"
                f" for handler {handler!r}"
            )

    def events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        subscription = Subscription(Changes(self.endpoint, self).follow(), f"events of {self.endpoint.address}")
        self._subscriptions.add(subscription)
        return subscription


class CRIImages:
    """The image store of one CRI endpoint. Implements `ImageService`."""

    service = "runtime.v1.ImageService"
    list_images = Call(cri.ListImagesRequest, cri.ListImagesResponse, pieces=cri.StreamImagesResponse)
    image_status = Call(cri.ImageStatusRequest, cri.ImageStatusResponse)
    pull_image = Call(cri.PullImageRequest, cri.PullImageResponse, deadline=no_deadline)
    remove_image = Call(cri.RemoveImageRequest, cri.RemoveImageResponse)
    image_fs_info = Call(cri.ImageFsInfoRequest, cri.ImageFsInfoResponse)

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
