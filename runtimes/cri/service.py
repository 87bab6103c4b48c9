"""`RuntimeService` and `ImageService` over an endpoint: one line a verb; the peer does the work."""

import weakref
from collections.abc import AsyncIterator, Callable

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import Capabilities
from runtimes.cri import demands
from runtimes.cri.changes import Changes
from runtimes.cri.endpoint import Endpoint, Verb
from runtimes.cri.subscription import Subscription
from runtimes.deadlines import exec_deadline, no_deadline, sandbox_deadline, stop_deadline

_RUNTIME = "/runtime.v1.RuntimeService/"
_IMAGES = "/runtime.v1.ImageService/"


class CRIRuntime:
    """Sandboxes and containers of one CRI endpoint. Implements `RuntimeService` and `RuntimeLifecycle`."""

    capabilities = Capabilities(events=True, local_streaming=False, early_sandbox=False)

    def __init__(self, endpoint: Endpoint, handler: str = "") -> None:
        """`handler`: the peer's own runtime handler, for sandboxes that name none; empty is the peer's default."""
        self._endpoint = endpoint
        self._handler = handler
        self._subscriptions: weakref.WeakSet[Subscription[cri.ContainerEventResponse]] = weakref.WeakSet()
        of = _RUNTIME
        verb, listing = endpoint.verb, endpoint.listing
        self.version: Verb[cri.VersionRequest, cri.VersionResponse] = verb(f"{of}Version", cri.VersionResponse)
        self.status: Verb[cri.StatusRequest, cri.StatusResponse] = verb(f"{of}Status", cri.StatusResponse)
        self.runtime_config: Verb[cri.RuntimeConfigRequest, cri.RuntimeConfigResponse] = verb(
            f"{of}RuntimeConfig", cri.RuntimeConfigResponse
        )
        self.update_runtime_config: Verb[cri.UpdateRuntimeConfigRequest, cri.UpdateRuntimeConfigResponse] = verb(
            f"{of}UpdateRuntimeConfig", cri.UpdateRuntimeConfigResponse
        )
        self._run_pod_sandbox: Verb[cri.RunPodSandboxRequest, cri.RunPodSandboxResponse] = verb(
            f"{of}RunPodSandbox", cri.RunPodSandboxResponse, sandbox_deadline
        )
        self.stop_pod_sandbox: Verb[cri.StopPodSandboxRequest, cri.StopPodSandboxResponse] = verb(
            f"{of}StopPodSandbox", cri.StopPodSandboxResponse
        )
        self.remove_pod_sandbox: Verb[cri.RemovePodSandboxRequest, cri.RemovePodSandboxResponse] = verb(
            f"{of}RemovePodSandbox", cri.RemovePodSandboxResponse
        )
        self.pod_sandbox_status: Verb[cri.PodSandboxStatusRequest, cri.PodSandboxStatusResponse] = verb(
            f"{of}PodSandboxStatus", cri.PodSandboxStatusResponse
        )
        self.list_pod_sandbox: Verb[cri.ListPodSandboxRequest, cri.ListPodSandboxResponse] = listing(
            f"{of}ListPodSandbox", cri.ListPodSandboxResponse, cri.StreamPodSandboxesResponse, f"{of}StreamPodSandboxes"
        )
        self.update_pod_sandbox_resources: Verb[
            cri.UpdatePodSandboxResourcesRequest, cri.UpdatePodSandboxResourcesResponse
        ] = verb(f"{of}UpdatePodSandboxResources", cri.UpdatePodSandboxResourcesResponse)
        self._create_container: Verb[cri.CreateContainerRequest, cri.CreateContainerResponse] = verb(
            f"{of}CreateContainer", cri.CreateContainerResponse
        )
        self.start_container: Verb[cri.StartContainerRequest, cri.StartContainerResponse] = verb(
            f"{of}StartContainer", cri.StartContainerResponse
        )
        self.stop_container: Verb[cri.StopContainerRequest, cri.StopContainerResponse] = verb(
            f"{of}StopContainer", cri.StopContainerResponse, stop_deadline
        )
        self.remove_container: Verb[cri.RemoveContainerRequest, cri.RemoveContainerResponse] = verb(
            f"{of}RemoveContainer", cri.RemoveContainerResponse
        )
        self.container_status: Verb[cri.ContainerStatusRequest, cri.ContainerStatusResponse] = verb(
            f"{of}ContainerStatus", cri.ContainerStatusResponse
        )
        self.list_containers: Verb[cri.ListContainersRequest, cri.ListContainersResponse] = listing(
            f"{of}ListContainers", cri.ListContainersResponse, cri.StreamContainersResponse, f"{of}StreamContainers"
        )
        self.update_container_resources: Verb[
            cri.UpdateContainerResourcesRequest, cri.UpdateContainerResourcesResponse
        ] = verb(f"{of}UpdateContainerResources", cri.UpdateContainerResourcesResponse)
        self.reopen_container_log: Verb[cri.ReopenContainerLogRequest, cri.ReopenContainerLogResponse] = verb(
            f"{of}ReopenContainerLog", cri.ReopenContainerLogResponse
        )
        self.exec_sync: Verb[cri.ExecSyncRequest, cri.ExecSyncResponse] = verb(
            f"{of}ExecSync", cri.ExecSyncResponse, exec_deadline
        )
        self.exec: Verb[cri.ExecRequest, cri.ExecResponse] = verb(f"{of}Exec", cri.ExecResponse)
        self.attach: Verb[cri.AttachRequest, cri.AttachResponse] = verb(f"{of}Attach", cri.AttachResponse)
        self.port_forward: Verb[cri.PortForwardRequest, cri.PortForwardResponse] = verb(
            f"{of}PortForward", cri.PortForwardResponse
        )
        self.container_stats: Verb[cri.ContainerStatsRequest, cri.ContainerStatsResponse] = verb(
            f"{of}ContainerStats", cri.ContainerStatsResponse
        )
        self.list_container_stats: Verb[cri.ListContainerStatsRequest, cri.ListContainerStatsResponse] = listing(
            f"{of}ListContainerStats",
            cri.ListContainerStatsResponse,
            cri.StreamContainerStatsResponse,
            f"{of}StreamContainerStats",
        )
        self.pod_sandbox_stats: Verb[cri.PodSandboxStatsRequest, cri.PodSandboxStatsResponse] = verb(
            f"{of}PodSandboxStats", cri.PodSandboxStatsResponse
        )
        self.list_pod_sandbox_stats: Verb[cri.ListPodSandboxStatsRequest, cri.ListPodSandboxStatsResponse] = listing(
            f"{of}ListPodSandboxStats",
            cri.ListPodSandboxStatsResponse,
            cri.StreamPodSandboxStatsResponse,
            f"{of}StreamPodSandboxStats",
        )
        self.list_metric_descriptors: Verb[cri.ListMetricDescriptorsRequest, cri.ListMetricDescriptorsResponse] = verb(
            f"{of}ListMetricDescriptors", cri.ListMetricDescriptorsResponse
        )
        self.list_pod_sandbox_metrics: Verb[cri.ListPodSandboxMetricsRequest, cri.ListPodSandboxMetricsResponse] = (
            listing(
                f"{of}ListPodSandboxMetrics",
                cri.ListPodSandboxMetricsResponse,
                cri.StreamPodSandboxMetricsResponse,
                f"{of}StreamPodSandboxMetrics",
            )
        )

    async def start(self) -> None:
        """Nothing is asked of the peer yet: one that is down is told by `status`, and found when it comes."""

    async def stop(self) -> None:
        for subscription in tuple(self._subscriptions):
            subscription.close()
        await self._endpoint.close()

    async def run_pod_sandbox(
        self, request: cri.RunPodSandboxRequest, *, on_created: Callable[[str], None] | None = None
    ) -> cri.RunPodSandboxResponse:
        """A CRI peer answers once, when the network is up: `on_created` is never called."""
        if not request.runtime_handler and self._handler:
            named = cri.RunPodSandboxRequest()
            named.CopyFrom(request)
            named.runtime_handler = self._handler
            request = named
        if wanted := demands.of_sandbox(request.config):
            await self._insist(wanted, request.runtime_handler)
        return await self._run_pod_sandbox(request)

    async def create_container(self, request: cri.CreateContainerRequest) -> cri.CreateContainerResponse:
        if wanted := demands.of_container(request.config):
            asked = cri.PodSandboxStatusRequest(pod_sandbox_id=request.pod_sandbox_id)
            await self._insist(wanted, (await self.pod_sandbox_status(asked)).status.runtime_handler)
        return await self._create_container(request)

    async def _insist(self, wanted: frozenset[str], handler: str) -> None:
        """Asked each time, which is rare: a peer may be another after a restart. Raises NotSupported."""
        missing = wanted - demands.met(await self.status(cri.StatusRequest()), handler)
        if missing:
            raise errors.NotSupported(
                f"the runtime at {self._endpoint.address} does not support {' and '.join(sorted(missing))}"
                f" for handler {handler!r}"
            )

    def events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        subscription = Subscription(Changes(self._endpoint, self).follow(), f"events of {self._endpoint.address}")
        self._subscriptions.add(subscription)
        return subscription


class CRIImages:
    """The image store of one CRI endpoint. Implements `ImageService`."""

    def __init__(self, endpoint: Endpoint) -> None:
        of = _IMAGES
        verb, listing = endpoint.verb, endpoint.listing
        self.list_images: Verb[cri.ListImagesRequest, cri.ListImagesResponse] = listing(
            f"{of}ListImages", cri.ListImagesResponse, cri.StreamImagesResponse, f"{of}StreamImages"
        )
        self.image_status: Verb[cri.ImageStatusRequest, cri.ImageStatusResponse] = verb(
            f"{of}ImageStatus", cri.ImageStatusResponse
        )
        self.pull_image: Verb[cri.PullImageRequest, cri.PullImageResponse] = verb(
            f"{of}PullImage", cri.PullImageResponse, no_deadline
        )
        self.remove_image: Verb[cri.RemoveImageRequest, cri.RemoveImageResponse] = verb(
            f"{of}RemoveImage", cri.RemoveImageResponse
        )
        self.image_fs_info: Verb[cri.ImageFsInfoRequest, cri.ImageFsInfoResponse] = verb(
            f"{of}ImageFsInfo", cri.ImageFsInfoResponse
        )
