"""The pod's folders: data below the root dir, logs, and the links that log collectors follow."""

from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from nodeagent.pods.paths import PodPaths
from nodeagent.pods.steps.contract import Step, StepError, SyncPass
from nodeagent.pods.teardown import Teardown
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.pod_folder import remove_pod_folder
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import run_blocking


class DirectoriesStep(Step):
    """Make `<root>/pods/<uid>` (0750) and the log folder (0755); remove them when the pod is gone for good."""

    name: ClassVar[str] = "directories"
    deadline_seconds: ClassVar[float | None] = 30.0

    def __init__(self, paths: PodPaths) -> None:
        self._paths = paths

    @override
    async def run(self, work: SyncPass) -> None:
        namespace, name = work.pod.key
        try:
            make_pod_directories(
                self._paths, self._paths.log_dir(namespace, name, work.uid), self._paths.pod_dir(work.uid)
            )
        except (OSError, VolumeError) as error:
            raise StepError(f"error making pod data directories: {error}", event_reason="Failed") from error

    @override
    async def undo(self, teardown: Teardown) -> None:
        if teardown.keep_records:
            return
        namespace, name = teardown.pod.key
        log_dir = self._paths.log_dir(namespace, name, teardown.uid)
        await run_blocking(self._remove, teardown, log_dir)

    def _remove(self, teardown: Teardown, log_dir: Path) -> None:
        namespace, name = teardown.pod.key
        for link in self._paths.container_logs_dir.glob(f"{name}_{namespace}_*.log"):
            if link.is_symlink() and log_dir in Path(link.readlink()).parents:
                link.unlink(missing_ok=True)
        remove_tree(log_dir)
        remove_pod_folder(self._paths.pod_dir(teardown.uid))


def make_pod_directories(paths: PodPaths, log_dir: Path, pod_dir: Path) -> None:
    """Two or three mkdir calls: not worth a thread."""
    for directory, mode in ((pod_dir, 0o750), (pod_dir / "volumes", 0o750), (pod_dir / "plugins", 0o750)):
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    log_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    paths.container_logs_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
