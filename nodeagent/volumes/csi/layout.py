"""Where CSI volumes are below the agent's root directory: drivers and their mounts outlive agents, so the paths are a contract.

Source: docs/facts/storage.md 3.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from nodeagent.volumes.csi.volume import PLUGIN
from nodeagent.volumes.layout import Layout, safe_component

VOL_DATA = "vol_data.json"


@dataclass(frozen=True, slots=True)
class CSILayout:
    """`staged_*`: of all pods. `published_*`: of one. Names from manifests that lead elsewhere are a VolumeError."""

    pods: Layout

    @property
    def top(self) -> Path:
        return self.pods.root_dir / "plugins" / PLUGIN

    def staged(self, driver: str, handle: str) -> Path:
        """With `globalmount` and the metadata in it."""
        return self.top / safe_component(driver) / hashlib.sha256(handle.encode()).hexdigest()

    def staged_mount(self, driver: str, handle: str) -> Path:
        return self.staged(driver, handle) / "globalmount"

    def published(self, uid: str, name: str) -> Path:
        """With `mount` and the metadata in it."""
        return self.pods.volume_dir(uid, PLUGIN, name)

    def published_mount(self, uid: str, name: str) -> Path:
        return self.published(uid, name) / "mount"

    # -- block devices

    @property
    def devices(self) -> Path:
        return self.top / "volumeDevices"

    def staged_device(self, name: str) -> Path:
        """A directory of the driver's."""
        return self.devices / "staging" / safe_component(name)

    def published_device(self, name: str, uid: str) -> Path:
        """The device, made by the driver."""
        return self.devices / "publish" / safe_component(name) / safe_component(uid)

    def device_data(self, name: str) -> Path:
        """With the metadata in it."""
        return self.devices / safe_component(name) / "data"

    def device_map(self, name: str) -> Path:
        return self.devices / safe_component(name) / "dev"

    def device_link(self, uid: str, name: str) -> Path:
        return self.pods.device_link(uid, PLUGIN, name)
