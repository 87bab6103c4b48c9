"""What a pod's spec says about its volumes: which are used, and how they are to be set up. Pure."""

from lightkube.models.core_v1 import Container, EphemeralContainer, PodSpec, Volume

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import VolumeRequest, VolumeSource
from nodeagent.volumes.payload_volume import nested_mount_points


def used_volumes(pod: AgentPod) -> list[Volume]:
    """The volumes that at least one container mounts; the others are never set up."""
    used = as_mounts(pod.spec) | as_devices(pod.spec)
    return [volume for volume in pod.spec.volumes or () if volume.name in used]


def as_mounts(spec: PodSpec) -> frozenset[str]:
    """Names of the volumes that containers have as file systems."""
    return frozenset(mount.name for container in _containers(spec) for mount in container.volumeMounts or ())


def as_devices(spec: PodSpec) -> frozenset[str]:
    """Names of the volumes that containers have as block devices."""
    return frozenset(device.name for container in _containers(spec) for device in container.volumeDevices or ())


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


class PodRequests:
    """What plugins need to know of a pod's volumes; looked at once for all of them."""

    def __init__(self, pod: AgentPod) -> None:
        context = pod.spec.securityContext
        self.pod = pod
        self._fs_group = context.fsGroup if context is not None else None
        self._on_root_mismatch = context is not None and context.fsGroupChangePolicy == "OnRootMismatch"
        self._fs_user = pod_wide_user(pod.spec)
        self._nested = nested_mount_points(pod)

    def of(self, source: VolumeSource) -> VolumeRequest:
        return VolumeRequest(
            pod=self.pod,
            source=source,
            fs_group=self._fs_group,
            on_root_mismatch=self._on_root_mismatch,
            fs_user=self._fs_user,
            nested=self._nested.get(source.volume.name, ()),
        )
