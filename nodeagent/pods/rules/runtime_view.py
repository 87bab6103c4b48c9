"""Reading what the runtime holds of a pod: instances by container name, the current sandbox, and what must be replaced.

Source: docs/facts/pod-lifecycle.md 4.1, 4.2 (hash) and 6.4.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from nodeagent.pods.rules.model import Instance, Observed
from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.kube.labels import LABEL_CONTAINER_NAME
from runtimes.kube.whole_number import whole_number

HASH_ANNOTATION = "io.kubernetes.container.hash"
RESTART_COUNT_ANNOTATION = "io.kubernetes.container.restartCount"

CREATED = cri.CONTAINER_CREATED
RUNNING = cri.CONTAINER_RUNNING
EXITED = cri.CONTAINER_EXITED
UNKNOWN = cri.CONTAINER_UNKNOWN

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193


def container_hash(container: AnyContainer) -> str:
    """The hash whose change restarts a container: over its name and image alone, in hex."""
    content = {"image": container.image or "", "name": container.name}
    return f"{fnv1a_32(json.dumps(content, sort_keys=True).encode()):x}"


def fnv1a_32(data: bytes) -> int:
    """The 32-bit FNV-1a hash."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value


def definition_changed(container: AnyContainer, status: cri.ContainerStatus) -> bool:
    """Whether the container's name or image is another than that of this instance."""
    recorded = status.annotations.get(HASH_ANNOTATION, "")
    return bool(recorded) and recorded != container_hash(container)


def name_of_instance(instance: Instance) -> str:
    return instance.status.labels.get(LABEL_CONTAINER_NAME, "") or instance.status.metadata.name


def instances_of(observed: Observed, name: str) -> Iterator[Instance]:
    """The instances of one container, newest first."""
    return (instance for instance in observed.instances if name_of_instance(instance) == name)


def newest(observed: Observed, name: str) -> Instance | None:
    return next(instances_of(observed, name), None)


def newest_exited(observed: Observed, name: str) -> Instance | None:
    """The instance whose end the crash back-off is counted from."""
    return next((found for found in instances_of(observed, name) if found.status.state == EXITED), None)


def restart_count_of(status: cri.ContainerStatus) -> int:
    """The restart count an instance was created with."""
    count = whole_number(status.annotations.get(RESTART_COUNT_ANNOTATION, ""))
    return status.metadata.attempt if count is None else count


def timestamp(nanoseconds: int) -> datetime | None:
    """A CRI time at full precision; None for "not yet"."""
    return datetime.fromtimestamp(nanoseconds / 10**9, UTC) if nanoseconds else None


def succeeded(status: cri.ContainerStatus) -> bool:
    """Whether a regular init container's run counts as done."""
    return status.state == EXITED and status.exit_code == 0 and status.reason != "OOMKilled"


def is_host_network(pod: AgentPod) -> bool:
    return bool(pod.spec.hostNetwork)


def sandbox_changed(pod: AgentPod, observed: Observed) -> bool:
    """Whether the pod needs a new sandbox."""
    ready = [sandbox for sandbox in observed.sandboxes if sandbox.state == cri.SANDBOX_READY]
    if len(ready) != 1 or observed.sandboxes[0].state != cri.SANDBOX_READY:
        return True
    sandbox = observed.sandboxes[0]
    wanted = cri.NODE if is_host_network(pod) else cri.POD
    if sandbox.linux.namespaces.options.network != wanted:
        return True
    return wanted == cri.POD and sandbox.HasField("network") and not sandbox.network.ip


def regular_container_started(pod: AgentPod, observed: Observed) -> bool:
    """Whether a regular container of the current sandbox has ever started."""
    if not observed.sandboxes:
        return False
    current = observed.sandboxes[0].id
    regular = {container.name for container in pod.spec.containers}
    return any(
        instance.sandbox_id == current and name_of_instance(instance) in regular and instance.status.state != CREATED
        for instance in observed.instances
    )
