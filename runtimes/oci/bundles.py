"""What a container is made of before the runtime sees it: root file system, image volumes, config.json, log folder."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux import mountinfo, syscalls
from runtimes.linux.files import write_private
from runtimes.linux.mounts import MountError
from runtimes.linux.removal import remove_tree
from runtimes.oci import podfiles
from runtimes.oci.cgroups import oci_cgroups_path
from runtimes.oci.core import Core
from runtimes.oci.declared_volumes import declared_volumes, make
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.idmap import mount_mapped, mount_mapped_overlay
from runtimes.oci.images.contract import ImageConfig, ImageRecord
from runtimes.oci.processes import is_alive
from runtimes.oci.spec.annotations import allowed
from runtimes.oci.spec.bundle import BundleInputs, JoinedNamespaces, build
from runtimes.oci.spec.mounts import OWN_DESTINATIONS, SandboxFiles, mount_source
from runtimes.oci.spec.protected_paths import verify_root, verify_volumes
from runtimes.oci.users import User, open_in_root, resolve_user, verify_group_names


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVolume:
    """An image mounted as a volume: its index among the container's mounts and where it is held."""

    index: int
    image_id: str
    directory: Path


def rootfs_directory(core: Core, container_id: str) -> Path:
    return core.paths.container(container_id) / "rootfs"


def volume_directory(core: Core, container_id: str, number: int) -> Path:
    return core.paths.container(container_id) / f"volume{number}"


def image_volumes(core: Core, container: Container) -> list[ImageVolume]:
    """The mounts of the container that are images. Raises NotFound when one is not in the store."""
    volumes: list[ImageVolume] = []
    for number, (index, mount) in enumerate(container.image_mounts):
        image = core.images.resolve(mount.image.image)
        if image is None:
            raise errors.NotFound(f"image {mount.image.image!r} of volume {mount.container_path} is not here")
        volumes.append(
            ImageVolume(index=index, image_id=image.id, directory=volume_directory(core, container.id, number))
        )
    return volumes


def declared_directory(core: Core, container_id: str) -> Path:
    """Where the volumes are that the container's image declares."""
    return core.paths.container(container_id) / "declared"


async def write_bundle(
    core: Core, sandbox: Sandbox, container: Container, config: cri.ContainerConfig, image: ImageRecord
) -> User:
    """Make everything; the container's directories exist. Returns who its program runs as.

    Raises InvalidArgument, NotSupported, NotFound.
    """
    volumes = image_volumes(core, container)
    rootfs, *mounted = await asyncio.gather(
        core.images.prepare_rootfs(image.id, rootfs_directory(core, container.id)),
        *(core.images.prepare_rootfs(entry.image_id, entry.directory, read_only=True) for entry in volumes),
    )
    images = dict(zip((entry.index for entry in volumes), mounted, strict=True))
    declared = await _make_declared(core, sandbox, container, config, image)

    def write() -> User:
        verify_root(rootfs)
        sources = {index: _inside(config.mounts[index], root) for index, root in images.items()}
        hosts = ((mount.container_path, Path(mount.host_path)) for mount in config.mounts)
        verify_volumes(rootfs, ((path, sources.get(index, source)) for index, (path, source) in enumerate(hosts)))
        user = resolve_user(config.linux.security_context, image.config.user, rootfs)
        if core.traits.groups_by_name:
            verify_group_names(user, rootfs)
        users, namespace = sandbox.namespaces.users, sandbox.namespaces.user
        if users is not None and namespace is not None:
            mount_mapped_overlay(image.rootfs, rootfs_directory(core, container.id), users, namespace)
            sources |= _mapped_sources(core, container, config, sources, namespace)
            for number, (path, source) in enumerate(declared.items()):
                declared[path] = _mapped(core, container, source, f"declared{number}", namespace)
        _write_spec(core, sandbox, container, config, image.config, user, rootfs, sources, declared)
        if container.record.log_path:
            Path(container.record.log_path).parent.mkdir(parents=True, exist_ok=True)
        return user

    return await asyncio.to_thread(write)


