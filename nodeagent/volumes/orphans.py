"""Removing what forgotten pods left on disk, and nothing that may still be somebody's data. Everything here blocks."""

from pathlib import Path

from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import Layout
from runtimes.linux.mounts import remove_tree, unmount_all


def force_clean(path: Path) -> None:
    """Take down a volume of a plugin that is not known any more, as far as it is safe. Blocks. Raises VolumeError."""
    unmount_all(path / "mount")
    unmount_all(path)
    try:
        if (path / "mount").is_dir():
            (path / "mount").rmdir()
        path.rmdir()
    except OSError as error:
        raise VolumeError(f"{path} of an unknown volume type is not empty") from error


def remove_pod_dir(layout: Layout, uid: str) -> None:
    """Remove the directory of a pod whose volumes are down. Nothing there is fine. Blocks.

    Below `volumes` only empty directories are removed: whatever else is there may be somebody's data. Raises VolumeError.
    """
    pod_dir = layout.pod_dir(uid)
    for volumes in (pod_dir / "volumes", pod_dir / "volume-subpaths"):
        _remove_empty(volumes, uid)
    for entry in entries(pod_dir):
        try:
            remove_tree(entry)
        except OSError as error:
            raise VolumeError(f"{entry}: {error.strerror or error}") from error
    try:
        pod_dir.rmdir()
    except FileNotFoundError:
        return


def _remove_empty(directory: Path, uid: str) -> None:
    for entry in entries(directory):
        if not entry.is_dir() or entry.is_symlink():
            raise VolumeError(f'orphaned pod "{uid}" found, but {entry} is not a directory: it is kept')
        _remove_empty(entry, uid)
    try:
        directory.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise VolumeError(f'orphaned pod "{uid}" found, but {directory} cannot be removed: {error.strerror}') from error


def entries(directory: Path) -> list[Path]:
    """What is in a directory, sorted; nothing when it is not there."""
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
