"""Where a pod's files are on this node."""

from dataclasses import dataclass
from pathlib import Path

from nodeagent.podspec.pod import PodUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPaths:
    """The roots of the three trees that hold a pod's files."""

    root_dir: Path  # /var/lib/kubelet
    pod_logs_dir: Path  # /var/log/pods
    container_logs_dir: Path  # /var/log/containers

    def pod_dir(self, uid: PodUID) -> Path:
        return self.root_dir / "pods" / uid

    def log_dir(self, namespace: str, name: str, uid: PodUID) -> Path:
        return self.pod_logs_dir / f"{namespace}_{name}_{uid}"

    def log_link(self, namespace: str, name: str, container: str, container_id: str) -> Path:
        """The link to a container's log that collectors follow; its file name is cut to 255 bytes with its ending."""
        text = f"{name}_{namespace}_{container}-{container_id}"
        return self.container_logs_dir / f"{text[: 255 - len('.log')]}.log"
