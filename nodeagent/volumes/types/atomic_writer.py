"""Write a set of files so that a reader sees either all of the old ones or all of the new ones.

    <volume>/..data -> ..2026_07_09_12_00_00.123456789      one symbolic link, switched by rename
    <volume>/..2026_07_09_12_00_00.123456789/a/b            the payload
    <volume>/a -> ..data/a                                  what containers open

All functions block; call them off the event loop.
"""

import contextlib
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nodeagent.volumes.contract import VolumeError
from runtimes.linux.removal import remove_tree

DATA_LINK = "..data"
_TEMPORARY_LINK = "..data_tmp"
_MAX_PATH_CHARS = 4096
_MAX_COMPONENT_CHARS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a payload. `uid` None: the agent's own user."""

    data: bytes
    mode: int
    uid: int | None = None


def utc_now() -> datetime:
    return datetime.now(UTC)


def check_path(path: str) -> None:
    """Raises VolumeError for a path that a payload must not contain."""
    components = path.split("/")
    if not path:
        raise VolumeError("invalid path: must not be empty")
    if "\0" in path:
        raise VolumeError(f"invalid path: must not contain a NUL: {path!r}")
    if path.startswith("/"):
        raise VolumeError(f"invalid path: must be relative path: {path}")
    if len(path) > _MAX_PATH_CHARS:
        raise VolumeError(f"invalid path: must be less than or equal to {_MAX_PATH_CHARS} characters")
    if ".." in components:
        raise VolumeError(f"invalid path: must not contain '..': {path}")
    if path.startswith(".."):
        raise VolumeError(f"invalid path: must not start with '..': {path}")
    if any(len(component) > _MAX_COMPONENT_CHARS for component in components):
        raise VolumeError(f"invalid path: filenames must be less than or equal to {_MAX_COMPONENT_CHARS} characters")


def write_payload(
    directory: Path,
    payload: Mapping[str, FileEntry],
    *,
    set_permissions: Callable[[Path], None] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> bool:
    """Make `payload` (relative path -> file) the content of `directory`. Returns whether anything was rewritten.

    `set_permissions` is called with the new payload directory before readers can see it. A change of modes alone is not
    applied. Raises VolumeError for a bad path, OSError.
    """
    for path in payload:
        check_path(path)
    files = {os.path.normpath(path): entry for path, entry in payload.items()}
    old = _current(directory)
    old_names = _names(directory / old) if old else set()
    if old and old_names == set(files) and _same(directory / old, files):
        _link_visible(directory, files)
        return False

    new = f"..{now():%Y_%m_%d_%H_%M_%S}.{random.randrange(10**9, 10**10)}"
    try:
        (directory / new).mkdir()
        (directory / new).chmod(0o755)
        _write_files(directory / new, files)
        if set_permissions is not None:
            set_permissions(directory / new)
        temporary = directory / _TEMPORARY_LINK
        temporary.unlink(missing_ok=True)  # of a write that was interrupted
        temporary.symlink_to(new)
        temporary.rename(directory / DATA_LINK)
    except BaseException:
        _drop(directory / new)
        raise
    _link_visible(directory, files)
    for name in _visible(old_names) - _visible(files):
        (directory / name).unlink(missing_ok=True)
    if old is not None:
        _drop_old_payloads(directory, keep=new)
    return True


def _current(directory: Path) -> str | None:
    """The payload directory that readers see now; None before the first write, or when the link dangles."""
    try:
        target = str((directory / DATA_LINK).readlink())
    except FileNotFoundError:
        return None
    return target if (directory / target).is_dir() else None


def _names(payload_dir: Path) -> set[str]:
    return {
        str(Path(parent, name).relative_to(payload_dir)) for parent, _, names in os.walk(payload_dir) for name in names
    }


def _same(payload_dir: Path, files: Mapping[str, FileEntry]) -> bool:
    for path, entry in files.items():
        with open(payload_dir / path, "rb") as file:
            if file.read(len(entry.data) + 1) != entry.data:
                return False
    return True


def _visible(paths: Mapping[str, FileEntry] | set[str]) -> set[str]:
    return {path.split("/", 1)[0] for path in paths}


def _write_files(payload_dir: Path, files: Mapping[str, FileEntry]) -> None:
    for path, entry in files.items():
        target = payload_dir / path
        if "/" in path:
            target.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with memoryview(entry.data) as view:
                written = 0
                while written < len(view):
                    written += os.write(fd, view[written:])
            os.fchmod(fd, entry.mode)  # exactly, whatever the umask
            if entry.uid is not None:
                os.fchown(fd, entry.uid, -1)
        finally:
            os.close(fd)


def _link_visible(directory: Path, files: Mapping[str, FileEntry]) -> None:
    for name in _visible(files):
        with contextlib.suppress(FileExistsError):
            (directory / name).symlink_to(f"{DATA_LINK}/{name}")


def _drop_old_payloads(directory: Path, *, keep: str) -> None:
    """Remove the payload just replaced, and those of writes that were interrupted."""
    for entry in directory.iterdir():
        if entry.name.startswith("..") and entry.name not in (keep, DATA_LINK):
            _drop(entry)


def _drop(payload_dir: Path) -> None:
    """What stays is dropped by the next write."""
    with contextlib.suppress(OSError):
        remove_tree(payload_dir)
