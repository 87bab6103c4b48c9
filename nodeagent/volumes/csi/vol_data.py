"""`vol_data.json`: what of a volume is known when nothing but the disk is left. Everything here blocks.

Keys and values are a kubelet's, which may have left the file, or find it: docs/facts/storage.md 3.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.csi.layout import VOL_DATA
from nodeagent.volumes.layout import make_directories
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.files import replace_file

_MODE = 0o644
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VolData:
    """What is empty is not known. `label`: of SELinux, with which it is mounted."""

    driver: str
    handle: str
    spec_name: str = ""
    node_name: str = ""
    attachment: str = ""
    ephemeral: bool = False
    label: str = ""

    def staged(self) -> dict[str, str]:
        return {"driverName": self.driver, "volumeHandle": self.handle, **self._labelled()}

    def published(self) -> dict[str, str]:
        return {
            "specVolID": self.spec_name,
            "volumeHandle": self.handle,
            "driverName": self.driver,
            "nodeName": self.node_name,
            "attachmentID": self.attachment,
            "volumeLifecycleMode": "Ephemeral" if self.ephemeral else "Persistent",
            **self._labelled(),
        }

    def _labelled(self) -> dict[str, str]:
        return {"seLinuxMountContext": self.label} if self.label else {}


def write(folder: Path, content: dict[str, str]) -> None:
    """Make the folder, and the file in it, before anything is mounted. Raises OSError."""
    make_directories(folder)
    path, data = folder / VOL_DATA, msgspec.json.encode(content)
    with contextlib.suppress(OSError):
        if path.read_bytes() == data:
            return
    replace_file(path, data, mode=_MODE, durable=False)  # a power cut that takes it takes the mount, too


def read(folder: Path) -> VolData | None:
    """None: there is none. Raises VolumeError for one that cannot be understood."""
    path = folder / VOL_DATA
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(_MAX_BYTES), type=dict[str, str])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, *UNREADABLE) as error:
        raise VolumeError(f"{path} cannot be read: {error}") from error
    driver, handle = found.get("driverName", ""), found.get("volumeHandle", "")
    if not driver or not handle:
        raise VolumeError(f"{path} names no driver, or no volume")
    return VolData(
        driver=driver,
        handle=handle,
        spec_name=found.get("specVolID", ""),
        node_name=found.get("nodeName", ""),
        attachment=found.get("attachmentID", ""),
        ephemeral=found.get("volumeLifecycleMode") == "Ephemeral",
        label=found.get("seLinuxMountContext", ""),
    )


def remove(folder: Path) -> None:
    """The file, and the folder if nothing else is in it. Nothing there is fine. Raises OSError."""
    (folder / VOL_DATA).unlink(missing_ok=True)
    remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """An empty one; nothing there is fine. Raises OSError where it is not empty."""
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()
