"""One volume of one pod on its way up: resolved, attached, staged, published; tried again, ever more seldom, where it fails."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from lightkube.models.core_v1 import Node, Volume

from nodeagent.api.events import Events
from nodeagent.podspec.node_affinity import selects_node
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.claims import supplemental_groups
from nodeagent.volumes.contract import (
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
from nodeagent.volumes.phases import Phase, Progress
from nodeagent.volumes.plugins import Plugins
from nodeagent.volumes.pod_volumes import PodRequests
from nodeagent.volumes.sources import OwnNode
from nodeagent.volumes.stage import Holder, NodeVolumes, Note

log = logging.getLogger(__name__)

_ONE_POD = "ReadWriteOncePod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A volume that is up, and what it was made of."""

    plugin: VolumePlugin
    source: VolumeSource
    mounted: MountedVolume

    @property
    def capabilities(self) -> Capabilities:
        return self.plugin.capabilities(self.source)

    @property
    def changes(self) -> bool:
        """It is refreshed while its pod runs."""
        return self.capabilities.republish or self.capabilities.expand


@dataclass(slots=True)
class PodVolumes:
    """What this process knows of one pod's volumes, by their names in the pod.

    `lock` keeps mounting, refreshing and unmounting apart. `hopeless`: one of them can never come, so the others get one try.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    published: dict[str, Published] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    hopeless: bool = False


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
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._plugins = plugins
        self._resolvers = tuple(resolvers)
        self._node_volumes = node_volumes
        self._events = events
        self._own_node = own_node
        self._clock = clock
        self._sleep = sleep

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
                await self._sleep(pause_seconds)
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

    async def refresh(self, volumes: PodVolumes, requests: PodRequests, volume: Volume) -> None:
        """Publish a live volume once more, and let it grow, where it is one that `changes` and it is time for an attempt."""
        progress = volumes.progress.setdefault(volume.name, Progress(name=volume.name))
        if progress.not_before > self._clock():
            return
        try:
            known = volumes.published[volume.name]
            # the declaration may have changed, by a resize in place
            known = replace(known, source=replace(known.source, volume=volume))
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
            progress.phase = Phase.ATTACH
            await plugin.attach(request)
        async with self._guard(plugin, source, capabilities):
            if capabilities.stage:
                progress.phase = Phase.STAGE
                await plugin.stage(request)
            progress.phase = Phase.PUBLISH
            mounted = await _publish(plugin, request)
            await _expand(plugin, request, capabilities, progress)
        self._tell_mapped(requests.pod, source, mounted)
        return Published(plugin=plugin, source=source, mounted=mounted)

    async def _hold(
        self, plugin: VolumePlugin, request: VolumeRequest, capabilities: Capabilities, progress: Progress
    ) -> None:
        """From the first moment on the node says that it needs the volume: nobody attaches what nobody asks for."""
        progress.phase = Phase.PUBLISH
        holder = Holder(request.pod.uid, plugin_directory_name(plugin.name), request.directory_name)
        note = Note(volume_id=plugin.volume_id(request.source), attach=capabilities.attach)
        async with self._node_volumes.exclusive(note.volume_id):
            # which pod wants it alone is known only where it can be used in no other way
            if request.source.access_modes == (_ONE_POD,) and await self._node_volumes.held_by_others(holder, note):
                raise VolumeError(f"volume uses the {_ONE_POD} access mode and is already in use by another pod")
            await self._node_volumes.hold(holder, note)

    async def _refresh_once(self, requests: PodRequests, published: Published, progress: Progress) -> Published:
        plugin, source, mounted = published.plugin, published.source, published.mounted
        capabilities = published.capabilities
        if capabilities.expand:
            progress.phase = Phase.RESOLVE
            source = await self._resolve(requests.pod, source.volume)  # its claim may have grown
        request = requests.of(source)
        async with self._guard(plugin, source, capabilities):
            if capabilities.republish:
                progress.phase = Phase.PUBLISH
                mounted = await _publish(plugin, request)
            await _expand(plugin, request, capabilities, progress)
        return Published(plugin=plugin, source=source, mounted=mounted)

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


def check_affinity(source: VolumeSource, node: Node | None) -> None:
    """Raises VolumeError where the PersistentVolume is not to be had on this node, or that is not known."""
    spec = source.persistent_volume.spec if source.persistent_volume is not None else None
    required = spec.nodeAffinity.required if spec is not None and spec.nodeAffinity is not None else None
    if required is None:
        return
    if node is None or node.metadata is None:
        raise VolumeError("the labels of this node are not known yet")
    if not selects_node(required, node.metadata.name or "", node.metadata.labels or {}):
        raise VolumeError("no matching NodeSelectorTerms")


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


async def _expand(plugin: VolumePlugin, request: VolumeRequest, capabilities: Capabilities, progress: Progress) -> None:
    if capabilities.expand and request.source.expand_to_bytes is not None:
        progress.phase = Phase.EXPAND
        await plugin.expand(request)
