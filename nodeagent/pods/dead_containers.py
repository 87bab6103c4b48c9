"""Dead containers: one per name is kept for its exit code and its log, the others go (docs/facts/pod-lifecycle.md 15.1)."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from nodeagent.pods.paths import PodPaths
from nodeagent.pods.rules.model import Instance, Observed, RemoveContainer
from nodeagent.pods.rules.runtime_view import name_of_instance, restart_count_of
from nodeagent.podspec.containers import containers
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import NotFound
from runtimes.kube.labels import LABEL_CONTAINER_NAME
from runtimes.kube.whole_number import whole_number
from runtimes.registry import Runtime

KEPT_PER_NAME = 1


def superfluous(observed: Observed) -> tuple[RemoveContainer, ...]:
    """The dead instances beyond the newest of each name."""
    kept: dict[str, int] = {}
    found: list[RemoveContainer] = []
    for instance in observed.instances:  # newest first
        if instance.status.state != cri.CONTAINER_EXITED:
            continue
        name = name_of_instance(instance)
        kept[name] = kept.get(name, 0) + 1
        if kept[name] > KEPT_PER_NAME:
            found.append(RemoveContainer(container_id=instance.status.id, name=name))
    return tuple(found)


class DeadContainers:
    """Removes dead containers with what they left in the log folders."""

    def __init__(self, paths: PodPaths) -> None:
        self._paths = paths

    async def remove(self, runtime: Runtime, pod: AgentPod, observed: Observed, remove: RemoveContainer) -> None:
        """Remove one from its runtime, then its log, rotated logs and link. Raises RuntimeFault."""
        with contextlib.suppress(NotFound):
            await runtime.service.remove_container(cri.RemoveContainerRequest(container_id=remove.container_id))
        instance = next((item for item in observed.instances if item.status.id == remove.container_id), None)
        if instance is not None and not remove.keep_logs:
            await asyncio.to_thread(self._remove_logs, pod, instance)

    def highest_log_numbers(self, pod: AgentPod, observed: Observed) -> Mapping[str, int]:
        """Container name -> n of its newest `<n>.log`, for containers that no runtime knows any more.

        Costs a stat for each container that was never started.
        """
        known = {item.status.labels.get(LABEL_CONTAINER_NAME) for item in observed.instances}
        folder = self._paths.log_dir(*pod.key, pod.uid)
        found = {}
        for _, container in containers(pod):
            if container.name not in known:
                numbers = _log_numbers(folder / container.name)
                if numbers:
                    found[container.name] = max(numbers)
        return found

    def _remove_logs(self, pod: AgentPod, instance: Instance) -> None:
        namespace, pod_name = pod.key
        name, number = name_of_instance(instance), restart_count_of(instance.status)
        folder = self._paths.log_dir(namespace, pod_name, pod.uid) / name
        for path in (folder / f"{number}.log", *folder.glob(f"{number}.log.*")):
            path.unlink(missing_ok=True)
        self._paths.log_link(namespace, pod_name, name, instance.status.id).unlink(missing_ok=True)


def _log_numbers(folder: Path) -> list[int]:
    try:
        entries: Iterable[Path] = list(folder.iterdir())
    except OSError:
        return []
    stems = (entry.name.partition(".log") for entry in entries)
    return [number for stem, dot, _ in stems if dot and (number := whole_number(stem)) is not None]
