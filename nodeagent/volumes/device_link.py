"""A pod's side of a block volume: `pods/<uid>/volumeDevices/<plugin>/<volume>`, a symbolic link to its device.

By it `unpublish` knows that there is one. Everything here blocks.
"""

from pathlib import Path

from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import make_directories


def make(link: Path, device: Path) -> None:
    """Let `link` lead to `device`. Repeatable; one that led elsewhere is replaced. Raises VolumeError, OSError."""
    make_directories(link.parent)
    if target(link) == device:
        return
    remove(link)
    link.symlink_to(device)


def target(link: Path) -> Path | None:
    """Where `link` leads; None: there is no link. Raises OSError."""
    try:
        return link.readlink()
    except FileNotFoundError:
        return None


def remove(link: Path) -> None:
    """Nothing there is fine. Raises VolumeError for what is no link, OSError."""
    try:
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            raise VolumeError(f"{link} is no link to a device, and is kept")
    except FileNotFoundError:
        return
