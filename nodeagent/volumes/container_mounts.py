"""What one container sees of its pod's volumes, and of the files that the agent manages for it."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightkube.models.core_v1 import Container, EphemeralContainer, VolumeMount

from nodeagent.podspec.expansion import MissingVariable, TooLarge, expand_path
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes import subpath
from nodeagent.volumes.contract import MountedVolume, VolumeError
from nodeagent.volumes.layout import Layout
from proto import cri_pb2 as cri
from runtimes.linux.tasks import run_blocking

HOSTS_PATH = "/etc/hosts"
DEFAULT_TERMINATION_PATH = "/dev/termination-log"
_PROPAGATION = {
    "None": cri.PROPAGATION_PRIVATE,
    "HostToContainer": cri.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": cri.PROPAGATION_BIDIRECTIONAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MountInputs:
    """What the mounts of a container are made of, besides its spec.

    `environment`: the container's final variables, for subPathExpr. `hosts_file`, `termination_log`: managed files, None
    for none. `images`: pulled image volumes by volume name. `recursive_read_only`: the runtime can do it.
    `user_namespace`: the pod's id mappings, None for the host's.
    """

    layout: Layout
    mounted: Mapping[str, MountedVolume]
    environment: Mapping[str, str] = field(default_factory=dict)
    hosts_file: Path | None = None
    termination_log: Path | None = None
    images: Mapping[str, cri.ImageSpec] = field(default_factory=dict)
    recursive_read_only: bool = False
    user_namespace: cri.UserNamespace | None = None


async def prepare_subpaths(
    container: Container | EphemeralContainer,
    *,
    layout: Layout,
    uid: str,
    mounted: Mapping[str, MountedVolume],
    environment: Mapping[str, str],
) -> None:
    """Bind what the container's subPaths name below the pod's directory, where `container_mounts` finds it. Repeatable.

    Volumes that are not there are passed over: they have no mount. Raises VolumeError.
    """
    for index, declared in enumerate(container.volumeMounts or ()):
        volume = mounted.get(declared.name)
        if volume is None or volume.block or not (path := _sub_path(declared, environment)):
            continue
        target = layout.subpath(uid, volume.directory_name, container.name, index)
        await run_blocking(
            subpath.prepare, volume.host_path, path, target, volume=declared.name, container=container.name
        )


def container_mounts(pod: AgentPod, container: Container | EphemeralContainer, inputs: MountInputs) -> list[cri.Mount]:
    """The CRI mounts of a container, in the order of its spec, then the hosts file, then the termination message file.

    Pure: its subPaths have been prepared. Raises VolumeError.
    """
    mounts = [
        _volume_mount(pod, container, index, declared, inputs)
        for index, declared in enumerate(container.volumeMounts or ())
    ]
    targets = {mount.container_path for mount in mounts}
    if inputs.hosts_file is not None and HOSTS_PATH not in targets:
        mounts.append(_managed_file(HOSTS_PATH, inputs.hosts_file, inputs))
    if inputs.termination_log is not None:
        path = container.terminationMessagePath or DEFAULT_TERMINATION_PATH
        mounts.append(_managed_file(path, inputs.termination_log, inputs))
    return mounts


def container_devices(
    container: Container | EphemeralContainer, mounted: Mapping[str, MountedVolume]
) -> list[cri.Device]:
    """The block volumes of a container. Raises VolumeError."""
    devices: list[cri.Device] = []
    for declared in container.volumeDevices or ():
        volume = mounted.get(declared.name)
        if volume is None or not volume.block:
            raise VolumeError(f'cannot find volume "{declared.name}" to pass into container "{container.name}"')
        devices.append(
            cri.Device(
                container_path=_absolute(declared.devicePath),
                host_path=str(volume.host_path),
                permissions="r" if volume.read_only_forced else "mrw",
            )
        )
    return devices


def _volume_mount(
    pod: AgentPod, container: Container | EphemeralContainer, index: int, declared: VolumeMount, inputs: MountInputs
) -> cri.Mount:
    sub_path = _sub_path(declared, inputs.environment)
    mount = cri.Mount(
        container_path=_absolute(declared.mountPath),
        readonly=bool(declared.readOnly),
        propagation=_PROPAGATION[declared.mountPropagation or "None"],
    )
    if declared.name in _image_volumes(pod):
        return _image_mount(mount, declared, container.name, sub_path, inputs)
    volume = inputs.mounted.get(declared.name)
    if volume is None or volume.block:
        raise VolumeError(f'cannot find volume "{declared.name}" to mount into container "{container.name}"')
    host_path = volume.host_path
    if sub_path:
        host_path = inputs.layout.subpath(pod.uid, volume.directory_name, container.name, index)
    mount.host_path = str(host_path)
    mount.readonly = mount.readonly or volume.read_only_forced
    mount.selinux_relabel = volume.relabel
    mount.recursive_read_only = _recursive(declared, inputs)
    _map_ids(mount, inputs)
    return mount


def _image_mount(
    mount: cri.Mount, declared: VolumeMount, container: str, sub_path: str, inputs: MountInputs
) -> cri.Mount:
    image = inputs.images.get(declared.name)
    if image is None:
        raise VolumeError(f'cannot find volume "{declared.name}" to mount into container "{container}"')
    mount.image.CopyFrom(image)
    mount.image_sub_path = sub_path
    mount.readonly = True
    mount.selinux_relabel = True
    return mount


def _image_volumes(pod: AgentPod) -> set[str]:
    return {volume.name for volume in pod.spec.volumes or () if volume.image is not None}


def _sub_path(declared: VolumeMount, environment: Mapping[str, str]) -> str:
    path = declared.subPath or ""
    if declared.subPathExpr:
        try:
            path = expand_path(declared.subPathExpr, environment)
        except MissingVariable as error:
            raise VolumeError(str(error)) from error
        except TooLarge as error:
            raise VolumeError(f'subPathExpr of volume mount "{declared.name}" is {error}') from error
    if path:
        subpath.check(path)
    return path


def _recursive(declared: VolumeMount, inputs: MountInputs) -> bool:
    match declared.recursiveReadOnly:
        case "Enabled" if not inputs.recursive_read_only:
            raise VolumeError(
                f'volume "{declared.name}" requested recursive read-only mode, but it is not supported by the runtime'
            )
        case "Enabled" | "IfPossible":
            return inputs.recursive_read_only and bool(declared.readOnly)
    return False


def _managed_file(container_path: str, host_path: Path, inputs: MountInputs) -> cri.Mount:
    mount = cri.Mount(
        container_path=_absolute(container_path),
        host_path=str(host_path),
        selinux_relabel=True,
    )
    _map_ids(mount, inputs)
    return mount


def _map_ids(mount: cri.Mount, inputs: MountInputs) -> None:
    if inputs.user_namespace is not None and inputs.user_namespace.mode == cri.POD:
        mount.uidMappings.extend(inputs.user_namespace.uids)
        mount.gidMappings.extend(inputs.user_namespace.gids)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else posixpath.join("/", path)
