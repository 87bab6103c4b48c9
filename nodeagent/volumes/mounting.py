"""One volume of one pod on its way up: resolved, attached, staged, published; tried again, ever more seldom, where it fails."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from lightkube.models.core_v1 import Volume

from nodeagent.api.events import Events
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.claims import expansion
from nodeagent.volumes.claims.expander import Expander
from nodeagent.volumes.claims.resolver import check_affinity, supplemental_groups
from nodeagent.volumes.contract import (
    CannotGrowInUse,
    Capabilities,
    MountedVolume,
    SourceResolver,
    UnsupportedVolume,
    VolumeError,
    VolumePlugin,
    VolumeRequest,
    VolumeSource,
)
from nodeagent.volumes.layout import plugin_directory_name
from nodeagent.volumes.operations import Operation, OperationObserver, timed, unobserved
from nodeagent.volumes.phases import Phase, Progress
from nodeagent.volumes.plugins import Plugins
from nodeagent.volumes.pod_volumes import PodRequests
from nodeagent.volumes.sources import OwnNode
from nodeagent.volumes.stage import Holder, NodeVolumes, Note
from runtimes.linux.tasks import end_tasks

log = logging.getLogger(__name__)

_ONE_POD = "ReadWriteOncePod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A volume that is up, and what it was made of. `size_bytes`: that of its claim, as far as this node has followed it.

    `grows`: it has not refused to, while it is used as it is.
    """

    plugin: VolumePlugin
    source: VolumeSource
    mounted: MountedVolume
    size_bytes: int = 0
    grows: bool = True

    @property
    def capabilities(self) -> Capabilities:
        return self.plugin.capabilities(self.source)

    @property
    def claim_name(self) -> str:
        """Empty: no claim led to it."""
        claim = self.source.claim
        return (claim.metadata.name if claim is not None and claim.metadata is not None else None) or ""

    @property
    def changes(self) -> bool:
        """It is refreshed while its pod runs."""
        capabilities = self.capabilities
        return capabilities.republish or (capabilities.expand and self.grows)


