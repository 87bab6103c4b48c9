"""The pod's folders: data below the root dir, logs, and the links that log collectors follow."""

from pathlib import Path

from nodeagent.pods.slot import Slot
from nodeagent.pods.steps.contract import Ending, PodPaths, Work
from nodeagent.pods.steps.engine import StepError
from nodeagent.volumes.pod_folder import remove_pod_folder
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import run_blocking


class Directories:
    """Make `<root>/pods/<uid>` (0750) and the log folder (0755); remove them when the pod is gone for good."""

    name = "directories"
    deadline_seconds = 30.0
    runs_processes = False

    def __init__(self, paths: PodPaths) -> None:
        self._paths = paths

    def provides(self, work: Work) -> tuple[Slot[str], ...]:
        return ()

    async def run(self, work: Work) -> None:
        namespace, name = work.pod.key
        try:
            make_pod_directories(
                self._paths, self._paths.log_dir(namespace, name, work.uid), self._paths.pod_dir(work.uid)
            )
        except OSError as error:
            raise StepError(f"error making pod data directories: {error}", event_reason="Failed") from error

    async def undo(self, ending: Ending) -> None:
        if ending.keep_records:
            return
        namespace, name = ending.pod.key
        log_dir = self._paths.log_dir(namespace, name, ending.uid)
        await run_blocking(self._remove, ending, log_dir)

    def _remove(self, ending: Ending, log_dir: Path) -> None:
        namespace, name = ending.pod.key
        for link in self._paths.container_logs_dir.glob(f"{name}_{namespace}_*.log"):
            if link.is_symlink() and log_dir in Path(link.readlink()).parents:
                link.unlink(missing_ok=True)
        remove_tree(log_dir)
        remove_pod_folder(self._paths.pod_dir(ending.uid))


def make_pod_directories(paths: PodPaths, log_dir: Path, pod_dir: Path) -> None:
    """Two or three mkdir calls: not worth a thread."""
    for directory, mode in ((pod_dir, 0o750), (pod_dir / "volumes", 0o750), (pod_dir / "plugins", 0o750)):
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    log_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    paths.container_logs_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
