"""emptyDir: scratch space that lives as long as its pod; on disk, in memory, or of huge pages."""

import errno
import functools
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lightkube.models.core_v1 import EmptyDirVolumeSource
from typing_extensions import override

from nodeagent.podspec.effective import effective_limits
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes import ownership
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.layout import Layout, make_directories
from nodeagent.volumes.sources import Allocatable
from nodeagent.volumes.types.publish_only import PublishOnly
from runtimes.kube import quantity
from runtimes.linux import syscalls
from runtimes.linux.mounts import is_mount_point, unmount_all
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import run_blocking

NAME = "kubernetes.io/empty-dir"
_MODE = 0o777
_MEMORY = "Memory"
_HUGE_PAGES = "HugePages"
_HUGE_PAGE_RESOURCE = "hugepages-"
_NOSWAP_KERNEL = (6, 4)


class EmptyDirPlugin(PublishOnly):
    """To publish a volume again that was published completely changes nothing, but for the size of one in memory: that follows
    its pod's limits and its own (a resize in place)."""

    name = NAME

    def __init__(self, layout: Layout, allocatable: Allocatable) -> None:
        self._layout = layout
        self._allocatable = allocatable

    def supports(self, source: VolumeSource) -> bool:
        return source.volume.emptyDir is not None

    @override
    def capabilities(self, source: VolumeSource) -> Capabilities:
        declared = source.volume.emptyDir
        return Capabilities(republish=declared is not None and declared.medium == _MEMORY)

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        source = request.volume.emptyDir
        assert source is not None
        path = self._layout.volume_dir(request.pod.uid, NAME, request.directory_name)
        marker = ready_marker(self._layout, request.pod.uid, request.directory_name)
        medium, size_bytes = source.medium or "", 0
        if medium == "":
            work = functools.partial(make_disk, path)
        elif medium == _MEMORY:
            size_bytes = tmpfs_size_bytes(request.pod, source, self._allocatable())
            work = functools.partial(make_tmpfs, path, size_bytes)
        elif medium == _HUGE_PAGES or medium.startswith(f"{_HUGE_PAGES}-"):
            work = functools.partial(make_hugetlbfs, path, huge_page_size_bytes(request.pod, medium))
        else:
            raise VolumeError(f"unknown storage medium {medium!r}")
        await run_blocking(_set_up, path, marker, work, source.mode, request.fs_group, medium != "")
        if size_bytes:
            await run_blocking(resize_tmpfs, path, size_bytes)
        return MountedVolume(host_path=path, directory_name=request.directory_name, relabel=True)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        path = self._layout.volume_dir(uid, NAME, directory_name)
        await run_blocking(tear_down, path, ready_marker(self._layout, uid, directory_name))


def ready_marker(layout: Layout, uid: str, name: str) -> Path:
    """Present once the volume was set up completely: it is then left as the containers made it."""
    return layout.scratch_dir(uid, NAME, name) / "ready"


def tear_down(path: Path, marker: Path) -> None:
    """Forget, unmount, delete. Blocks."""
    remove_tree(marker.parent)
    unmount_all(path)
    remove_tree(path)


def _set_up(
    path: Path, marker: Path, work: Callable[[], None], mode: int | None, fs_group: int | None, mounted: bool
) -> None:
    if marker.exists() and (is_mount_point(path) if mounted else path.is_dir()):
        return
    try:
        work()
        if mode is not None:
            path.chmod(mode)
        if fs_group is not None:
            ownership.set_group(path, fs_group)
        set_ready(marker)
    except OSError as error:
        raise VolumeError(f"{path}: {error.strerror or error}") from error


def set_ready(marker: Path) -> None:
    make_directories(marker.parent)
    os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))


def make_disk(path: Path) -> None:
    """A plain directory of the root directory's file system."""
    make_directories(path.parent)
    make_directories(path)
    if stat.S_IMODE(path.stat().st_mode) & _MODE != _MODE:
        path.chmod(_MODE)


def make_tmpfs(path: Path, size_bytes: int) -> None:
    """A tmpfs of at most `size_bytes` (0: the kernel's own default), never swapped out where the kernel can do that."""
    make_directories(path.parent)
    make_directories(path)
    if is_mount_point(path):
        return
    syscalls.mount("tmpfs", path, "tmpfs", options=_tmpfs_options(size_bytes))