@dataclass(slots=True)
class PodVolumes:
    """What this process knows of one pod's volumes, by their names in the pod.

    `lock` keeps mounting, refreshing and unmounting apart. `hopeless`: one of them can never come, so the others get one try.
    `abnormal`: what is known to be wrong with those that are up.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    published: dict[str, Published] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    hopeless: bool = False
    pod: AgentPod | None = None
    abnormal: dict[str, str] = field(default_factory=dict)


class Mounter:
    """Takes volumes through their phases, one call a volume."""

    def __init__(
        self,
        *,
        plugins: Plugins,
        resolvers: Sequence[SourceResolver],
        node_volumes: NodeVolumes,
        events: Events,
        own_node: OwnNode,
        expander: Expander,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        observe: OperationObserver = unobserved,
    ) -> None:
        self._plugins = plugins
        self._resolvers = tuple(resolvers)
        self._node_volumes = node_volumes
        self._events = events
        self._own_node = own_node
        self._expander = expander
        self._clock = clock
        self._sleep = sleep
        self._observe = observe

    def check(self, volume: Volume) -> None:
        """Raises UnsupportedVolume for what is known to be none of this node's types before any reference is followed."""
        if not any(resolver.follows(volume) for resolver in self._resolvers):
            self._plugins.of_source(VolumeSource(volume=volume))

    async def mount(self, volumes: PodVolumes, requests: PodRequests, volume: Volume) -> None:
        """Try until it is published, or until that is hopeless; the caller ends it by cancellation."""
        progress = volumes.progress.setdefault(volume.name, Progress(name=volume.name))
        while True:
            pause_seconds = progress.not_before - self._clock()
            if pause_seconds > 0:
                await self._pause(pause_seconds, progress.came)
            try:
                volumes.published[volume.name] = await self._mount_once(requests, volume, progress)
            except UnsupportedVolume as error:
                progress.phase, progress.error = Phase.RESOLVE, str(error)
                volumes.hopeless = True
            except (VolumeError, OSError, ValueError) as error:  # ValueError: a name that no file can have
                self._failed(requests.pod, progress, error)
            else:
                volumes.progress.pop(volume.name, None)
                return
            if volumes.hopeless:
                return

    async def _pause(self, seconds: float, came: asyncio.Event | None) -> None:
        if came is None:
            await self._sleep(seconds)
            return
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.create_task(came.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(*waits)

    async def refresh(self, volumes: PodVolumes, requests: PodRequests, volume: Volume) -> None:
        """Publish a live volume once more, and let it grow, where it is one that `changes` and it is time for an attempt."""
        progress = volumes.progress.setdefault(volume.name, Progress(name=volume.name))
        if progress.not_before > self._clock():
            return
        published = volumes.published[volume.name]
        progress.name, progress.block = published.source.name, published.source.block
        try:
            # the declaration may have changed, by a resize in place
            known = replace(published, source=replace(published.source, volume=volume))
            volumes.published[volume.name] = await self._refresh_once(requests, known, progress)
        except (VolumeError, OSError, ValueError) as error:  # ValueError: a name that no file can have
            self._failed(requests.pod, progress, error)
        else:
            volumes.progress.pop(volume.name, None)

    async def _mount_once(self, requests: PodRequests, volume: Volume, progress: Progress) -> Published:
        progress.phase = Phase.RESOLVE
        source = await self._resolve(requests.pod, volume)
        progress.name, progress.block = source.name, source.block
        plugin, request = self._plugins.of_source(source), requests.of(source)
        capabilities = plugin.capabilities(source)
        progress.phase = Phase.AFFINITY
        check_affinity(source, self._own_node())
        if _is_shared(source, capabilities):
            await self._hold(plugin, request, capabilities, progress)
        if capabilities.attach:
            await plugin.attach(request)
        async with self._guard(plugin, source, capabilities):
            with timed(self._observe, plugin.name, Operation.MOUNT):
                if capabilities.stage:
                    progress.phase = Phase.STAGE
                    await plugin.stage(request)
                progress.phase = Phase.PUBLISH
                published = Published(plugin=plugin, source=source, mounted=await _publish(plugin, request))
            progress.phase = Phase.EXPAND
            published = await self._expand(published, request, progress)
        self._tell_mapped(requests.pod, source, published.mounted)
        return published

    async def _hold(
        self, plugin: VolumePlugin, request: VolumeRequest, capabilities: Capabilities, progress: Progress
    ) -> None:
        """From the first moment on the node says that it needs the volume: nobody attaches what nobody asks for."""
        progress.phase = Phase.ATTACH if capabilities.attach else Phase.STAGE
        holder = Holder(request.pod.uid, plugin_directory_name(plugin.name), request.directory_name)
        note = Note(volume_id=plugin.volume_id(request.source), attach=capabilities.attach)
        async with self._node_volumes.exclusive(note.volume_id):
            # which pod wants it alone is known only where it can be used in no other way
            if request.source.access_modes == (_ONE_POD,) and await self._node_volumes.held_by_others(holder, note):
                progress.phase = Phase.PUBLISH
                raise VolumeError(f"volume uses the {_ONE_POD} access mode and is already in use by another pod")
            await self._node_volumes.hold(holder, note)

    async def _refresh_once(self, requests: PodRequests, published: Published, progress: Progress) -> Published:
        capabilities = published.capabilities
        if capabilities.expand and published.grows:
            progress.phase = Phase.RESOLVE
            source = await self._resolve(requests.pod, published.source.volume)  # its claim may have grown
            published = replace(published, source=_following(source, published.size_bytes))
        request = requests.of(published.source)
        async with self._guard(published.plugin, published.source, capabilities):
            if capabilities.republish:
                progress.phase = Phase.PUBLISH
                published = replace(published, mounted=await _publish(published.plugin, request))
            progress.phase = Phase.GROW
            return await self._expand(published, request, progress)

    async def _expand(self, published: Published, request: VolumeRequest, progress: Progress) -> Published:
        """Raises VolumeError. What cannot grow while it is used is told, and left as it is: its pod goes on."""
        if not published.capabilities.expand or not published.grows:
            return published
        try:
            await self._expander.expand(published.plugin, request)
        except CannotGrowInUse as error:
            progress.phase = Phase.GROW
            self._failed(request.pod, progress, error)
            return replace(published, grows=False)
        refused = request.source.read_only and request.source.expand_to_bytes is not None
        return replace(published, size_bytes=_size_bytes(published.source), grows=not refused)

    async def _resolve(self, pod: AgentPod, volume: Volume) -> VolumeSource:
        """Raises VolumeError."""
        for resolver in self._resolvers:
            if resolver.follows(volume):
                return await resolver.resolve(pod, volume)
        return VolumeSource(volume=volume)

    def _guard(
        self, plugin: VolumePlugin, source: VolumeSource, capabilities: Capabilities
    ) -> contextlib.AbstractAsyncContextManager[None]:
        if not _is_shared(source, capabilities):
            return contextlib.nullcontext()
        return self._node_volumes.exclusive(plugin.volume_id(source))

    def _failed(self, pod: AgentPod, progress: Progress, error: Exception) -> None:
        delay_seconds = progress.failed(error, self._clock())
        if progress.phase is Phase.RESOLVE:  # the pod's own event tells, when its wait ends (`manager.MountFailed`)
            log.info("pod %s: volume %s: %s (again in %.1f s)", pod.uid, progress.name, error, delay_seconds)
            return
        reason, message = progress.event
        log.info("pod %s: %s (again in %.1f s)", pod.uid, message, delay_seconds)
        self._events.event(pod, "Warning", reason, message)

    def _tell_mapped(self, pod: AgentPod, source: VolumeSource, mounted: MountedVolume) -> None:
        """Of block devices a kubelet tells that they are there, and where."""
        if mounted.block:
            text = f'MapVolume.MapPodDevice succeeded for volume "{source.name}"'
            paths = (("globalMapPath", mounted.global_map_path), ("volumeMapPath", mounted.host_path.parent))
            for name, path in paths:
                self._events.event(pod, "Normal", "SuccessfulMountVolume", f'{text} {name} "{path}"')


def _is_shared(source: VolumeSource, capabilities: Capabilities) -> bool:
    """Pods may share it: for whose sake it is here is noted on disk, and verbs on it wait for each other."""
    return capabilities.node_wide or source.persistent_volume is not None


async def _publish(plugin: VolumePlugin, request: VolumeRequest) -> MountedVolume:
    mounted = await plugin.publish(request)
    return replace(
        mounted,
        read_only_forced=mounted.read_only_forced or request.source.read_only,
        supplemental_groups=(*mounted.supplemental_groups, *supplemental_groups(request.source)),
    )


def _size_bytes(source: VolumeSource) -> int:
    """Once it has grown to what was asked for."""
    recorded_bytes = expansion.recorded_bytes(source.claim) if source.claim is not None else 0
    return max(recorded_bytes, source.expand_to_bytes or 0)


def _following(source: VolumeSource, known_bytes: int) -> VolumeSource:
    """The source, which may have grown on another node."""
    if source.expand_to_bytes is not None or source.claim is None or source.persistent_volume is None:
        return source
    return replace(
        source, expand_to_bytes=expansion.grown_elsewhere(source.claim, source.persistent_volume, known_bytes)
    )
