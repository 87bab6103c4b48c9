"""The runtime contract: the Kubernetes Container Runtime Interface v1, as Python protocols over the CRI messages.

`runtimes.cri` forwards the messages to a socket (containerd, CRI-O), `runtimes.oci` carries them out in process with an OCI
runtime (runc, crun, runsc), `runtimes.hollow` only remembers them; packages add others (docs/runtime-plugins.md). The contract as
tests is `runtimes.testing`.

What holds for every verb, and is not said again below:

- Concurrency: all may be called at once, except that callers keep the verbs on one container in order.
- Cancellation: a cancelled verb leaves nothing half made, and may be called again.
- Restarts: what lists and statuses report, ids, labels, annotations, states, times and exit codes, is the same after a restart of
  the agent, and of the machine except for what ran then: it has exited. Streams and subscriptions end with the agent.
- Errors are those of `runtimes.errors`, and nothing else; the class says what the caller may do. Any verb may raise Unavailable
  (down, or not started: try again), Timeout (whether it was done is unknown), ResourceExhausted (a full disk, no ids left),
  Internal (a bug, or a program that failed in a way nobody foresaw) and NotSupported; `Raises` names what else to expect.
- Units are the CRI's: times in nanoseconds since 1970, periods (`timeout`) in seconds, memory in bytes, CPU in shares,
  microseconds of quota and period, and nanoseconds used.
- Ids are opaque, and given whole; that a unique beginning finds an object is a courtesy to people.
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
    """Sandboxes and containers of one runtime handler, or of one CRI endpoint.

    A verb that names no errors raises none but those that any verb may raise (RuntimeFault, as said above).
    """

    @property
    def capabilities(self) -> Capabilities:
        """The same from the making of the runtime on; never raises."""
        ...

    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse:
        """Name and version of the runtime, and of the CRI that it speaks ("v1"); for showing only."""
        ...

    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse:
        """Conditions RuntimeReady and NetworkReady, handlers and their features. With `verbose`, `info` for people.

        Asked every few seconds: it is to be quick, and to answer with a false condition and its reason rather than to raise.
        """
        ...

    async def runtime_config(self, request: cri.RuntimeConfigRequest) -> cri.RuntimeConfigResponse:
        """How the runtime drives cgroups (`cgroupfs` or `systemd`). Raises NotSupported: the caller's own setting holds."""
        ...

    async def update_runtime_config(self, request: cri.UpdateRuntimeConfigRequest) -> cri.UpdateRuntimeConfigResponse:
        """The node's pod CIDR, for runtimes that write their own network configuration; others take it and do nothing.

        Repeatable; the last one holds until the runtime is told again, which the agent does after each of its starts.
        """
        ...

    async def run_pod_sandbox(
        self, request: cri.RunPodSandboxRequest, *, on_created: Callable[[str], None] | None = None
    ) -> cri.RunPodSandboxResponse:
        """Make namespaces, cgroup and network of a pod; return when the network is up.

        With `Capabilities.early_sandbox`, `on_created(sandbox_id)` is called (on the event loop) as soon as containers can
        be created in the sandbox; starting them waits for the network by itself. A failure leaves nothing behind,
        containers created early included.

        `config.metadata` (name, namespace, uid, attempt) is the sandbox's name; `runtime_handler` empty is the runtime's
        default. The same request again, while the first is under way, joins it: one sandbox, whose id both callers get. Once
        there is a sandbox of that name, also after a restart, it is AlreadyExists until that is removed. (Peers behind a CRI
        socket may refuse both.)

        Raises InvalidArgument (no metadata, an unknown handler), AlreadyExists, NotSupported (namespaces or features that the
        runtime has not).
        """
        ...

    async def stop_pod_sandbox(self, request: cri.StopPodSandboxRequest) -> cri.StopPodSandboxResponse:
        """Kill what runs in it at once, take the network down. The sandbox stays listed as NOTREADY, its containers as exited.

        Repeatable, and fine for a sandbox that is not there; returns when all of it has ended. No container can be created or
        started in it any more.
        """
        ...

    async def remove_pod_sandbox(self, request: cri.RemovePodSandboxRequest) -> cri.RemovePodSandboxResponse:
        """Remove the sandbox with its containers; stops it first where needed. Repeatable, and fine for what is not there.

        Log files stay: they are the caller's. When it returns, no process, mount, cgroup or address of the pod is left.
        """
        ...

    async def pod_sandbox_status(self, request: cri.PodSandboxStatusRequest) -> cri.PodSandboxStatusResponse:
        """State, addresses (empty on the host's network and once it is stopped), labels and annotations as they were given.

        Raises NotFound.
        """
        ...

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        """All that match every part of the filter (id, state, labels); those being made or removed may be among them."""
        ...

    async def update_pod_sandbox_resources(
        self, request: cri.UpdatePodSandboxResourcesRequest
    ) -> cri.UpdatePodSandboxResourcesResponse:
        """Tells the runtime that the pod's cgroup, which is the agent's, has other limits and overhead. Repeatable.

        Raises NotFound.
        """
        ...

    async def create_container(self, request: cri.CreateContainerRequest) -> cri.CreateContainerResponse:
        """Make a container, ready to start: CREATED. `image.image` is what `PullImage` answered, or a name of an image that is
        there.

        `config.metadata` (name, attempt) is its name in the sandbox; `log_path` is relative to the sandbox's `log_directory`,
        empty for no log. Repeated requests are answered as those of `run_pod_sandbox`; the name is taken until the container is
        removed.

        Raises InvalidArgument (no metadata, a user or a mount that cannot be), NotFound (sandbox, image, target container),
        AlreadyExists, WrongState (the sandbox is stopped), NotSupported.
        """
        ...

    async def start_container(self, request: cri.StartContainerRequest) -> cri.StartContainerResponse:
        """Start what was created; returns when the program runs. Once only.

        Raises NotFound, WrongState (started before, or its sandbox stopped). A program that cannot be started raises the
        runtime's words; the container is EXITED then, with 128 and reason StartError.
        """
        ...

    async def stop_container(self, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
        """Stop signal (the configuration's, else the image's, else SIGTERM), then SIGKILL after `timeout` seconds; returns when
        the container has exited.

        Repeatable, and fine for what has exited or is not there. A second call with a shorter `timeout` shortens the first.
        """
        ...

    async def remove_container(self, request: cri.RemoveContainerRequest) -> cri.RemoveContainerResponse:
        """Remove a container in any state; one that runs is killed. Repeatable, and fine for what is not there.

        Its log file stays.
        """
        ...

    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
        """State, times, exit code (128 + n for signal n), reason (Completed, Error, OOMKilled, StartError), limits in force.

        Raises NotFound.
        """
        ...

    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        """All that match every part of the filter (id, state, sandbox, labels)."""
        ...

    async def update_container_resources(
        self, request: cri.UpdateContainerResourcesRequest
    ) -> cri.UpdateContainerResourcesResponse:
        """Change limits of a created or running container. Fields that are 0 or empty stay as they are. Repeatable.

        In force when it returns, and reported by the status. Raises NotFound, WrongState (it has exited), InvalidArgument (the
        kernel refuses a value).
        """
        ...

    async def reopen_container_log(self, request: cri.ReopenContainerLogRequest) -> cri.ReopenContainerLogResponse:
        """After the log was renamed: go on in a new file of the old name. When it returns, that file is there. Repeatable.

        No line is lost or cut. Raises NotFound, WrongState (it does not run).
        """
        ...

    async def checkpoint_container(self, request: cri.CheckpointContainerRequest) -> cri.CheckpointContainerResponse:
        """Write a running container's processes and files to the archive `location`, from which another can be made; it runs on.

        Raises NotFound, WrongState (it does not run), and NotSupported with the reason, where the runtime makes none.
        """
        ...

    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        """Run a command in a container; after `timeout` seconds (0: none) it is killed, and Timeout raised once it is gone.

        Both outputs whole, up to 16 MiB each, and the exit code. A caller that is cancelled ends the command, too. Raises
        NotFound, WrongState (the container does not run), InvalidArgument (no command); a command that is not there raises
        the runtime's words.
        """
        ...

    async def exec(self, request: cri.ExecRequest) -> cri.ExecResponse:
        """A URL at which the command can be run, once, and for a short while. Runtimes with `LocalStreaming` have none.

        Raises NotFound, WrongState, InvalidArgument (no command, no stream, a terminal with a stderr of its own).
        """
        ...

    async def attach(self, request: cri.AttachRequest) -> cri.AttachResponse:
        """As `exec`, to the container's own process."""
        ...

    async def port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse:
        """As `exec`, to ports inside the sandbox. Raises NotFound, WrongState (it is stopped), InvalidArgument (no port)."""
        ...

    async def container_stats(self, request: cri.ContainerStatsRequest) -> cri.ContainerStatsResponse:
        """CPU, memory and writable layer of one container; what is not known is absent, not 0. Raises NotFound."""
        ...

    async def list_container_stats(self, request: cri.ListContainerStatsRequest) -> cri.ListContainerStatsResponse:
        """The same of all that run and match every part of the filter (id, sandbox, labels)."""
        ...

    async def pod_sandbox_stats(self, request: cri.PodSandboxStatsRequest) -> cri.PodSandboxStatsResponse:
        """CPU, memory, network and processes of a sandbox, with its containers one by one. Raises NotFound."""
        ...

    async def list_pod_sandbox_stats(self, request: cri.ListPodSandboxStatsRequest) -> cri.ListPodSandboxStatsResponse:
        """The same of all that are ready and match every part of the filter (id, labels)."""
        ...

    async def list_metric_descriptors(
        self, request: cri.ListMetricDescriptorsRequest
    ) -> cri.ListMetricDescriptorsResponse:
        """Names and labels of what `list_pod_sandbox_metrics` tells. Both raise NotSupported where a runtime has none."""
        ...

    async def list_pod_sandbox_metrics(
        self, request: cri.ListPodSandboxMetricsRequest
    ) -> cri.ListPodSandboxMetricsResponse:
        """Of every sandbox that is ready: its values, and its containers', with labels in the order of the descriptors."""
        ...

    def events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        """Changes from the call on. Ends only by cancellation or with Unavailable; after a break the caller relists.

        Event of a sandbox: `container_id` is the sandbox id. `pod_sandbox_status` and `containers_statuses` (all of the
        sandbox's containers) are filled in. An event wakes, and is no record: one may come twice, and what was missed while
        nobody listened is not reported. Every call is a subscription of its own, which ends when the iterator is dropped; one
        that is read too slowly is cut off with Unavailable. Raises Unavailable at once where the runtime is not started.
        """
        ...


class ImageService(Protocol):
    """One image store. Names are any of: image id, tag reference, digest reference. Images survive restarts and reboots.

    What holds for every verb of `RuntimeService` holds here; each may raise RuntimeFault.
    """

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        """All images, or the one that the filter names; each once, with all its tags and digests. Sizes in bytes on disk."""
        ...

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        """An absent image is an answer without `image`, not an error. Raises InvalidArgument for what is no name."""
        ...

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        """Fetch and unpack; concurrent pulls of one image join. `image_ref` names the image for CreateContainer.

        Repeatable: what is there already is not fetched again, but a tag is looked up again. `auth` is for the registry alone
        and is kept nowhere. Takes as long as it takes; who waits for it may cancel it, and others' pulls go on.

        Raises InvalidArgument (what is no name), NotFound (the registry has none such, or none for this machine), and for a
        refused login, a broken image, or a registry that is not there a fault whose `reason` is the container's waiting reason
        (ErrImagePull by default).
        """
        ...

    async def remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        """Remove the image with all its names. Repeatable, and fine for what is not there.

        Containers that were made of it go on, with their files. The runtime removes a pinned image as any other: not asking
        for it is the caller's part.
        """
        ...

    async def image_fs_info(self, request: cri.ImageFsInfoRequest) -> cri.ImageFsInfoResponse:
        """Where images, and containers' writable layers, lie: mount points, bytes and inodes in use. May be some seconds old."""
        ...


class StreamSession(Protocol):
    """A process's standard streams, held open: one exec, or one attach to a running container.

    Output is read from the process only as fast as the consumer takes it. One consumer at a time; input, sizes and `close` may
    come beside it. A verb on a session whose runtime or process has gone raises nothing: the end is reported by `output` and
    `wait`.
    """

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1, stdout bytes) and (2, stderr bytes) as they come; ends at end of file on both. With a TTY all is 1."""
        ...

    async def write_stdin(self, data: bytes) -> None:
        """Returns when the process can take more. Data for a process that no longer reads is dropped."""
        ...

    async def close_stdin(self) -> None:
        """The process finds the end of its input after what was written. Repeatable."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """Terminal size in characters; ignored without a TTY."""
        ...

    async def wait(self) -> int:
        """Exit code of the exec'd process (128 + n for signal n); 0 for an attach that ended. Repeatable.

        Raises Unavailable when the process's end cannot be known any more.
        """
        ...

    async def close(self) -> None:
        """Kill an exec'd process, detach from an attached container. Repeatable."""
        ...


