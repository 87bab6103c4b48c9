"""The mounts of a container: the kernel's file systems, the sandbox's files, then what the request asks for, parents first."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.kube.json_object import JsonObject
from runtimes.linux import mountinfo

# what every container has there is not for an image to replace
OWN_DESTINATIONS = frozenset(["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"])

_PROPAGATION = {
    cri.PROPAGATION_PRIVATE: "rprivate",
    cri.PROPAGATION_HOST_TO_CONTAINER: "rslave",
    cri.PROPAGATION_BIDIRECTIONAL: "rshared",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFiles:
    """What every container of a sandbox sees: container path -> host path."""

    files: Mapping[str, Path]
    shm: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPlan:
    """The bundle's mounts, root propagation ("" for the default), and what is made read-only once all is mounted."""

    mounts: list[JsonObject]
    root_propagation: str
    readonly_paths: tuple[str, ...] = ()


def container_mounts(
    wanted: list[cri.Mount],
    sandbox: SandboxFiles,
    sources: Mapping[int, Path],
    declared: Mapping[str, Path],
    *,
    privileged: bool,
    read_only_root: bool,
    recursive_read_only: bool,
    read_only_superblocks: bool,
) -> MountPlan:
    """`sources`: index in `wanted` -> where it is on the host, for images and mounts with mapped owners. `declared`: the
    volumes of the image's own, container path -> host path.

    `read_only_superblocks`: the runtime makes a file system read-only that is mounted so, not only the mount. A network
    namespace has one sysfs: it must then be mounted writable in every container of the pod, for a privileged one to come.

    Raises InvalidArgument, NotSupported. Blocks: missing sources are made, as containerd does.
    """
    own = {str(Path(mount.container_path)) for mount in wanted}
    by_path = not privileged and read_only_superblocks
    kernel = _kernel_mounts(sys_mode="rw" if privileged or by_path else "ro", cgroup_mode="rw" if privileged else "ro")
    mounts = [mount for mount in kernel if mount["destination"] not in own]
    options = ["rbind", "rprivate", "ro" if read_only_root else "rw"]
    mounts += [
        {"source": str(source), "destination": path, "type": "bind", "options": options}
        for path, source in sandbox.files.items()
        if path not in own
    ]
    if "/dev/shm" not in own:
        mounts.append(
            {
                "source": str(sandbox.shm),
                "destination": "/dev/shm",
                "type": "bind",
                "options": ["rbind", "rprivate", "rw"],
            }
        )
    propagation = ""
    requested: list[JsonObject] = [
        {"source": str(source), "destination": path, "type": "bind", "options": ["rbind", "rprivate", "rw"]}
        for path, source in declared.items()
        if path not in own
    ]
    for index, mount in enumerate(wanted):
        requested.append(_bind(mount, sources.get(index), recursive_read_only))
        if mount.propagation == cri.PROPAGATION_BIDIRECTIONAL:
            propagation = "rshared"
        elif mount.propagation == cri.PROPAGATION_HOST_TO_CONTAINER and not propagation:
            propagation = "rslave"
    requested.sort(key=lambda entry: len(Path(entry["destination"]).parts))  # stable: parents before what is in them
    return MountPlan(
        mounts=mounts + requested,
        root_propagation=propagation,
        readonly_paths=("/sys",) if by_path and "/sys" not in own else (),
    )


def _kernel_mounts(*, sys_mode: str, cgroup_mode: str) -> list[JsonObject]:
    base = ["nosuid", "noexec", "nodev"]
    mounts: list[JsonObject] = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": base},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*base, sys_mode]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": [*base, "relatime", cgroup_mode],
        },
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": base},
    ]
    return mounts


def _bind(mount: cri.Mount, prepared: Path | None, recursive_read_only: bool) -> JsonObject:
    if not mount.container_path.startswith("/"):
        raise errors.InvalidArgument(f"mount path {mount.container_path!r} is not absolute")
    if mount.recursive_read_only:
        if not mount.readonly:
            raise errors.InvalidArgument(f"recursive_read_only of {mount.container_path} needs readonly")
        if mount.propagation != cri.PROPAGATION_PRIVATE:
            raise errors.InvalidArgument(f"recursive_read_only of {mount.container_path} needs private propagation")
        if not recursive_read_only:
            raise errors.NotSupported("this runtime has no recursive read-only mounts")
    source = prepared if prepared is not None else mount_source(mount)
    mode = "rro" if mount.recursive_read_only else "ro" if mount.readonly or mount.image.image else "rw"
    # Programs of an image run as they do from a container's own image, whatever the API's text says of noexec: the peers
    # allow it and manifests rely on it. Device nodes have no use in a volume.
    more = ["nodev"] if mount.image.image else []
    return {
        "source": str(source),
        "destination": mount.container_path,
        "type": "bind",
        "options": ["rbind", _PROPAGATION[mount.propagation], mode, *more],
    }


def mount_source(mount: cri.Mount) -> Path:
    """The host's side of a mount, made where it is missing. Raises InvalidArgument. Blocks."""
    if not mount.host_path.startswith("/"):
        raise errors.InvalidArgument(f"host path {mount.host_path!r} of {mount.container_path} is not absolute")
    path = Path(mount.host_path)
    try:
        if not path.exists():
            path.mkdir(parents=True)
        source = path.resolve(strict=True)
        if mount.propagation != cri.PROPAGATION_PRIVATE:
            _check_propagation(source, mount.propagation)
    except OSError as error:
        raise errors.InvalidArgument(f"host path {mount.host_path}: {error.strerror}") from error
    return source


def _check_propagation(source: Path, propagation: cri.MountPropagation) -> None:
    """Propagation needs a shared mount (or, one way, a slave) on the host's side."""
    best, tags = "", ""
    for entry in mountinfo.read_mounts():
        if len(entry.point) >= len(best) and source.is_relative_to(entry.point):
            best, tags = entry.point, " ".join(entry.tags)
    if "shared:" in tags or (propagation == cri.PROPAGATION_HOST_TO_CONTAINER and "master:" in tags):
        return
    kind = "shared" if propagation == cri.PROPAGATION_BIDIRECTIONAL else "shared or slave"
    raise errors.InvalidArgument(f"path {str(source)!r} is mounted on {best!r} but it is not a {kind} mount")