def resize_tmpfs(path: Path, size_bytes: int) -> None:
    """Raises VolumeError where more is in it than it is to hold: it keeps its size, and what is in it."""
    found = os.statvfs(path)
    pages = -(-size_bytes // found.f_frsize)  # the kernel rounds up
    if found.f_blocks == pages:
        return
    try:
        syscalls.mount("tmpfs", path, flags=syscalls.MS_REMOUNT, options=_tmpfs_options(size_bytes))
    except OSError as error:
        used_bytes = (found.f_blocks - found.f_bfree) * found.f_frsize
        if error.errno != errno.EINVAL or used_bytes <= size_bytes:
            raise VolumeError(f"cannot resize to {size_bytes} bytes: {error.strerror}") from error
        raise VolumeError(f"cannot resize to {size_bytes} bytes: {used_bytes} are in use") from error


def _tmpfs_options(size_bytes: int) -> str:
    options = [f"size={size_bytes}"] if size_bytes else []
    return ",".join([*options, "noswap"] if supports_noswap() else options)


def make_hugetlbfs(path: Path, page_bytes: int) -> None:
    """Raises VolumeError when huge pages of another size are mounted there already."""
    make_directories(path.parent)
    make_directories(path)
    if is_mount_point(path):
        found = os.statvfs(path).f_bsize
        if found != page_bytes:
            raise VolumeError(f"{path} is mounted with page size {found}, wanted {page_bytes}")
        return
    syscalls.mount("nodev", path, "hugetlbfs", options=f"pagesize={page_bytes}")
    path.chmod(_MODE)


@functools.cache
def supports_noswap() -> bool:
    """Whether tmpfs takes `noswap`: known by the kernel's version, or tried once where it may be a back-port."""
    major, minor = os.uname().release.split(".")[:2]
    if (int(major), int("".join(c for c in minor if c.isdigit()) or 0)) >= _NOSWAP_KERNEL:
        return True
    with tempfile.TemporaryDirectory(prefix="noswap-") as probe:
        try:
            syscalls.mount("tmpfs", probe, "tmpfs", options="noswap")
        except OSError:
            return False
        syscalls.umount(probe)
    return True


def tmpfs_size_bytes(pod: AgentPod, source: EmptyDirVolumeSource | None, allocatable: Mapping[str, str]) -> int:
    """The smallest of what the node has for pods, the pod's limit and the volume's; 0 when none of them is set."""
    limits = (
        quantity.value(allocatable.get("memory", "0")),
        int(effective_limits(pod.spec).get("memory", 0)),
        quantity.value(source.sizeLimit) if source is not None and source.sizeLimit else 0,
    )
    return min((limit for limit in limits if limit > 0), default=0)


def huge_page_size_bytes(pod: AgentPod, medium: str) -> int:
    """The page size that `medium` means for this pod. Raises VolumeError when the pod's requests do not say it."""
    sizes = set(_requested_page_sizes(pod))
    if medium == _HUGE_PAGES:
        if len(sizes) != 1:
            found = "none" if not sizes else f"several ({', '.join(map(str, sorted(sizes)))})"
            raise VolumeError(f"medium {medium} needs requests of exactly one huge page size, the pod has {found}")
        return sizes.pop()
    try:
        wanted = quantity.value(medium.removeprefix(f"{_HUGE_PAGES}-"))
    except quantity.InvalidQuantity as error:
        raise VolumeError(f"medium {medium}: {error}") from error
    if wanted not in sizes:
        raise VolumeError(f"medium {medium}: no container of the pod requests huge pages of this size")
    return wanted


def _requested_page_sizes(pod: AgentPod) -> Iterator[int]:
    holders = [*pod.spec.containers, *(pod.spec.initContainers or ()), pod.spec]
    for holder in holders:
        if holder.resources is None:
            continue
        listed: Mapping[str, str] = {**(holder.resources.limits or {}), **(holder.resources.requests or {})}
        for resource in listed:
            if resource.startswith(_HUGE_PAGE_RESOURCE):
                yield quantity.value(resource.removeprefix(_HUGE_PAGE_RESOURCE))
