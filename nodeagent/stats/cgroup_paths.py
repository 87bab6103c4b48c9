"""Which cgroups pods and their containers are in, whatever runtime made them: directories are called after their ids."""

from collections.abc import Callable, Iterable, Mapping

from nodeagent.stats.pods import PodStats
from runtimes.linux.cgroups.contract import Cgroups


class CgroupPaths:
    """`find`: the path of a pod's cgroup by its uid, None: it has none; it may block. What was found once does not move."""

    def __init__(self, cgroups: Cgroups, find: Callable[[str], str | None]) -> None:
        self._cgroups = cgroups
        self._find = find
        self._known: dict[str, str] = {}

    def read(self, pods: Iterable[PodStats]) -> Mapping[str, str]:
        """By the runtime's id of a sandbox or container. Blocks. What has no cgroup of its own is left out."""
        known: dict[str, str] = {}
        for pod in pods:
            ids = {pod.stats.attributes.id, *(each.stats.attributes.id for each in pod.containers)}
            if not ids <= self._known.keys():
                self._known.update(self._search(pod))
            known.update({each: self._known[each] for each in ids & self._known.keys()})
        self._known = known
        return known

    def _search(self, pod: PodStats) -> Mapping[str, str]:
        path = self._find(pod.uid)
        if path is None:
            return {}
        found = {pod.stats.attributes.id: path}
        names = self._children(path)
        for container in pod.containers:
            container_id = container.stats.attributes.id
            # as it is, or with systemd `<runtime>-<id>.scope`
            name = next((name for name in names if container_id in name), None)
            if name is not None:
                found[container_id] = f"{path}/{name}"
        return found

    def _children(self, path: str) -> tuple[str, ...]:
        try:
            return self._cgroups.children(path)
        except OSError:
            return ()
