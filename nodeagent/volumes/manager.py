"""Mounts, refreshes and unmounts the volumes of this node's pods.

What is mounted is read from disk, never from a record of the agent: `pods/<uid>/volumes/<plugin>/<name>` names the plugin
and the volume. In memory are only the back-off of failing volumes and, to answer fast, what was set up by this process.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lightkube.models.core_v1 import Volume

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes import subpath
from nodeagent.volumes.contract import MountedVolume, UnsupportedVolume, VolumeError, VolumePlugin, VolumeRequest
from nodeagent.volumes.layout import Layout, plugin_directory_name
from nodeagent.volumes.pod_folder import entries, force_clean
from nodeagent.volumes.pod_volumes import requests_for, used_volumes
from nodeagent.volumes.sources import VolumeEvents
from runtimes.linux.tasks import run_blocking

log = logging.getLogger(__name__)

WAIT_SECONDS = 123.0
FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 122.0
_MAX_ERRORS = 10


class MountFailed(VolumeError):
    """Not all volumes of a pod are mounted. The text is that of the pod's event.

    `event_worthy`: a kubelet shows it as an event; after a plain time-out it does not, the volumes' own events tell.
    """

    def __init__(self, unmounted: Iterable[str], unprocessed: Iterable[str], cause: str, *, event_worthy: bool) -> None:
        super().__init__(
            f"Unable to attach or mount volumes: unmounted volumes=[{' '.join(unmounted)}], unattached volumes=[], "
            f"failed to process volumes=[{' '.join(unprocessed)}]: {cause}"
        )
        self.event_worthy = event_worthy


@dataclass(frozen=True, slots=True)
class FoundVolume:
    """What the disk tells of a volume. `plugin_directory` empty: only its subPaths are there."""

    plugin_directory: str
    name: str
    has_subpaths: bool


@dataclass(slots=True)
class _Backoff:
    delay_seconds: float = 0.0
    not_before: float = 0.0

    def advance(self, now: float) -> None:
        self.delay_seconds = min(self.delay_seconds * 2 or FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS)
        self.not_before = now + self.delay_seconds


@dataclass(slots=True)
class _PodRecord:
    """What this process knows of one pod. The lock keeps set-up, refresh and teardown of it apart."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    mounted: dict[str, MountedVolume] = field(default_factory=dict)
    backoffs: dict[str, _Backoff] = field(default_factory=dict)


