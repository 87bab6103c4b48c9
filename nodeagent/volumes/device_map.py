"""A block device as a volume of one pod: `plugins/<plugin>/volumeDevices/<volume>/<pod>`, a bind mount of the device, so that it
stays that device whatever its name means later; and the pod's link to it (`device_link`). Everything here blocks.
"""

import contextlib
import os
from pathlib import Path

from nodeagent.volumes import device_link
from nodeagent.volumes.contract import MountedVolume, VolumeError
from nodeagent.volumes.layout import Layout, make_directories, safe_component
from runtimes.linux import mounts


def map_device(layout: Layout, plugin: str, uid: str, name: str, device: Path) -> MountedVolume:
    """Repeatable. Raises VolumeError."""
    entry, link = _entry(layout, plugin, uid, name), layout.device_link(uid, plugin, name)
    try:
        make_directories(entry.parent)
        if not mounts.is_mount_point(entry):
            os.close(os.open(entry, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640))
            mounts.bind_path(device, entry)
        device_link.make(link, entry)
    except OSError as error:
        raise VolumeError(f"{error.filename or entry}: {error.strerror}") from error
    return MountedVolume(host_path=link, directory_name=name, block=True, global_map_path=entry.parent)


def unmap_device(layout: Layout, plugin: str, uid: str, name: str) -> None:
    """Undo `map_device`, or half of it; nothing there is fine. Raises VolumeError."""
    entry = _entry(layout, plugin, uid, name)
    try:
        mounts.unmount_all(entry)
        entry.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or others' entries are in it
            entry.parent.rmdir()
        device_link.remove(layout.device_link(uid, plugin, name))
    except OSError as error:
        raise VolumeError(str(error)) from error


def _entry(layout: Layout, plugin: str, uid: str, name: str) -> Path:
    return layout.root_dir / "plugins" / plugin / "volumeDevices" / safe_component(name) / safe_component(uid)
