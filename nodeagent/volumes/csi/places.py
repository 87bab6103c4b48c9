"""Targets of drivers, looked at without asking a file system that may not answer any more. Everything here blocks."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.csi import vol_data
from runtimes.linux import mountinfo

P = ParamSpec("P")
log = logging.getLogger(__name__)


def is_there(path: Path) -> bool:
    """By its parent: a mount whose server is gone hangs whoever touches it."""
    try:
        return path in path.parent.iterdir()
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_mounted(path: Path) -> bool:
    """By the mount table."""
    return str(path.parent.resolve() / path.name) in mountinfo.mount_points()


def clear(target: Path, driver: str) -> None:
    """Remove what is left at a target that its driver has given up. Nothing there is fine.

    Raises VolumeError where it has not: what is mounted, or has something in it, may be somebody's data.
    """
    if not is_there(target):
        return
    if is_mounted(target):
        raise VolumeError(f"driver {driver} says that the volume is gone, and {target} is still mounted")
    try:
        if target.is_dir() and not target.is_symlink():
            vol_data.remove_folder(target)
        else:
            target.unlink(missing_ok=True)
    except OSError as error:
        raise VolumeError(f"driver {driver} says that the volume is gone, and {target}: {error.strerror}") from error


def expect(target: Path, driver: str) -> None:
    """Raises VolumeError where a driver has not published what it says."""
    if not is_there(target):
        raise VolumeError(f"driver {driver} says that the volume is published, and {target} does not exist")


def tidy(forget: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """After a refusal, as far as it goes: what the driver has left all the same is taken down with the pod."""
    try:
        forget(*args, **kwargs)
    except VolumeError as error:
        log.info("%s", error)
