"""The runtime contract: the Kubernetes Container Runtime Interface v1, as Python protocols over the CRI messages.

Two implementations: `runtimes.cri` forwards the messages to a socket (containerd, CRI-O), `runtimes.oci` carries them out
in process with an OCI runtime (runc, crun, runsc). All verbs may be called concurrently, except that callers keep the verbs
on one container in order. Verbs are idempotent as the CRI demands: stopping what is stopped and removing what is gone
succeed. Everything a verb reports survives a restart of the agent.

Errors are those of `runtimes.errors`; their class says what the caller may do.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from proto import cri_pb2 as cri


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the CRI cannot say about a runtime.

    `events`: `RuntimeService.events` reports every change by itself; else the caller relists.
    `local_streaming`: the runtime implements `LocalStreaming`; else Exec, Attach and PortForward answer a URL to proxy to.
    `early_sandbox`: `run_pod_sandbox` calls `on_created` before the network is up, so that containers can be created
    (not started) in the meantime.
    `image_volumes_refusal`: why containers cannot mount images, as their owners are to read it; empty: they can. A runtime
    that learns it from a peer says what the peer's last answer to `version` means.
    """

    events: bool
    local_streaming: bool
    early_sandbox: bool
    image_volumes_refusal: str = ""


class RuntimeService(Protocol):
    """Sandboxes and containers of one runtime handler, or of one CRI endpoint."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse: ...

    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse:
        """Conditions RuntimeReady and NetworkReady, handlers and their features."""
        ...

    async def runtime_config(self, request: cri.RuntimeConfigRequest) -> cri.RuntimeConfigResponse: ...

    async def update_runtime_config(
        self, request: cri.UpdateRuntimeConfigRequest
    ) -> cri.UpdateRuntimeConfigResponse: ...

    async def run_pod_sandbox(
        self, request: cri.RunPodSandboxRequest, *, on_created: Callable[[str], None] | None = None
    ) -> cri.RunPodSandboxResponse:
        """Make namespaces, cgroup and network of a pod; return when the network is up.

        With `Capabilities.early_sandbox`, `on_created(sandbox_id)` is called (on the event loop) as soon as containers can
        be created in the sandbox; starting them waits for the network by itself. A failure leaves nothing behind,
        containers created early included.

        The same request again, while the first is under way, joins it: one sandbox, whose id both callers get. Once there is a
        sandbox with that namespace, name, UID and attempt, AlreadyExists. (Peers behind a CRI socket may refuse both.)
        """
        ...

    async def stop_pod_sandbox(self, request: cri.StopPodSandboxRequest) -> cri.StopPodSandboxResponse:
        """Kill what runs in it, take the network down. The sandbox stays listed as NOTREADY."""
        ...

    async def remove_pod_sandbox(self, request: cri.RemovePodSandboxRequest) -> cri.RemovePodSandboxResponse:
        """Remove the sandbox with its containers; stops it first where needed."""
        ...

    async def pod_sandbox_status(self, request: cri.PodSandboxStatusRequest) -> cri.PodSandboxStatusResponse: ...

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse: ...

    async def update_pod_sandbox_resources(
        self, request: cri.UpdatePodSandboxResourcesRequest
    ) -> cri.UpdatePodSandboxResourcesResponse: ...

    async def create_container(self, request: cri.CreateContainerRequest) -> cri.CreateContainerResponse:
        """Repeated requests are answered as those of `run_pod_sandbox`; name and attempt are unique in a sandbox."""
        ...

    async def start_container(self, request: cri.StartContainerRequest) -> cri.StartContainerResponse: ...

    async def stop_container(self, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
        """Stop signal, then SIGKILL after `timeout` seconds; returns when the container has exited."""
        ...

    async def remove_container(self, request: cri.RemoveContainerRequest) -> cri.RemoveContainerResponse: ...

    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse: ...

    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse: ...

    async def update_container_resources(
        self, request: cri.UpdateContainerResourcesRequest
    ) -> cri.UpdateContainerResourcesResponse: ...

    async def reopen_container_log(self, request: cri.ReopenContainerLogRequest) -> cri.ReopenContainerLogResponse: ...

    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        """Run a command in a container; after `timeout` seconds (0: none) it is killed, and Timeout raised once it is gone."""
        ...

    async def exec(self, request: cri.ExecRequest) -> cri.ExecResponse: ...

    async def attach(self, request: cri.AttachRequest) -> cri.AttachResponse: ...

    async def port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse: ...

    async def container_stats(self, request: cri.ContainerStatsRequest) -> cri.ContainerStatsResponse: ...

    async def list_container_stats(self, request: cri.ListContainerStatsRequest) -> cri.ListContainerStatsResponse: ...

    async def pod_sandbox_stats(self, request: cri.PodSandboxStatsRequest) -> cri.PodSandboxStatsResponse: ...

    async def list_pod_sandbox_stats(
        self, request: cri.ListPodSandboxStatsRequest
    ) -> cri.ListPodSandboxStatsResponse: ...

    async def list_metric_descriptors(
        self, request: cri.ListMetricDescriptorsRequest
    ) -> cri.ListMetricDescriptorsResponse:
        """Names and labels of what `list_pod_sandbox_metrics` tells. Both raise NotSupported where a runtime has none."""
        ...

    async def list_pod_sandbox_metrics(
        self, request: cri.ListPodSandboxMetricsRequest
    ) -> cri.ListPodSandboxMetricsResponse: ...

    def events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        """Changes from the call on. Ends only by cancellation or with Unavailable; after a break the caller relists.

        Event of a sandbox: `container_id` is the sandbox id. `pod_sandbox_status` and `containers_statuses` (all of the
        sandbox's containers) are filled in.
        """
        ...


class ImageService(Protocol):
    """One image store. Names are any of: image id, tag reference, digest reference."""

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse: ...

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        """An absent image is an answer without `image`, not an error."""
        ...

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        """Fetch and unpack; concurrent pulls of one image join. `image_ref` names the image for CreateContainer."""
        ...

    async def remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse: ...

    async def image_fs_info(self, request: cri.ImageFsInfoRequest) -> cri.ImageFsInfoResponse: ...


class StreamSession(Protocol):
    """A process's standard streams, held open: one exec, or one attach to a running container.

    Output is read from the process only as fast as the consumer takes it. One consumer at a time.
    """

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1, stdout bytes) and (2, stderr bytes) as they come; ends at end of file on both. With a TTY all is 1."""
        ...

    async def write_stdin(self, data: bytes) -> None:
        """Returns when the process can take more. Data for a process that no longer reads is dropped."""
        ...

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None:
        """Terminal size in characters; ignored without a TTY."""
        ...

    async def wait(self) -> int:
        """Exit code of the exec'd process (128 + n for signal n); 0 for an attach that ended."""
        ...

    async def close(self) -> None:
        """Kill an exec'd process, detach from an attached container. Repeatable."""
        ...


class PortConnection(Protocol):
    """One TCP connection to a port inside a sandbox's network namespace."""

    async def read(self, max_bytes: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def write_eof(self) -> None: ...

    async def close(self) -> None: ...


class LocalStreaming(Protocol):
    """Streaming without a detour over a URL, for runtimes that live in this process."""

    async def open_exec(self, request: cri.ExecRequest) -> StreamSession: ...

    async def open_attach(self, request: cri.AttachRequest) -> StreamSession: ...

    async def open_port(self, pod_sandbox_id: str, port: int) -> PortConnection: ...


class NetworkProvider(Protocol):
    """Gives a sandbox's network namespace its interfaces. Verbs on different sandboxes run at the same time."""

    async def setup(self, sandbox_id: str, netns_path: Path, config: cri.PodSandboxConfig) -> tuple[str, ...]:
        """Connect the pod; returns its IPs, the primary one first. After a failure `teardown` is called."""
        ...

    async def teardown(self, sandbox_id: str, netns_path: Path | None, config: cri.PodSandboxConfig) -> None:
        """Undo `setup`, or half of it; repeatable. Without a path the namespace is gone already (a reboot)."""
        ...

    async def status(self) -> str | None:
        """None when pods can be connected, else why not."""
        ...
