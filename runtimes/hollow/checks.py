"""Requests that no runtime would carry out: the hollow one refuses them, too, so that what asks so is found in a scale run."""

from collections.abc import Collection

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.hollow.messages import HollowContainer, HollowSandbox

# name, UID, namespace and attempt: what tells sandboxes apart
SandboxName = tuple[str, str, str, int]


def name_of(metadata: cri.PodSandboxMetadata) -> SandboxName:
    return metadata.name, metadata.uid, metadata.namespace, metadata.attempt


def check_sandbox(request: cri.RunPodSandboxRequest, handler: str, taken: Collection[SandboxName]) -> None:
    """Raises InvalidArgument, NotSupported, AlreadyExists."""
    config = request.config
    if not config.HasField("metadata"):
        raise errors.InvalidArgument("a sandbox needs metadata")
    if request.runtime_handler not in ("", handler):
        raise errors.InvalidArgument(f"no handler {request.runtime_handler!r} here, only {handler!r}")
    if config.linux.security_context.namespace_options.userns_options.mode == cri.POD and (
        config.linux.security_context.namespace_options.HasField("userns_options")
    ):
        raise errors.NotSupported("the hollow runtime has no user namespaces")
    if name_of(config.metadata) in taken:
        raise errors.AlreadyExists(f"a sandbox {config.metadata.name}, attempt {config.metadata.attempt}, exists")


def check_container(config: cri.ContainerConfig, sandbox: HollowSandbox) -> None:
    """Raises InvalidArgument, WrongState, AlreadyExists."""
    if sandbox.status.state != cri.SANDBOX_READY:
        raise errors.WrongState(f"sandbox {sandbox.status.id} is not ready")
    wanted = config.metadata
    if not config.HasField("metadata"):
        raise errors.InvalidArgument("a container needs metadata")
    if any(_same(container, wanted) for container in sandbox.containers.values()):
        raise errors.AlreadyExists(
            f"a container {wanted.name}, attempt {wanted.attempt}, exists in {sandbox.status.id}"
        )


def _same(container: HollowContainer, wanted: cri.ContainerMetadata) -> bool:
    found = container.status.metadata
    return (found.name, found.attempt) == (wanted.name, wanted.attempt)