class PortConnection(Protocol):
    """One TCP connection to a port inside a sandbox's network namespace. Reading and writing may go on side by side.

    `write_eof` and `close` raise nothing.
    """

    async def read(self, max_bytes: int) -> bytes:
        """At most so many, as soon as there are any; empty at the end, also when the peer has reset the connection.

        Raises Unavailable where only now it is known that nobody listens.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Returns when the peer can take more. Raises Unavailable when it takes nothing any more."""
        ...

    async def write_eof(self) -> None:
        """The peer finds the end; its own data still comes. Repeatable."""
        ...

    async def close(self) -> None:
        """Both directions, at once. Repeatable."""
        ...


class LocalStreaming(Protocol):
    """Streaming without a detour over a URL, for runtimes that live in this process. What is opened is the caller's to close."""

    async def open_exec(self, request: cri.ExecRequest) -> StreamSession:
        """Run a command in a running container.

        Raises NotFound, WrongState (the container does not run), InvalidArgument (no command, no stream, a terminal with a
        stderr of its own); a command that is not there raises the runtime's words, here or from `wait`.
        """
        ...

    async def open_attach(self, request: cri.AttachRequest) -> StreamSession:
        """Join the streams of a running container from now on; any number may. Input is closed by the first to close it where
        the container has `stdin_once`.

        Raises NotFound, WrongState, InvalidArgument.
        """
        ...

    async def open_port(self, pod_sandbox_id: str, port: int) -> PortConnection:
        """Connect to a TCP port inside the sandbox, by its loopback address.

        Raises NotFound, WrongState (it is stopped), InvalidArgument (no port), Unavailable (nobody listens), here or from the
        first `read`.
        """
        ...


class NetworkProvider(Protocol):
    """Gives a sandbox's network namespace its interfaces. Verbs on one sandbox come in order, on different ones at once.

    Raises RuntimeFault only. What was set up stays when the agent ends.
    """

    async def setup(self, sandbox_id: str, netns_path: Path, config: cri.PodSandboxConfig) -> tuple[str, ...]:
        """Connect the pod; returns its IPs, the primary one first. After a failure, or a cancellation, `teardown` is called.

        `netns_path`: the namespace, pinned; `config` names the pod and its host ports. Raises Unavailable (no network is
        configured, a plug-in cannot work now: try again), Timeout, InvalidArgument or NotSupported (what was asked for cannot
        work), Internal; the message has the plug-in's own words.
        """
        ...

    async def teardown(self, sandbox_id: str, netns_path: Path | None, config: cri.PodSandboxConfig) -> None:
        """Undo `setup`, or half of it, also one of a life before; repeatable, and fine for what was never set up.

        Without a path the namespace is gone already (a reboot). Raises as `setup`; the caller tries again.
        """
        ...

    async def status(self) -> str | None:
        """None when pods can be connected, else why not, in words for the node's status. Never raises."""
        ...
