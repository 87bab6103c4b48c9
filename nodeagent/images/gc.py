"""Image garbage collection: when the disk fills up, and when images grow old, what nobody uses goes.

Source: docs/facts/node-resources.md 6.1 (thresholds, ages, order, events). When an image was first seen and last used is kept in
memory and begins again with the agent.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psutil

from proto import cri_pb2 as cri
from runtimes.contract import ImageService, RuntimeService
from runtimes.errors import InvalidArgument, RuntimeFault

log = logging.getLogger(__name__)

COLLECT_SECONDS = 300.0
WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbagePolicy:
    """KubeletConfiguration imageGC*: percentages of the disk in use, ages in seconds. `maximum_age_seconds` 0: no limit."""

    high_percent: int = 85
    low_percent: int = 80
    minimum_age_seconds: float = 120.0
    maximum_age_seconds: float = 0.0

    @property
    def disabled(self) -> bool:
        return self.high_percent == 100 and self.maximum_age_seconds == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One image store and the runtimes whose containers live from it."""

    images: ImageService
    runtimes: tuple[RuntimeService, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system with images on it. `key` tells file systems apart."""

    key: object
    capacity_bytes: int
    available_bytes: int


class NodeEvents(Protocol):
    """Where events about the node go. Never blocks."""

    def node_event(self, type: str, reason: str, message: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is known of one image in one store; times by the injected clock, None: never used."""

    store: int
    image_id: str
    first_detected: float
    last_used: float | None
    size_bytes: int
    pinned: bool

    @property
    def order(self) -> tuple[float, float]:
        return (float("-inf") if self.last_used is None else self.last_used, self.first_detected)


class GarbageFailure(Exception):
    """A collection that did not do what it should; the text is the event's."""


class ImageGarbage:
    """Collects garbage over all stores of the node, one call after the other.

    `image_volumes` names the images that pods use as volumes; `known` is told of all images after each look, and when it
    began; `removed` of each image that was removed, with the reason: age or space.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        policy: GarbagePolicy,
        events: NodeEvents,
        *,
        image_volumes: Callable[[], Collection[str]] = tuple,
        known: Callable[[Collection[cri.Image], datetime], Awaitable[None]] | None = None,
        disk_of: Callable[[Path], Disk] | None = None,
        clock: Callable[[], float] = time.monotonic,
        removed: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._stores = stores
        self._policy = policy
        self._events = events
        self._image_volumes = image_volumes
        self._known = known
        self._disk_of = disk_of or measure
        self._clock = clock
        self._removed = removed
        self._began_at = clock()
        self._seen: dict[tuple[int, str], _Seen] = {}
        self._failed_before = False
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Collect now and every five minutes, until cancelled. A failure is reported when it is not the first in a row."""
        while not self._policy.disabled:
            try:
                await self.collect()
                self._failed_before = False
            except (GarbageFailure, RuntimeFault, OSError) as error:
                log.warning("image garbage collection: %s", error)
                if self._failed_before:
                    self._events.node_event(WARNING, "ImageGCFailed", str(error))
                self._failed_before = True
            await asyncio.sleep(COLLECT_SECONDS)

    async def collect(self) -> None:
        """One pass: images beyond the maximum age, then, disk by disk, as many as bring it below the low threshold.

        Raises GarbageFailure, RuntimeFault.
        """
        async with self._turn:
            await self._collect(self._clock())

    async def _collect(self, now: float) -> None:
        candidates = await self._unused(now)
        candidates = await self._free_old(candidates, now)
        failures: list[str] = []
        for disk, stores in await self._disks():
            mine = [image for image in candidates if image.store in stores]
            problems = await self._free_disk(disk, mine, now)
            pinned = [image for image in self._seen.values() if image.pinned and image.store in stores]
            if problems and pinned:
                log.warning(
                    "%d pinned images (%s) are no garbage: see `nodeagent image list`, `unpin` and `rm`",
                    len(pinned),
                    _size(sum(image.size_bytes for image in pinned)),
                )
            failures += problems
        if failures:
            raise GarbageFailure("; ".join(failures))

    async def delete_unused(self) -> int:
        """Delete every unused image that is old enough (for eviction); returns the bytes freed. Raises RuntimeFault."""
        async with self._turn:
            now = self._clock()
            return await self._free(await self._unused(now), None, now)

    async def _unused(self, now: float) -> list[_Seen]:
        """Look at all stores; what may go, in the order in which it should."""
        began, everything = datetime.now(UTC), list[cri.Image]()
        in_use: set[tuple[int, str]] = set()
        seen: dict[tuple[int, str], _Seen] = {}
        for number, store in enumerate(self._stores):
            images = (await store.images.list_images(cri.ListImagesRequest())).images
            everything += images
            names = await self._names_in_use(store)
            for image in images:
                key = number, image.id
                if not names.isdisjoint((image.id, *image.repo_tags, *image.repo_digests)):
                    in_use.add(key)
                before = self._seen.get(key)
                seen[key] = _Seen(
                    store=number,
                    image_id=image.id,
                    first_detected=now if before is None else before.first_detected,
                    last_used=now if key in in_use else None if before is None else before.last_used,
                    size_bytes=image.size,
                    pinned=image.pinned,
                )
        self._seen = seen
        if self._known is not None:
            await self._known(everything, began)
        free = [image for key, image in seen.items() if key not in in_use and not image.pinned]
        return sorted(free, key=lambda image: image.order)

    async def _names_in_use(self, store: Store) -> set[str]:
        names: set[str] = set()
        for runtime in store.runtimes:
            for container in (await runtime.list_containers(cri.ListContainersRequest())).containers:
                names |= {container.image_ref, container.image_id, container.image.image}
        for name in self._image_volumes():
            try:
                answer = await store.images.image_status(cri.ImageStatusRequest(image=cri.ImageSpec(image=name)))
            except InvalidArgument:
                continue  # a pod may name its volume's image as it likes; what is no name is nowhere
            names.add(answer.image.id)
        return names - {""}

    async def _free_old(self, candidates: list[_Seen], now: float) -> list[_Seen]:
        age = self._policy.maximum_age_seconds
        # Before the agent has run that long, every image that no pod has used yet would look old.
        if age == 0 or now - self._began_at <= age:
            return candidates
        kept = []
        for image in candidates:
            old = image.last_used is None or now - image.last_used > age
            if not (old and await self._remove(image, "age")):
                kept.append(image)
        return kept

    async def _disks(self) -> list[tuple[Disk, set[int]]]:
        """The file systems that images are on, each with its stores."""
        disks: dict[object, tuple[Disk, set[int]]] = {}
        for number, store in enumerate(self._stores):
            info = await store.images.image_fs_info(cri.ImageFsInfoRequest())
            for usage in info.image_filesystems:
                disk = await asyncio.to_thread(self._disk_of, Path(usage.fs_id.mountpoint))
                disks.setdefault(disk.key, (disk, set()))[1].add(number)
        return list(disks.values())

    async def _free_disk(self, disk: Disk, candidates: list[_Seen], now: float) -> list[str]:
        if disk.capacity_bytes == 0:
            message = "invalid capacity 0 on image filesystem"
            self._events.node_event(WARNING, "InvalidDiskCapacity", message)
            return [message]
        available = min(disk.available_bytes, disk.capacity_bytes)
        used_percent = 100 - available * 100 // disk.capacity_bytes
        if used_percent < self._policy.high_percent:
            return []
        wanted = disk.capacity_bytes * (100 - self._policy.low_percent) // 100 - available
        log.info("image disk is %d%% full: %d bytes to free", used_percent, wanted)
        freed = await self._free(candidates, wanted, now)
        if freed >= wanted:
            return []
        message = (
            "Insufficient free disk space on the node's image filesystem "
            f"({used_percent}% of {_size(disk.capacity_bytes)} used). Failed to free sufficient space by deleting unused "
            f"images (freed {freed} bytes). Investigate disk usage, as it could be used by active images, logs, volumes, "
            "or other data."
        )
        self._events.node_event(WARNING, "FreeDiskSpaceFailed", message)
        return [message]

    async def _free(self, candidates: Sequence[_Seen], wanted_bytes: int | None, now: float) -> int:
        freed = 0
        for image in candidates:
            if wanted_bytes is not None and freed >= wanted_bytes:
                break
            if now - image.first_detected < self._policy.minimum_age_seconds:
                continue
            if await self._remove(image, "space"):
                freed += image.size_bytes
        return freed

    async def _remove(self, image: _Seen, reason: str) -> bool:
        images, name = self._stores[image.store].images, cri.ImageSpec(image=image.image_id)
        try:
            if (await images.image_status(cri.ImageStatusRequest(image=name))).image.pinned:
                return False  # since we looked: a pass may take long
            await images.remove_image(cri.RemoveImageRequest(image=name))
        except RuntimeFault as error:
            log.warning("image %s cannot be removed: %s", image.image_id, error)
            return False
        log.info("removed unused image %s (%s)", image.image_id, reason)
        self._seen.pop((image.store, image.image_id), None)
        self._removed(reason)
        return True


def measure(path: Path) -> Disk:
    """The file system that `path` is on. Blocks."""
    usage = psutil.disk_usage(str(path))
    return Disk(key=path.stat().st_dev, capacity_bytes=usage.total, available_bytes=usage.free)


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.4g} {unit}"
        value /= 1024
    raise AssertionError
