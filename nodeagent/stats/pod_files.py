"""What the logs and the other files that the agent keeps for a pod take of the node's disk."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nodeagent.podspec.pod import PodUID
from nodeagent.stats.disk_usage import NOTHING, DiskUsage, of_volume
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.usage import measure

_BLOCK_BYTES = 512  # of st_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFiles:
    """`logs`: by container, of all its instances. `others`: beside them in the pod's log folder, and its hosts file."""

    time_ns: int
    logs: Mapping[str, DiskUsage] = field(default_factory=dict)
    others: DiskUsage = NOTHING

    @property
    def total(self) -> DiskUsage:
        return sum(self.logs.values(), self.others)


class NamedPod(Protocol):
    """A pod, or what a runtime tells of one."""

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def uid(self) -> str: ...


class PodFilesReader:
    """`log_dir`: of a pod's logs by its namespace, name and uid; `hosts_file`: by its uid."""

    def __init__(self, log_dir: Callable[[str, str, PodUID], Path], hosts_file: Callable[[str], Path]) -> None:
        self._log_dir = log_dir
        self._hosts_file = hosts_file

    def read(self, pods: Iterable[NamedPod]) -> Mapping[str, PodFiles]:
        """By uid. Blocks for what is on the node's own disks. What is gone counts nothing."""
        # a name of others' making, in a runtime that is not the agent's alone, may be no name of a file
        return {pod.uid: self._of(pod) for pod in pods if "/" not in f"{pod.namespace}{pod.name}{pod.uid}"}

    def _of(self, pod: NamedPod) -> PodFiles:
        logs: dict[str, DiskUsage] = {}
        others = _of_file(self._hosts_file(pod.uid))
        try:
            with os.scandir(self._log_dir(pod.namespace, pod.name, PodUID(pod.uid))) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        logs[entry.name] = _of_folder(Path(entry.path))
                    else:
                        others += _of_file(Path(entry.path))
        except OSError:  # it has no logs yet, or they have just been removed
            pass
        return PodFiles(time_ns=time.time_ns(), logs=logs, others=others)


def _of_file(path: Path) -> DiskUsage:
    try:
        return DiskUsage(path.lstat().st_blocks * _BLOCK_BYTES, 1)
    except OSError:
        return NOTHING


def _of_folder(path: Path) -> DiskUsage:
    try:
        return of_volume(measure(path))
    except VolumeError:
        return NOTHING