class VolumeManager:
    """One for all pods. Verbs on one pod queue up behind each other; pods and volumes do not wait for each other."""

    def __init__(
        self,
        *,
        layout: Layout,
        plugins: Sequence[VolumePlugin],
        events: VolumeEvents,
        wait_seconds: float = WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._layout = layout
        self._plugins = tuple(plugins)
        self._by_directory = {plugin_directory_name(plugin.name): plugin for plugin in plugins}
        self._events = events
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._sleep = sleep
        self._pods: dict[str, _PodRecord] = {}

    async def mount(self, pod: AgentPod) -> Mapping[str, MountedVolume]:
        """Mount every volume that a container of the pod uses; volume name -> where it is.

        Failing volumes are tried again, each with its own back-off, until `wait_seconds` have passed. Image volumes are
        the runtime's and not in the answer. Repeatable; fast when all is mounted. Raises MountFailed.
        """
        uid = pod.uid
        record = self._pods.setdefault(uid, _PodRecord())
        async with record.lock:
            wanted = [volume for volume in used_volumes(pod) if volume.image is None]
            missing = [volume for volume in wanted if volume.name not in record.mounted]
            if missing:
                await self._mount_missing(pod, record, missing)
            return {volume.name: record.mounted[volume.name] for volume in wanted}

    async def refresh(self, pod: AgentPod, *, anew: bool = False) -> None:
        """Bring the volumes that follow API objects up to date. A failure is an event and leaves the old content.

        `anew`: what they are made from has changed, so those that failed are tried at once.
        """
        record = self._pods.get(pod.uid)
        if record is None:
            return
        async with record.lock:
            due = [
                volume
                for volume in used_volumes(pod)
                if volume.name in record.mounted and self._plugin(volume).capabilities.needs_refresh
            ]
            if anew:
                for volume in due:
                    record.backoffs.pop(volume.name, None)
            requests = requests_for(pod, due)
            await asyncio.gather(*(self._refresh_one(record, requests[volume.name]) for volume in due))

    async def unmount(self, uid: str) -> None:
        """Take every volume of a pod down that is found on disk. Nothing there is fine.

        Raises ExceptionGroup of what could not be taken down; the rest is.
        """
        record = self._pods.setdefault(uid, _PodRecord())
        async with record.lock:
            found = await run_blocking(self.on_disk, uid)
            outcomes = await asyncio.gather(
                *(self._teardown_one(uid, volume) for volume in found), return_exceptions=True
            )
            errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            record.mounted.clear()  # a refresh that waits for its turn must find nothing to set up
            if errors:
                raise ExceptionGroup(f"volumes of pod {uid} could not be unmounted", errors)
        self._pods.pop(uid, None)

    def mounted(self, uid: str) -> Mapping[str, MountedVolume]:
        """What this process has set up for a pod."""
        record = self._pods.get(uid)
        return dict(record.mounted) if record is not None else {}

    def on_disk(self, uid: str) -> list[FoundVolume]:
        """Every volume found on disk, those of which only subPaths are left included. Blocks."""
        volumes_dir, subpaths_dir = self._layout.volumes_dir(uid), self._layout.subpaths_dir(uid)
        with_subpaths = {entry.name for entry in entries(subpaths_dir)}
        found = [
            FoundVolume(parent.name, entry.name, entry.name in with_subpaths)
            for parent in entries(volumes_dir)
            for entry in entries(parent)
        ]
        # hostPath volumes leave nothing but their subPaths
        rest = with_subpaths - {volume.name for volume in found}
        return found + [FoundVolume("", name, True) for name in sorted(rest)]

    async def _mount_missing(self, pod: AgentPod, record: _PodRecord, missing: Sequence[Volume]) -> None:
        """Fills `record.mounted`. Raises MountFailed."""
        errors: list[str] = []
        unprocessed: list[str] = []
        work: list[tuple[Volume, VolumePlugin]] = []
        for volume in missing:
            try:
                plugin = self._plugin(volume)
            except UnsupportedVolume as error:
                errors.append(str(error))
                unprocessed.append(volume.name)
            else:
                work.append((volume, plugin))
        requests = requests_for(pod, (volume for volume, _ in work))
        # beside a volume that can never come, the others get one go: the pod's owner has to act anyway
        tasks = [
            asyncio.create_task(self._mount_one(record, requests[volume.name], plugin, once=bool(unprocessed)))
            for volume, plugin in work
        ]
        try:
            if tasks:
                done, pending = await asyncio.wait(
                    tasks, timeout=self._wait_seconds, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in done:
                    task.result()
                if not pending and not unprocessed:
                    return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        unmounted = [volume.name for volume in missing if volume.name not in record.mounted]
        if unprocessed:
            raise MountFailed(unmounted, unprocessed, "; ".join(errors[-_MAX_ERRORS:]), event_worthy=True)
        raise MountFailed(unmounted, (), "timed out waiting for the condition", event_worthy=False)

    async def _mount_one(self, record: _PodRecord, request: VolumeRequest, plugin: VolumePlugin, *, once: bool) -> None:
        """Try until it works, or `once`; the caller ends it by cancellation."""
        pod, volume = request.pod, request.volume
        while True:
            backoff = record.backoffs.setdefault(volume.name, _Backoff())
            pause_seconds = backoff.not_before - self._clock()
            if pause_seconds > 0:
                await self._sleep(pause_seconds)
            try:
                record.mounted[volume.name] = await plugin.setup(request)
            except (VolumeError, OSError, ValueError) as error:  # ValueError: a name that no file can have
                self._failed(pod, volume, backoff, error)
                if once:
                    return
            else:
                record.backoffs.pop(volume.name, None)
                return

    async def _refresh_one(self, record: _PodRecord, request: VolumeRequest) -> None:
        pod, volume = request.pod, request.volume
        backoff = record.backoffs.setdefault(volume.name, _Backoff())
        if backoff.not_before > self._clock():
            return
        try:
            record.mounted[volume.name] = await self._plugin(volume).setup(request)
        except (VolumeError, OSError, ValueError) as error:  # ValueError: a name that no file can have
            self._failed(pod, volume, backoff, error)
        else:
            record.backoffs.pop(volume.name, None)

    def _failed(self, pod: AgentPod, volume: Volume, backoff: _Backoff, error: Exception) -> None:
        backoff.advance(self._clock())
        message = f'MountVolume.SetUp failed for volume "{volume.name}" : {error}'
        log.info("pod %s: %s (again in %.1f s)", pod.uid, message, backoff.delay_seconds)
        self._events.event(pod, "Warning", "FailedMount", message)

    async def _teardown_one(self, uid: str, volume: FoundVolume) -> None:
        if volume.has_subpaths:
            await run_blocking(subpath.clean_up, self._layout, uid, volume.name)
        plugin = self._by_directory.get(volume.plugin_directory)
        if plugin is not None:
            await plugin.teardown(uid, volume.name)
        elif volume.plugin_directory:
            await run_blocking(force_clean, self._layout.volumes_dir(uid) / volume.plugin_directory / volume.name)

    def _plugin(self, volume: Volume) -> VolumePlugin:
        """Raises UnsupportedVolume."""
        for plugin in self._plugins:
            if plugin.supports(volume):
                return plugin
        kind = next((name for name in volume.__struct_fields__ if name != "name" and getattr(volume, name)), "?")
        raise UnsupportedVolume(f'volume "{volume.name}": this node does not support volumes of type {kind}')
