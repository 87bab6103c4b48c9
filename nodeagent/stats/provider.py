"""The one provider of this node's statistics: for the endpoint's summary and metrics, and for what watches for pressure.

Every reading is taken once for all who ask within a moment, and what it takes is taken only when somebody asks.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from nodeagent.stats.cache import Cached
from nodeagent.stats.cgroup_paths import CgroupPaths
from nodeagent.stats.node import Filesystem, NodeReader, NodeStats, filesystem
from nodeagent.stats.pod_files import PodFiles, PodFilesReader
from nodeagent.stats.pods import PodReader, PodsSnapshot
from nodeagent.stats.system_containers import Groups, SystemContainerReader
from nodeagent.stats.volumes import PodVolumeStats, VolumeReader
from runtimes.linux.figures import read_figures
from runtimes.serve.metrics import RuntimeMetrics

FRESH_SECONDS = 1.0  # several scrapers come at once; one that comes again wants new ones
FILES_FRESH_SECONDS = 10.0  # as old as the figures of writable layers: counting files costs


class Statistics:
    """Raises nothing for a runtime that does not answer: it is left out (`PodsSnapshot.complete`)."""

    def __init__(
        self,
        node: NodeReader,
        pods: PodReader,
        volumes: VolumeReader,
        files: PodFilesReader,
        system: SystemContainerReader,
        paths: CgroupPaths,
        *,
        images_dir: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pods = pods
        self._volumes = volumes
        self._files = files
        self._paths = paths
        self._images_dir = images_dir
        self._of_groups = Cached(lambda: read_figures(system.read), fresh_seconds=FRESH_SECONDS, clock=clock)
        self._of_files = Cached(self._read_files, fresh_seconds=FILES_FRESH_SECONDS, clock=clock)
        self._of_node = Cached(lambda: asyncio.to_thread(node.read), fresh_seconds=FRESH_SECONDS, clock=clock)
        self._of_pods = Cached(pods.read, fresh_seconds=FRESH_SECONDS, clock=clock)
        self._of_images = Cached(self._read_images, fresh_seconds=FRESH_SECONDS, clock=clock)
        self._measured = Cached(pods.metrics, fresh_seconds=FRESH_SECONDS, clock=clock)

    async def node(self) -> NodeStats:
        """Raises OSError."""
        return await self._of_node.get()

    async def pods(self, *, fresh: bool = False) -> PodsSnapshot:
        """`fresh`: read now, whenever they were read last."""
        return await (self._of_pods.renew() if fresh else self._of_pods.get())

    async def images(self) -> Filesystem:
        """The file system that images are on. Raises OSError."""
        return await self._of_images.get()

    async def measured(self) -> list[RuntimeMetrics]:
        """What each runtime measures of its pods, in its own metrics."""
        return await self._measured.get()

    async def groups(self) -> Groups:
        """The node's own groups of processes."""
        return await self._of_groups.get()

    async def cgroup_paths(self) -> Mapping[str, str]:
        """Cgroups of the pods of `pods()` and their containers, by what their runtimes call them."""
        return await read_figures(self._paths.read, (await self.pods()).pods)

    async def files(self) -> Mapping[str, PodFiles]:
        """The logs and hosts files of the pods of `pods()`, by uid; of a pod that came in the last seconds, nothing yet."""
        return await self._of_files.get()

    async def volumes(self) -> Mapping[str, PodVolumeStats]:
        """The volumes of the pods of `pods()`, by uid, as last measured: some minutes ago, or not yet."""
        return await self._volumes.read({pod.uid for pod in (await self.pods()).pods})

    async def _read_files(self) -> Mapping[str, PodFiles]:
        return await asyncio.to_thread(self._files.read, (await self.pods()).pods)

    async def _read_images(self) -> Filesystem:
        return await asyncio.to_thread(filesystem, self._images_dir)
