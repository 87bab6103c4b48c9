"""What the disk tells of a pod's volumes: `pods/<uid>/volumes/<plugin>/<volume>`, `volumeDevices` likewise, and their subPaths.

Everything here blocks.
"""

from dataclasses import dataclass
from pathlib import Path

from nodeagent.volumes.layout import Layout


@dataclass(frozen=True, slots=True)
class FoundVolume:
    """`plugin_directory` empty: only its subPaths are there."""

    plugin_directory: str
    name: str
    has_subpaths: bool = False


def volumes_of(layout: Layout, uid: str) -> list[FoundVolume]:
    """Every volume found on disk, those of which only subPaths are left included."""
    with_subpaths = {entry.name for entry in _entries(layout.subpaths_dir(uid))}
    seen = dict.fromkeys(
        (parent.name, entry.name)
        for folder in (layout.volumes_dir(uid), layout.devices_dir(uid))
        for parent in _entries(folder)
        for entry in _entries(parent)
    )
    found = [FoundVolume(plugin_directory, name, name in with_subpaths) for plugin_directory, name in seen]
    # hostPath volumes leave nothing but their subPaths
    rest = with_subpaths - {volume.name for volume in found}
    return found + [FoundVolume("", name, True) for name in sorted(rest)]


def _entries(directory: Path) -> list[Path]:
    """What is in a directory, sorted; nothing when it is not there."""
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
