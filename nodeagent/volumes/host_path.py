"""hostPath: a path of the node itself, checked, never changed afterwards."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from lightkube.models.core_v1 import HostPathVolumeSource
from typing_extensions import override

from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest, VolumeSource, VolumeUsage
from nodeagent.volumes.publish_only import PublishOnly
from runtimes.linux.tasks import run_blocking

NAME = "kubernetes.io/host-path"

# type -> (test of the mode of what is there, what it should have been)
_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "DirectoryOrCreate": (stat.S_ISDIR, "directory"),
    "Directory": (stat.S_ISDIR, "directory"),
    "FileOrCreate": (stat.S_ISREG, "file"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket file"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


class HostPathPlugin(PublishOnly):
    """Leaves nothing below the root directory: there is nothing to take down, and nothing of the pod's to measure."""

    name = NAME

    def supports(self, source: VolumeSource) -> bool:
        return declared(source) is not None

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        source = declared(request.source)
        assert source is not None
        if request.source.mount_options:
            raise VolumeError("mount options are not supported for this volume type")
        if ".." in source.path.split("/"):
            raise VolumeError("path must not contain '..'")
        if "\0" in source.path:
            raise VolumeError("path must not contain a NUL")
        path = Path(source.path)
        if source.type:
            await run_blocking(check_type, path, source.type)
        return MountedVolume(host_path=path, directory_name=request.directory_name)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        return

    @override
    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        return None


def declared(source: VolumeSource) -> HostPathVolumeSource | None:
    """The path that the pod declares itself, or that its claim leads to; None: it is no such volume, or to be a block device."""
    if source.persistent_volume is None:
        return source.volume.hostPath
    spec = source.persistent_volume.spec
    return spec.hostPath if spec is not None and not source.block else None


def check_type(path: Path, wanted: str) -> None:
    """Raises VolumeError when `path` (links followed) is not of type `wanted`; creates it for the OrCreate types."""
    if wanted not in _CHECKS:
        raise VolumeError(f"hostPath type check failed: unknown type {wanted}")
    matches, noun = _CHECKS[wanted]
    failure = VolumeError(f"hostPath type check failed: {path} is not a {noun}")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not wanted.endswith("OrCreate"):
            raise failure from None
        _create(path, wanted)
        return
    except OSError as error:
        raise VolumeError(f"hostPath type check failed: {path}: {error.strerror}") from error
    if not matches(mode):
        raise failure


def _create(path: Path, wanted: str) -> None:
    try:
        if wanted == "DirectoryOrCreate":
            path.mkdir(0o755, parents=True, exist_ok=True)
            path.chmod(0o755)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
            path.chmod(0o644)
    except OSError as error:
        raise VolumeError(f"hostPath type check failed: {path}: {error.strerror}") from error
