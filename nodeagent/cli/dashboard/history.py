"""What was seen, as far back as a chart goes: bounded, however long it runs and however many pods come and go. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping

from nodeagent.cli.usage import NodeUse, PodUse

NODE_POINTS = 900  # half an hour of looks every two seconds
POD_POINTS = 60
MAX_PODS = 500  # those beyond have no history
MAX_SERIES = 32

Figure = float | int | None
PodKey = tuple[str, str]


class History:
    """Series of the node share their times; a figure that one look did not have is None."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=NODE_POINTS)
        self._series: dict[str, deque[Figure]] = {}
        self._pods: dict[PodKey, tuple[deque[Figure], deque[Figure]]] = {}

    def add(self, seconds: float, use: NodeUse) -> None:
        """`seconds`: since the epoch."""
        figures = figures_of(use)
        for name in figures:
            if name not in self._series and len(self._series) < MAX_SERIES:
                self._series[name] = deque([None] * len(self._times), maxlen=NODE_POINTS)
        self._times.append(seconds)
        for name, series in self._series.items():
            series.append(figures.get(name))
        self._add_pods(use.pods)

    def _add_pods(self, pods: Iterable[PodUse]) -> None:
        known = {(pod.namespace, pod.name): pod for pod in pods}
        self._pods = {key: series for key, series in self._pods.items() if key in known}
        for key, pod in known.items():
            if key not in self._pods:
                if len(self._pods) >= MAX_PODS:
                    continue
                self._pods[key] = deque(maxlen=POD_POINTS), deque(maxlen=POD_POINTS)
            cpu, memory = self._pods[key]
            cpu.append(pod.cpu_millicores)
            memory.append(pod.memory_bytes)

    def node(self) -> dict[str, object]:
        """`times`, and `series`: name -> a figure for each of them."""
        return {
            "times": [round(each, 1) for each in self._times],
            "series": {name: list(series) for name, series in self._series.items()},
        }

    def pod(self, key: PodKey) -> tuple[list[Figure], list[Figure]]:
        """CPU in millicores and memory in bytes, the newest last."""
        cpu, memory = self._pods.get(key, ((), ()))
        return list(cpu), list(memory)


def figures_of(use: NodeUse) -> Mapping[str, Figure]:
    """Percentages: of the CPUs, of tasks' time that some of them waited, and of each eviction signal what is used."""
    figures: dict[str, Figure] = {f"stall.{name}": some for name, (some, _) in use.stalls.items()}
    if use.cpu_millicores is not None and use.cpus:
        figures["cpu"] = round(use.cpu_millicores / use.cpus / 10, 1)
    if use.memory_total_bytes:
        figures["memory.available"] = round(use.memory_bytes * 100 / use.memory_total_bytes, 2)
    if use.max_processes:
        figures["pid.available"] = round(use.processes * 100 / use.max_processes, 2)
    for each in use.thresholds:
        figures[each.signal] = round((each.capacity - each.available) * 100 / each.capacity, 2)
    return figures