async def _make_declared(
    core: Core, sandbox: Sandbox, container: Container, config: cri.ContainerConfig, image: ImageRecord
) -> dict[str, Path]:
    """The volumes that the image declares, made: container path -> host path."""
    if not image.config.volumes:
        return {}
    reserved = {*OWN_DESTINATIONS, *_sandbox_files(core, sandbox).files}
    taken = [mount.container_path for mount in config.mounts]
    wanted = await asyncio.to_thread(declared_volumes, image, taken, reserved)
    folder = declared_directory(core, container.id)
    folder.mkdir(mode=0o711)
    return {
        volume.destination: await make(volume, folder / str(number), timeout_seconds=core.config.call_timeout_seconds)
        for number, volume in enumerate(wanted)
    }


async def write_infra_bundle(
    core: Core, sandbox: Sandbox, container: Container, config: cri.ContainerConfig, rootfs: Path
) -> User:
    """The same for the process that holds a sandbox together; its root file system is the engine's own."""
    user = _infra_user(sandbox)
    await asyncio.to_thread(_write_spec, core, sandbox, container, config, ImageConfig(), user, rootfs, {}, {})
    return user


def _infra_user(sandbox: Sandbox) -> User:
    security = sandbox.config.linux.security_context
    uid, gid = security.run_as_user.value, security.run_as_group.value
    return User(uid=uid, gid=gid, groups=tuple(dict.fromkeys((gid, *security.supplemental_groups))))


def _write_spec(
    core: Core,
    sandbox: Sandbox,
    container: Container,
    config: cri.ContainerConfig,
    image: ImageConfig,
    user: User,
    rootfs: Path,
    sources: Mapping[int, Path],
    declared: Mapping[str, Path],
) -> None:
    record = container.record
    files = _sandbox_files(core, sandbox)
    if record.infra:
        files = SandboxFiles(files={}, shm=files.shm)
    inputs = BundleInputs(
        config=config,
        image=image,
        rootfs=rootfs,
        user=user,
        hostname=podfiles.hostname(sandbox.config),
        namespaces=_joined(core, sandbox, container),
        sandbox_files=files,
        sources=sources,
        declared=declared,
        cgroups_path=oci_cgroups_path(sandbox.config.linux.cgroup_parent, record.id, core.config.cgroup_driver),
        annotations=_annotations(core, sandbox, container),
        runtime=core.config,
        host=core.host,
        cgroups=core.cgroup_features,
        recursive_read_only=core.traits.recursive_read_only,
        read_only_superblocks=core.traits.read_only_superblocks,
        block_devices=core.traits.block_devices,
        guest_hostname=core.traits.guest_hostname,
    )
    write_private(core.paths.bundle(record.id) / "config.json", msgspec.json.encode(build(inputs)))


def _sandbox_files(core: Core, sandbox: Sandbox) -> SandboxFiles:
    return podfiles.sandbox_files(core.paths.sandbox(sandbox.id), sandbox.namespaces.shm)


def _mapped_sources(
    core: Core, container: Container, config: cri.ContainerConfig, sources: Mapping[int, Path], namespace: Path
) -> dict[int, Path]:
    """Binds that show the pod's users as owners, for images and for mounts that ask for it; gone once the container is made."""
    mapped: dict[int, Path] = {}
    for index, mount in enumerate(config.mounts):
        if index in sources or mount.uidMappings or mount.gidMappings:
            source = sources.get(index) or mount_source(mount)
            mapped[index] = _mapped(core, container, source, str(index), namespace)
    return mapped


def _mapped(core: Core, container: Container, source: Path, name: str, namespace: Path) -> Path:
    """One such bind."""
    target = mapped_mounts(core, container.id) / name
    target.parent.mkdir(mode=0o711, exist_ok=True)
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    try:
        mount_mapped(source, target, namespace)
    except OSError as error:
        raise errors.InvalidArgument(f"cannot map the owners of {source}: {error.strerror}") from error
    return target


def mapped_mounts(core: Core, container_id: str) -> Path:
    return core.paths.bundle(container_id) / "mapped"


