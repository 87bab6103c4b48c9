"""The end of a pod's folder, and of nothing that may still be somebody's data. Everything here blocks."""

from pathlib import Path

from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import NODE_VOLUME_NOTE, Layout
from nodeagent.volumes.on_disk import FoundVolume
from runtimes.linux.mounts import mounts_below, shown, unmount_all
from runtimes.linux.removal import remove_empty_tree, remove_tree


def remove_pod_folder(pod_dir: Path) -> None:
    """Remove the folder of a pod whose volumes are down. Nothing there is fine.

    All of it stays while something is mounted in it, while a volume that it shares with other pods is staged, and while anything
    but empty directories is where volumes are: a volume of a type that is not known any more may hold data. Raises VolumeError,
    which names what is in the way.
    """
    try:
        if mounted := mounts_below(pod_dir):
            raise VolumeError(f"{shown(pod_dir)} still holds the mount {shown(mounted[0])}")
        if staged := sorted(pod_dir.glob(f"plugins/*/*/{NODE_VOLUME_NOTE}")):
            raise VolumeError(f"volume {shown(staged[0].parent.name)} is still staged: {shown(staged[0])}")
        for folder in ("volumes", "volumeDevices", "volume-subpaths"):
            remove_empty_tree(pod_dir / folder)
        remove_tree(pod_dir)
    except OSError as error:
        raise VolumeError(_in_the_way(error)) from error


def force_clean(layout: Layout, uid: str, volume: FoundVolume) -> None:
    """Take down a volume of a plugin that is not known any more, as far as it is safe: data stays, and so does what leads to a
    device, for only the plugin knows what it has made of it. Nothing there is fine.

    Raises VolumeError, MountError.
    """
    if (layout.devices_dir(uid) / volume.plugin_directory / volume.name).is_symlink():
        raise VolumeError(f"volume {shown(volume.name)} is a block device of an unknown volume type")
    path = layout.volumes_dir(uid) / volume.plugin_directory / volume.name
    unmount_all(path / "mount")
    unmount_all(path)
    try:
        if (path / "mount").is_dir():
            (path / "mount").rmdir()
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise VolumeError(f"{shown(path)} of an unknown volume type is not empty") from error


def _in_the_way(error: OSError) -> str:
    return f"{error.filename} {error.strerror}" if error.filename and error.strerror else str(error)
