"""The CRI's view of sandboxes and containers: pure functions from entities to messages."""

from collections.abc import Mapping

import msgspec

from proto import cri_pb2 as cri
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.lifecycle import ContainerState

_CONTAINER_STATES = {
    ContainerState.CREATED: cri.CONTAINER_CREATED,
    ContainerState.STARTING: cri.CONTAINER_CREATED,
    ContainerState.RUNNING: cri.CONTAINER_RUNNING,
    ContainerState.EXITED: cri.CONTAINER_EXITED,
}


def sandbox_state(sandbox: Sandbox) -> cri.PodSandboxState:
    """READY as long as its namespaces stand and the infra container, where there is one, runs."""
    infra_gone = sandbox.infra is not None and sandbox.infra.record.state is ContainerState.EXITED
    if sandbox.ready and not infra_gone:
        return cri.SANDBOX_READY
    return cri.SANDBOX_NOTREADY


def sandbox_item(sandbox: Sandbox) -> cri.PodSandbox:
    config = sandbox.config
    return cri.PodSandbox(
        id=sandbox.id,
        metadata=config.metadata,
        state=sandbox_state(sandbox),
        created_at=sandbox.record.created_at_ns,
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=sandbox.record.handler,
    )


def sandbox_status(sandbox: Sandbox) -> cri.PodSandboxStatus:
    config, record = sandbox.config, sandbox.record
    status = cri.PodSandboxStatus(
        id=sandbox.id,
        metadata=config.metadata,
        state=sandbox_state(sandbox),
        created_at=record.created_at_ns,
        labels=config.labels,
        annotations=config.annotations,
        runtime_handler=record.handler,
    )
    status.linux.namespaces.options.CopyFrom(config.linux.security_context.namespace_options)
    if record.ips and status.state == cri.SANDBOX_READY:
        status.network.ip = record.ips[0]
        status.network.additional_ips.extend(cri.PodIP(ip=ip) for ip in record.ips[1:])
    else:
        status.network.SetInParent()
    return status


def container_item(container: Container) -> cri.Container:
    config, record = container.config, container.record
    return cri.Container(
        id=record.id,
        pod_sandbox_id=record.sandbox_id,
        metadata=config.metadata,
        image=config.image,
        image_ref=record.image_ref,
        image_id=record.image_id,
        state=_CONTAINER_STATES[record.state],
        created_at=record.created_at_ns,
        labels=config.labels,
        annotations=config.annotations,
    )


def container_status(container: Container) -> cri.ContainerStatus:
    config, record = container.config, container.record
    status = cri.ContainerStatus(
        id=record.id,
        metadata=config.metadata,
        state=_CONTAINER_STATES[record.state],
        created_at=record.created_at_ns,
        started_at=record.started_at_ns if record.state.has_run else 0,
        finished_at=record.finished_at_ns,
        exit_code=record.exit_code,
        image=_image_spec(config.image),
        image_ref=record.image_ref,
        image_id=record.image_id,
        reason=record.reason,
        message=record.message,
        labels=config.labels,
        annotations=config.annotations,
        mounts=config.mounts,
        log_path=record.log_path,
        stop_signal=config.stop_signal,
    )
    status.resources.linux.CopyFrom(container.resources)
    status.user.linux.uid = record.uid
    status.user.linux.gid = record.gid
    status.user.linux.supplemental_groups.extend(record.groups)
    return status


def _image_spec(image: cri.ImageSpec) -> cri.ImageSpec:
    """The image by the name the user gave it, where the request told it."""
    spec = cri.ImageSpec()
    spec.CopyFrom(image)
    if image.user_specified_image:
        spec.image = image.user_specified_image
    return spec


def labels_match(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in selector.items())


def sandbox_matches(sandbox: Sandbox, wanted: cri.PodSandboxFilter) -> bool:
    return (
        sandbox.id.startswith(wanted.id)
        and (not wanted.HasField("state") or wanted.state.state == sandbox_state(sandbox))
        and labels_match(sandbox.config.labels, wanted.label_selector)
    )


def container_matches(container: Container, wanted: cri.ContainerFilter) -> bool:
    return (
        container.id.startswith(wanted.id)
        and (not wanted.HasField("state") or wanted.state.state == _CONTAINER_STATES[container.record.state])
        and container.record.sandbox_id.startswith(wanted.pod_sandbox_id)
        and labels_match(container.config.labels, wanted.label_selector)
    )


def event(
    kind: cri.ContainerEventType, subject_id: str, at_ns: int, sandbox: Sandbox | None
) -> cri.ContainerEventResponse:
    """One change of a sandbox or a container, with the state of all that is in the sandbox."""
    message = cri.ContainerEventResponse(container_id=subject_id, container_event_type=kind, created_at=at_ns)
    if sandbox is not None:
        message.pod_sandbox_status.CopyFrom(sandbox_status(sandbox))
        message.containers_statuses.extend(container_status(entry) for entry in sandbox.listed_containers)
    return message


def sandbox_info(sandbox: Sandbox) -> dict[str, str]:
    """For people (crictl inspectp): what the CRI has no field for, as JSON."""
    return {"info": msgspec.json.encode(sandbox.record).decode()}


def container_info(container: Container) -> dict[str, str]:
    """For people (crictl inspect): the engine's record, which has pids and paths, as JSON."""
    return {"info": msgspec.json.encode(container.record).decode()}
