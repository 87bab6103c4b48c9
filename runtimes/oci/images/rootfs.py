"""Root file systems of containers: an overlay over an image's tree, or a read-only view of it; and who uses which tree.

A container's directory is noted in holds/ before it is mounted and until it is gone, so that after any restart, and in any
process, it is known which trees are in use.
"""

import errno
import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from runtimes.errors import InvalidArgument, NotSupported
from runtimes.linux import syscalls
from runtimes.linux.removal import remove_tree
from runtimes.oci.images.layout import Layout, hex_of

# No fsync of a container's writes when it is unmounted: nothing reads them after a crash of the machine. Index, metacopy and
# redirects off: a container's layer is read by nobody but its own mount, and an image's attributes must not steer it.
_FAST_OPTIONS = "volatile,index=off,metacopy=off,redirect_dir=nofollow"
_SAFE_OPTIONS = "index=off,metacopy=off,redirect_dir=off"
_OPTIONS_LIMIT_BYTES = mmap.PAGESIZE - 1


def prepare(tree: Path, directory: Path, *, read_only: bool) -> Path:
    """Mount and return `directory`/merged; what is mounted already stays. Blocks for microseconds. Raises OSError."""
    merged = directory / "merged"
    merged.mkdir(parents=True, exist_ok=True)
    if _is_mounted(merged):
        return merged
    if read_only:
        syscalls.mount(str(tree), merged, flags=syscalls.MS_BIND)
        syscalls.mount("", merged, flags=syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY)
        return merged
    upper, work = directory / "upper", directory / "work"
    upper.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    # The merged root shows the upper folder's owner and mode, which must be the image's.
    root = tree.stat()
    os.chown(upper, root.st_uid, root.st_gid)
    upper.chmod(root.st_mode & 0o7777)
    _mount_overlay(tree, upper, work, merged)
    return merged


def unmount(directory: Path) -> None:
    """Undo the mounts of `prepare`, all of them. Nothing mounted is fine. Blocks for microseconds."""
    merged = directory / "merged"
    while True:
        try:
            syscalls.umount(merged, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                return
            raise


def remove(directory: Path) -> None:
    """Undo `prepare`, with what was written to the container's layer. Repeatable. Blocks. Raises as `remove_tree`."""
    unmount(directory)
    for name in ("upper", "work", "merged"):
        remove_tree(directory / name)


def _mount_overlay(tree: Path, upper: Path, work: Path, merged: Path) -> None:
    paths = f"lowerdir={_escape(tree, ':')},upperdir={_escape(upper)},workdir={_escape(work)}"
    for options in (_FAST_OPTIONS, _SAFE_OPTIONS):
        data = f"{paths},{options}"
        if len(os.fsencode(data)) > _OPTIONS_LIMIT_BYTES:
            raise InvalidArgument(f"cannot mount {merged}: the paths are longer than a mount's options may be")
        try:
            syscalls.mount("overlay", merged, "overlay", 0, data)
            return
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise NotSupported("this kernel has no overlay file system (modprobe overlay)") from None
            if error.errno != errno.EINVAL or options == _SAFE_OPTIONS:
                raise


def _escape(path: Path, also: str = "") -> str:
    text = str(path).replace("\\", "\\\\").replace(",", "\\,")
    for character in also:
        text = text.replace(character, f"\\{character}")
    return text


def _is_mounted(path: Path) -> bool:
    # A bind mount within one file system has its parent's device number, so device numbers do not tell.
    return _mount_id(path) != _mount_id(path.parent)


def _mount_id(path: Path) -> str:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
        return next(line for line in lines if line.startswith("mnt_id:"))
    finally:
        os.close(fd)


class Holds:
    """Who uses an image's tree: directories noted on disk, and holders that this process was told of."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._holders: dict[str, set[str]] = {}

    def add(self, image_id: str, holder: str) -> None:
        self._holders.setdefault(image_id, set()).add(holder)

    def discard(self, image_id: str, holder: str) -> bool:
        """Returns whether nobody holds the image any more who did until now."""
        holders = self._holders.get(image_id, set())
        if holder not in holders:
            return False
        holders.discard(holder)
        if not holders:
            del self._holders[image_id]
        return not holders

    def note(self, image_id: str, directory: Path) -> None:
        """Note on disk that `directory` uses the image. Repeatable."""
        link = self._layout.holds / f"{hex_of(image_id)}.{_key(directory)}"
        try:
            link.symlink_to(directory)
        except FileExistsError:
            return

    def erase(self, directory: Path) -> bool:
        """Undo `note`; returns whether there was one."""
        notes = list(self._layout.holds.glob(f"*.{_key(directory)}"))
        for note in notes:
            remove_tree(note)
        return bool(notes)

    def trees_in_use(self) -> set[str]:
        """Names of the trees that must stay. Notes whose directory is gone are deleted."""
        return {hex_of(image_id) for image_id in self._holders} | set(self._noted())

    def _noted(self) -> Iterator[str]:
        for note in self._layout.holds.iterdir():
            if note.exists():
                yield note.name.partition(".")[0]
            else:
                remove_tree(note)


def _key(directory: Path) -> str:
    return hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()[:24]
