"""Where a pod's volumes and files are below the agent's root directory (docs/facts/storage.md 3)."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nodeagent.volumes.contract import VolumeError

DIRECTORY_MODE = 0o750
NODE_VOLUME_NOTE = "node-volume.json"


def plugin_directory_name(plugin: str) -> str:
    """`kubernetes.io/csi` -> `kubernetes.io~csi`."""
    return plugin.replace("/", "~")


def safe_component(text: str) -> str:
    """`text` as one path component. Names come from manifests; a manifest must not lead elsewhere. Raises VolumeError."""
    if not text or text in (".", "..") or "/" in text or "\0" in text:
        raise VolumeError(f"{text!r} is not usable as a file name")
    return text


def make_directories(path: Path, mode: int = DIRECTORY_MODE) -> None:
    """mkdir -p that asks the kernel only about what is missing. The umask applies."""
    try:
        path.mkdir(mode)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_directories(path.parent, mode)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode)


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below `root_dir` (`/var/lib/kubelet`)."""

    root_dir: Path

    @property
    def pods_dir(self) -> Path:
        return self.root_dir / "pods"

    def pod_dir(self, uid: str) -> Path:
        return self.pods_dir / safe_component(uid)

    def volumes_dir(self, uid: str) -> Path:
        return self.pod_dir(uid) / "volumes"

    def volume_dir(self, uid: str, plugin: str, directory_name: str) -> Path:
        """The content or mount point of one volume."""
        return self.volumes_dir(uid) / plugin_directory_name(plugin) / safe_component(directory_name)

    def devices_dir(self, uid: str) -> Path:
        return self.pod_dir(uid) / "volumeDevices"

    def device_link(self, uid: str, plugin: str, directory_name: str) -> Path:
        """A block volume, as a symbolic link to where its device is (`device_link`)."""
        return self.devices_dir(uid) / plugin_directory_name(plugin) / safe_component(directory_name)

    def scratch_dir(self, uid: str, plugin: str, directory_name: str) -> Path:
        """Where a plugin keeps its own notes on a volume."""
        return self.pod_dir(uid) / "plugins" / plugin_directory_name(plugin) / safe_component(directory_name)

    def node_volume_note(self, uid: str, plugin_directory: str, directory_name: str) -> Path:
        """What the agent notes of a volume that the pod shares with others (`stage`)."""
        return self.pod_dir(uid) / "plugins" / plugin_directory / safe_component(directory_name) / NODE_VOLUME_NOTE

    def node_volume_notes(self) -> Iterator[Path]:
        """Those of all pods. Blocks."""
        return self.pods_dir.glob(f"*/plugins/*/*/{NODE_VOLUME_NOTE}")

    def subpaths_dir(self, uid: str) -> Path:
        return self.pod_dir(uid) / "volume-subpaths"

    def subpath(self, uid: str, directory_name: str, container: str, index: int) -> Path:
        """Mount point of the subPath of a container's volumeMount number `index`."""
        return self.subpaths_dir(uid) / safe_component(directory_name) / safe_component(container) / str(index)

    def container_dir(self, uid: str, container: str) -> Path:
        """Termination message files of one container."""
        return self.pod_dir(uid) / "containers" / safe_component(container)

    def hosts_file(self, uid: str) -> Path:
        return self.pod_dir(uid) / "etc-hosts"
