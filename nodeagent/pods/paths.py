"""Where a pod's files are on this node."""

from dataclasses import dataclass
from pathlib import Path

from nodeagent.podspec.pod import PodUID
from nodeagent.volumes.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPaths(Layout):
    """The three trees of a pod's files: its data below `root_dir`, as `Layout` has it, its logs, and the links to them."""

    pod_logs_dir: Path  # /var/log/pods
    container_logs_dir: Path  # /var/log/containers

    def log_dir(self, namespace: str, name: str, uid: PodUID) -> Path:
        return self.pod_logs_dir / f"{namespace}_{name}_{uid}"

    def log_link(self, namespace: str, name: str, container: str, container_id: str) -> Path:
        """The link to a container's log that collectors follow; its file name is cut to 255 bytes with its ending."""
        text = f"{name}_{namespace}_{container}-{container_id}"
        return self.container_logs_dir / f"{text[: 255 - len('.log')]}.log"
