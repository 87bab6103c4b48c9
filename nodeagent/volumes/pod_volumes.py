"""What a pod's spec says about its volumes: which are used, and how they are to be set up. Pure."""

from collections.abc import Iterable

from lightkube.models.core_v1 import Container, EphemeralContainer, PodSpec, Volume

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import VolumeRequest
from nodeagent.volumes.payload_volume import nested_mount_points


def used_volumes(pod: AgentPod) -> list[Volume]:
    """The volumes that at least one container mounts; the others are never set up."""
    used: set[str] = set()
    for container in _containers(pod.spec):
        used.update(mount.name for mount in container.volumeMounts or ())
        used.update(device.name for device in container.volumeDevices or ())
    return [volume for volume in pod.spec.volumes or () if volume.name in used]


def pod_wide_user(spec: PodSpec) -> int | None:
    """The user that every container runs as, where all say so and agree."""
    pod_user = spec.securityContext.runAsUser if spec.securityContext is not None else None
    users = {
        pod_user if context is None or context.runAsUser is None else context.runAsUser
        for context in (container.securityContext for container in _containers(spec))
    }
    return users.pop() if len(users) == 1 else None


def _containers(spec: PodSpec) -> list[Container | EphemeralContainer]:
    return [*(spec.initContainers or ()), *spec.containers, *(spec.ephemeralContainers or ())]


def requests_for(pod: AgentPod, volumes: Iterable[Volume]) -> dict[str, VolumeRequest]:
    """By volume, what its plugin needs to know."""
    context = pod.spec.securityContext
    user, nested = pod_wide_user(pod.spec), nested_mount_points(pod)
    return {
        volume.name: VolumeRequest(
            pod=pod,
            uid=pod.uid,
            namespace=pod.namespace,
            pod_name=pod.name,
            volume=volume,
            fs_group=context.fsGroup if context is not None else None,
            fs_user=user,
            nested=nested.get(volume.name, ()),
        )
        for volume in volumes
    }
