"""Make a layer's entries in the current directory, over what the layers below have left there.

Paths are taken as they are, by the kernel: whoever calls has made the tree's root his own (chroot), so that no link and no ".."
leads out of it. What is there is never opened: a file is made anew, after what had its name is gone. In the usual case an entry
takes the system calls that make it, and none to look beforehand: folders that are missing, and names that are taken, are errors
that are mended.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from runtimes.linux.removal import remove_tree
from runtimes.oci.images.audit import OPAQUE, WHITEOUT, Refused, show
from runtimes.oci.images.layer_entries import BLOCK, CHARACTER, FOLDER, HARD_LINK, REGULAR, SYMBOLIC_LINK, Entry
from runtimes.oci.images.sparse import Sparse

_T = TypeVar("_T")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40  # as in the kernel
_KINDS = {CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK}


class TreeWriter:
    """One tree. Raises Refused for what cannot be made, OSError for what this machine cannot do. The umask must be 0."""

    def __init__(self) -> None:
        self._lowest = True
        self._made: set[bytes] = set()  # by this layer, by their real paths; with the folders above them
        self._real: dict[bytes, bytes] = {}
        self._times: dict[bytes, int] = {}  # of folders: to be set when nothing changes them any more
        self._inherited = False  # a folder hands down its group to what is made in it

    def next_layer(self) -> None:
        """What comes is of the next higher layer: its whiteouts hide what there is, but nothing of its own."""
        self._lowest = False
        self._made.clear()
        self._real.clear()

    def finish(self) -> None:
        """Call after the last entry."""
        for path, time in self._times.items():
            if _is_folder(path):  # it may have been replaced
                os.utime(path, ns=(time, time))

    def put(self, entry: Entry, data: Iterator[memoryview]) -> None:
        if entry.parts and entry.parts[-1].startswith(WHITEOUT):
            self._white_out(b"/".join(entry.parts[:-1]) or b".", entry.parts[-1])
            return
        path = b"/".join(entry.parts) or b"."
        if entry.kind == REGULAR:
            self._file(path, entry, data)
        elif entry.kind == FOLDER:
            self._folder(path, entry)
        elif entry.kind == HARD_LINK:
            self._hard_link(path, entry.target)
        else:
            self._other(path, entry)
        if not self._lowest:
            self._note(path)

    def _file(self, path: bytes, entry: Entry, data: Iterator[memoryview]) -> None:
        fd = self._create(path, lambda: os.open(path, _NEW, entry.mode & 0o777))
        try:
            if entry.sparse is not None:
                _write_sparse(fd, entry.sparse, data)
            else:
                for piece in data:
                    written = os.write(fd, piece)
                    while written < len(piece):
                        written += os.write(fd, piece[written:])
            if entry.uid or entry.gid or self._inherited:
                os.chown(fd, entry.uid, entry.gid)
            if entry.xattrs:
                _set_xattrs(fd, entry)
            if entry.mode & 0o7000:
                os.chmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _folder(self, path: bytes, entry: Entry) -> None:
        if path != b"." and not _is_folder(path):
            self._create(path, lambda: os.mkdir(path, entry.mode & 0o777))
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        _set_xattrs(path, entry)
        os.chmod(path, entry.mode)
        self._inherited = self._inherited or bool(entry.mode & stat.S_ISGID)
        self._times[path] = entry.mtime_ns

    def _hard_link(self, path: bytes, target: bytes) -> None:
        try:
            self._create(path, lambda: os.link(target, path, follow_symlinks=False), spare=target)
        except FileExistsError:
            return  # it is that very file
        except (FileNotFoundError, PermissionError) as error:  # there is none; or it is a folder
            raise Refused(f"hard link {show(path)} to {show(target)}: {error.strerror}") from None

    def _other(self, path: bytes, entry: Entry) -> None:
        if entry.kind == SYMBOLIC_LINK:
            self._create(path, lambda: os.symlink(entry.target, path))
        else:
            kind = _KINDS.get(entry.kind, stat.S_IFIFO)
            self._create(path, lambda: os.mknod(path, kind | entry.mode & 0o777, os.makedev(*entry.device)))
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        _set_xattrs(path, entry)
        if entry.kind != SYMBOLIC_LINK and entry.mode & 0o7000:
            os.chmod(path, entry.mode)
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)

    def _create(self, path: bytes, make: Callable[[], _T], *, spare: bytes = b"") -> _T:
        """`make` what is at `path`: with the folders above it, in place of what is there, unless that is `spare`d."""
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            return make()
        _make_folder(os.path.dirname(path) or b".")
        if os.path.lexists(path) and not (spare and _same(path, spare)):
            self._remove(path)
        return make()

    def _remove(self, path: bytes) -> None:
        self._real.clear()
        remove_tree(Path(os.fsdecode(path)))

    def _note(self, path: bytes) -> None:
        folder, name = os.path.split(path)
        real = self._real.get(folder)
        if real is None:
            real = self._real[folder] = os.path.realpath(folder or b".")
            above = real
            while above not in self._made:
                self._made.add(above)
                above = os.path.dirname(above)
        self._made.add(os.path.join(real, name))

    def _white_out(self, folder: bytes, name: bytes) -> None:
        if self._lowest:
            return
        hidden = os.path.realpath(folder)
        if name != OPAQUE:
            hidden = os.path.join(hidden, name[len(WHITEOUT) :])
            if hidden not in self._made:
                self._remove(hidden)
                return
        self._thin_out(hidden)

    def _thin_out(self, top: bytes) -> None:
        """Leave in a folder what this layer has made."""
        folders = [top]
        while folders:
            folder = folders.pop()
            if not _is_folder(folder):
                continue
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if path in self._made:
                    folders.append(path)
                else:
                    self._remove(path)


def _make_folder(path: bytes, links: int = 0) -> None:
    """`path` and what is missing above it; also where a symbolic link leads to that leads nowhere yet."""
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path) or b"."
    if os.path.islink(path) and not os.path.exists(path):
        if links == _MOST_LINKS:
            raise Refused(f"{show(path)}: too many levels of symbolic links")
        _make_folder(os.path.join(os.path.dirname(path), os.readlink(path)), links + 1)
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):  # by way of ".."
            os.mkdir(folder, 0o755)


def _is_folder(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _same(one: bytes, other: bytes) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


def _set_xattrs(path: bytes | int, entry: Entry) -> None:
    for key, value in entry.xattrs.items():
        try:
            os.setxattr(path, key, value, follow_symlinks=isinstance(path, int))
        except OSError as error:
            # A file system without them, or a kind of file that has none: nobody could have read it either.
            regular = isinstance(path, int)
            if error.errno != errno.ENOTSUP and (regular or error.errno != errno.EPERM):
                raise


def _write_sparse(fd: int, sparse: Sparse, data: Iterator[memoryview]) -> None:
    pieces = iter(sparse.pieces)
    offset = left = 0
    for chunk in data:
        while chunk:
            while not left:
                offset, left = next(pieces)
            written = os.pwrite(fd, chunk[:left], offset)
            chunk = chunk[written:]
            offset, left = offset + written, left - written
    os.truncate(fd, sparse.size)
