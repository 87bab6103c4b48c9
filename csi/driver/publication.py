"""Volumes on this node: staged, published at paths, and taken away again. All functions block; all may be repeated.

Paths are the caller's. The last name of each is never followed as a link, and what is to be mounted on is opened first.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from csi import errors
from csi.driver import contents, mount_group, mount_options
from csi.driver.records import Access, NodeVolume, Target, Volume
from runtimes.linux import loop, mounts, syscalls

_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_IMAGE = os.O_NOFOLLOW | os.O_CLOEXEC


def check_options(volume: Volume, access: Access) -> None:
    """Raises InvalidArgument for mount flags that this volume cannot have, WrongState for a kind that it is not of."""
    if access.block != volume.block:
        raise errors.WrongState(f"the volume is a {'block device' if volume.block else 'file system'}")
    if volume.backing == "directory":
        if access.fs_type:
            raise errors.WrongState(f"the volume is a directory, and no {access.fs_type}")
        mount_options.attributes(access.flags, readonly=False)
    elif access.fs_type not in ("", volume.fs_type):
        raise errors.WrongState(f"the file system is {volume.fs_type}, and no {access.fs_type}")


def is_staged(node_volume: NodeVolume) -> bool:
    """Staged in fact: the machine may have been restarted. Nothing is mounted of a block device."""
    if node_volume.staged is None:
        return False
    return node_volume.staged.block or mounts.is_mount_point(Path(node_volume.staging_path))


def live_targets(node_volume: NodeVolume) -> dict[str, Target]:
    """Those at which something is mounted."""
    return {path: how for path, how in node_volume.targets.items() if mounts.is_mount_point(Path(path))}


def stage(volume: Volume, place: Path, staging: Path, access: Access) -> None:
    """Make the file system appear at `staging`, a directory that is there. Raises csi.errors, OSError."""
    if access.block:
        return
    with _opened(staging, os.O_DIRECTORY) as target:
        if volume.backing == "directory":
            attributes = mount_options.attributes(access.flags, readonly=access.mode.reads_only)
            with _opened(contents.data(place), os.O_DIRECTORY) as data:
                mounts.bind(data, target, attributes=attributes)
            return
        flags, options = mount_options.flags(access.flags, readonly=access.mode.reads_only)
        # a copy has its source's uuid, and may be mounted beside it
        options = ",".join(filter(None, (options, "nouuid" if volume.fs_type == "xfs" else "")))
        with _image(place) as backing:
            # one that somebody else's mount table still holds is used again: two of one file would be two disks
            device = loop.reopen(backing)
            if device is None:
                device = loop.attach(backing, until_closed=True)
            try:
                syscalls.mount(str(loop.path_of(device)), f"/proc/self/fd/{target}", volume.fs_type, flags, options)
            except OSError as error:
                raise _of_mount(error, options) from error
            finally:
                os.close(device)


def give_group(staging: Path, access: Access) -> None:
    """Let what is mounted at `staging` be of the group that was asked for; one that is only read stays. Raises OSError."""
    if access.group is not None and not access.mode.reads_only and "ro" not in access.flags:
        with _opened(staging, os.O_DIRECTORY) as directory:
            mount_group.give(directory, access.group)


def _of_mount(error: OSError, options: str) -> Exception:
    if error.errno == errno.EINVAL and options:
        return errors.InvalidArgument(f"mount_flags: the file system does not take them: {error.strerror}")
    return OSError(error.errno, f"mount: {error.strerror}")


def unstage(place: Path | None, staging: Path) -> None:
    """Nothing is mounted there afterwards, and no device is left. `place` None: the volume is gone. Raises OSError."""
    mounts.unmount_all(staging)
    if place is not None:
        release_devices(place, readonly=False)
        release_devices(place, readonly=True)


def publish(place: Path, staging: Path, target: Path, how: Target) -> None:
    """Make the volume appear at `target`, whose parent is there. Raises csi.errors, OSError."""
    if how.access.block:
        node = _device(place, readonly=how.readonly)
        with _created(target, directory=False) as on, _opened(node) as device:
            mounts.bind(device, on)
        return
    flags = mount_options.of_the_mount(how.access.flags)
    attributes = mount_options.attributes(flags, readonly=how.readonly)
    with _created(target, directory=True) as on, _opened(staging, os.O_DIRECTORY) as source:
        mounts.bind(source, on, attributes=attributes)


def unpublish(target: Path) -> None:
    """Nothing is mounted at `target`, and it is gone. Raises WrongState where there is something in it, OSError."""
    mounts.unmount_all(target)
    try:
        if stat.S_ISDIR(target.lstat().st_mode):
            target.rmdir()
        else:
            target.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise errors.WrongState(f"{mounts.shown(target)} cannot be removed: {error.strerror}") from error


def release_devices(place: Path, *, readonly: bool) -> None:
    """Take apart the block devices made of the volume. Raises OSError."""
    with contextlib.suppress(FileNotFoundError), _image(place) as backing:
        for device in loop.attached(backing, read_only=readonly):
            loop.detach(device)


def devices(place: Path) -> list[Path]:
    """Those made of a volume's image, for writing."""
    with _image(place) as backing:
        return loop.attached(backing)


def _device(place: Path, *, readonly: bool) -> Path:
    with _image(place) as backing:
        if found := loop.attached(backing, read_only=readonly):
            return found[0]
        device = loop.attach(backing, read_only=readonly)
        try:
            return loop.path_of(device)
        finally:
            os.close(device)


@contextlib.contextmanager
def _image(place: Path) -> Iterator[int]:
    fd = os.open(contents.image(place), os.O_RDWR | _IMAGE)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _opened(path: Path, kind: int = 0) -> Iterator[int]:
    try:
        fd = os.open(path, _PLACE | kind)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.WrongState(f"{mounts.shown(path)}: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _created(target: Path, *, directory: bool) -> Iterator[int]:
    """The directory, or empty file, at `target`, open; made where it is not there."""
    with _opened(target.parent, os.O_DIRECTORY) as parent:
        with contextlib.suppress(FileExistsError):
            if directory:
                os.mkdir(target.name, 0o750, dir_fd=parent)
            else:
                os.close(os.open(target.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _IMAGE, 0o640, dir_fd=parent))
        fd = os.open(target.name, _PLACE, dir_fd=parent)
        try:
            kind = os.fstat(fd).st_mode
            if not (stat.S_ISDIR(kind) if directory else stat.S_ISREG(kind)):
                raise errors.WrongState(f"{mounts.shown(target)} is no {'directory' if directory else 'plain file'}")
            yield fd
        finally:
            os.close(fd)