def _inside(mount: cri.Mount, root: Path) -> Path:
    """The part of an image that a volume shows; links in the image cannot lead out of it."""
    if not mount.image_sub_path:
        return root
    try:
        fd = open_in_root(root, mount.image_sub_path, os.O_PATH)
    except OSError as error:
        raise errors.InvalidArgument(
            f"image_sub_path {mount.image_sub_path!r} of volume {mount.container_path}: {error.strerror}"
        ) from error
    try:
        return Path(f"/proc/self/fd/{fd}").readlink()
    finally:
        os.close(fd)


def _joined(core: Core, sandbox: Sandbox, container: Container) -> JoinedNamespaces:
    spaces = sandbox.namespaces
    return JoinedNamespaces(
        net=spaces.net,
        ipc=spaces.ipc,
        uts=spaces.uts,
        pid=_pid_namespace(core, sandbox, container),
        user=spaces.user,
        users=spaces.users,
    )


def _pid_namespace(core: Core, sandbox: Sandbox, container: Container) -> str | None:
    """A path to join, "" for one of its own, None for the host's."""
    if container.record.infra:
        mode = sandbox.config.linux.security_context.namespace_options.pid
        return None if mode == cri.NODE else ""
    options = container.config.linux.security_context.namespace_options
    match options.pid:
        case cri.NODE:
            return None
        case cri.POD if sandbox.infra is not None:
            return _pid_of(sandbox.infra)  # gVisor takes it as a name: containers with the same one share
        case cri.TARGET:
            target = core.registry.container(options.target_id)
            if target.record.sandbox_id != sandbox.id:
                raise errors.InvalidArgument(f"container {target.id} is not in sandbox {sandbox.id}")
            if not core.traits.joins_pid_namespaces:
                raise errors.NotSupported("this runtime cannot join another container's PID namespace")
            return _pid_of(target)
        case _:
            return ""


def _pid_of(container: Container) -> str:
    init = container.record.init
    if init is None or not is_alive(init):
        raise errors.WrongState(f"container {container.id}, whose PID namespace is to be joined, does not run")
    return f"/proc/{init.pid}/ns/pid"


def _annotations(core: Core, sandbox: Sandbox, container: Container) -> dict[str, str]:
    """The keys under which runtimes look for a pod's structure; gVisor joins containers to a sandbox by them.

    Of the pod's and the container's own annotations only what the handler's configuration allows, and never in their place.
    """
    metadata = sandbox.config.metadata
    own = {**sandbox.config.annotations, **container.config.annotations}
    found = allowed(own, core.config.pod_annotations)
    found |= {
        "io.kubernetes.cri.container-type": "sandbox" if container.record.infra else "container",
        "io.kubernetes.cri.sandbox-id": container.id
        if container.record.infra
        else sandbox.record.infra_id or sandbox.id,
        "io.kubernetes.cri.sandbox-name": metadata.name,
        "io.kubernetes.cri.sandbox-namespace": metadata.namespace,
        "io.kubernetes.cri.sandbox-uid": metadata.uid,
    }
    if not container.record.infra:
        found["io.kubernetes.cri.container-name"] = container.config.metadata.name
        found["io.kubernetes.cri.image-name"] = (
            container.config.image.user_specified_image or container.record.image_ref
        )
    return found


def release_mounts(directory: Path) -> None:
    """Unmount all that is mounted below `directory`, the innermost first. Blocks."""
    points = [point for point in mountinfo.mount_points() if point.startswith(f"{directory}/")]
    for point in reversed(points):
        try:
            syscalls.umount(point, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        except OSError as error:
            raise errors.Internal(f"cannot unmount {point}: {error.strerror}") from error


def remove_with_mounts(directory: Path) -> None:
    """Delete a directory of the engine's, with what may still be mounted in it. Nothing there is fine. Blocks.

    The mount table, which is long on a full node, is only read where something is in the way. Raises Internal, OSError.
    """
    try:
        remove_tree(directory)
    except MountError:
        release_mounts(directory)
        remove_tree(directory)
