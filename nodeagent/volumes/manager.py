"""Mounts, refreshes and unmounts the volumes of this node's pods.

What is mounted is read from disk, never from a record of the agent: `pods/<uid>/volumes/<plugin>/<name>` names the plugin
and the volume, and notes beside it say which of them pods share (`stage`). In memory are only the back-off of failing volumes
and, to answer fast, what was set up by this process.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from lightkube.models.core_v1 import Volume

from nodeagent.api.events import Events
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes import subpath
from nodeagent.volumes.claims.expander import ClaimStatuses, Expander, Unreported
from nodeagent.volumes.contract import (
    MountedVolume,
    PluginFamily,
    SourceResolver,
    UnsupportedVolume,
    VolumeError,
    VolumePlugin,
    VolumeSource,
    VolumeUsage,
)
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.mounting import Mounter, PodVolumes
from nodeagent.volumes.on_disk import FoundVolume, volumes_of
from nodeagent.volumes.operations import Operation, OperationObserver, timed, unobserved
from nodeagent.volumes.phases import Phase, Progress
from nodeagent.volumes.plugins import Plugins
from nodeagent.volumes.pod_folder import force_clean
from nodeagent.volumes.pod_volumes import PodRequests, used_volumes
from nodeagent.volumes.sources import OwnNode
from nodeagent.volumes.stage import Holder, NodeVolumes
from runtimes.linux.tasks import run_blocking

WAIT_SECONDS = 123.0
_MAX_ERRORS = 10
_UNREPORTED = Unreported()


class MountFailed(VolumeError):
    """Not all volumes of a pod are mounted. The text is that of the pod's event.

    `event_worthy`: a kubelet shows it as an event; after a plain time-out it does not, the volumes' own events tell.
    `node_full`: why there is no room for one of them on this node; empty: that is not it.
    """

    def __init__(
        self,
        unmounted: Iterable[str],
        unattached: Iterable[str],
        unprocessed: Iterable[str],
        cause: str,
        *,
        event_worthy: bool,
        node_full: str = "",
    ) -> None:
        super().__init__(
            f"Unable to attach or mount volumes: unmounted volumes=[{' '.join(unmounted)}], "
            f"unattached volumes=[{' '.join(unattached)}], failed to process volumes=[{' '.join(unprocessed)}]: {cause}"
        )
        self.event_worthy = event_worthy
        self.node_full = node_full


class VolumeManager:
    """One for all pods. Verbs on one pod queue up behind each other; pods and volumes do not wait for each other.

    `in_use_changed`: called when `in_use` may have: controllers wait for it. `observe` hears of mounts and unmounts.
    """

    def __init__(
        self,
        *,
        layout: Layout,
        plugins: Sequence[VolumePlugin],
        events: Events,
        families: Sequence[PluginFamily] = (),
        resolvers: Sequence[SourceResolver] = (),
        own_node: OwnNode = lambda: None,
        in_use_changed: Callable[[], None] = lambda: None,
        claim_statuses: ClaimStatuses = _UNREPORTED,
        wait_seconds: float = WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observe: OperationObserver = unobserved,
    ) -> None:
        self._layout = layout
        self._observe = observe
        self._events = events
        self._plugins = Plugins(plugins, families)
        self._node_volumes = NodeVolumes(layout, in_use_changed)
        self._mounter = Mounter(
            plugins=self._plugins,
            resolvers=resolvers,
            node_volumes=self._node_volumes,
            events=events,
            own_node=own_node,
            expander=Expander(claim_statuses, events, own_node),
            clock=clock,
            sleep=sleep,
            observe=observe,
        )
        self._wait_seconds = wait_seconds
        self._pods: dict[str, PodVolumes] = {}

    async def mount(self, pod: AgentPod) -> Mapping[str, MountedVolume]:
        """Mount every volume that a container of the pod uses; volume name -> where it is.

        Failing volumes are tried again, each with its own back-off, until `wait_seconds` have passed. Image volumes are
        the runtime's and not in the answer. Repeatable; fast when all is mounted. Raises MountFailed.
        """
        volumes = self._pods.setdefault(pod.uid, PodVolumes())
        volumes.pod = pod
        async with volumes.lock:
            wanted = [volume for volume in used_volumes(pod) if volume.image is None]
            missing = [volume for volume in wanted if volume.name not in volumes.published]
            if missing:
                await self._mount_missing(pod, volumes, missing)
            return {volume.name: volumes.published[volume.name].mounted for volume in wanted}

    async def refresh(self, pod: AgentPod, *, anew: bool = False) -> None:
        """Bring the volumes that follow API objects up to date. A failure is an event and leaves the old content.

        `anew`: what they are made from has changed, so those that failed are tried at once.
        """
        volumes = self._pods.get(pod.uid)
        if volumes is None:
            return
        async with volumes.lock:
            published = volumes.published
            due = [
                volume for volume in used_volumes(pod) if volume.name in published and published[volume.name].changes
            ]
            if anew:
                for volume in due:
                    volumes.progress.pop(volume.name, None)
            if due:
                requests = PodRequests(pod)
                await asyncio.gather(*(self._mounter.refresh(volumes, requests, volume) for volume in due))

    async def unmount(self, uid: str) -> None:
        """Take every volume of a pod down that is found on disk. Nothing there is fine.

        Raises ExceptionGroup of what could not be taken down; the rest is.
        """
        volumes = self._pods.setdefault(uid, PodVolumes())
        async with volumes.lock:
            found = await run_blocking(volumes_of, self._layout, uid)
            held = {FoundVolume(each.plugin_directory, each.name) for each in await self._node_volumes.held_by(uid)}
            held -= {FoundVolume(volume.plugin_directory, volume.name) for volume in found}
            outcomes = await asyncio.gather(
                *(self._teardown_one(uid, volume) for volume in (*found, *held)), return_exceptions=True
            )
            errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            volumes.published.clear()  # a refresh that waits for its turn must find nothing to set up
            if errors:
                raise ExceptionGroup(f"volumes could not be unmounted: {'; '.join(map(str, errors))}", errors)
        self._pods.pop(uid, None)

    def mounted(self, uid: str) -> Mapping[str, MountedVolume]:
        """What this process has set up for a pod."""
        volumes = self._pods.get(uid)
        return {name: each.mounted for name, each in volumes.published.items()} if volumes is not None else {}

    def mounted_by_plugin(self) -> Mapping[str, int]:
        """How many volumes of pods each plug-in has up."""
        return Counter(each.plugin.name for volumes in self._pods.values() for each in volumes.published.values())

    def sources(self, uid: str) -> Mapping[str, VolumeSource]:
        """What the volumes that this process has set up for a pod were made of, by volume."""
        volumes = self._pods.get(uid)
        return {name: each.source for name, each in volumes.published.items()} if volumes is not None else {}

    async def usage(
        self, uid: str, wanted: Callable[[VolumeSource], bool] = lambda source: True
    ) -> Mapping[str, VolumeUsage]:
        """By volume of a pod, what is used of it; those that are not measured, or cannot be now, are not in the answer.

        `wanted`: of which volumes it is asked. What is wrong with one, and was not before, is an event.
        """
        if (volumes := self._pods.get(uid)) is None:
            return {}
        published = {name: each for name, each in volumes.published.items() if wanted(each.source)}
        outcomes = await asyncio.gather(
            *(each.plugin.usage(each.mounted) for each in published.values()), return_exceptions=True
        )
        measured = {
            name: replace(found, claim=published[name].claim_name)
            for name, found in zip(published, outcomes, strict=True)
            if isinstance(found, VolumeUsage)
        }
        self._tell_conditions(volumes, measured)
        return measured

    def _tell_conditions(self, volumes: PodVolumes, measured: Mapping[str, VolumeUsage]) -> None:
        for name, usage in measured.items():
            known = volumes.abnormal.pop(name, None)
            if usage.abnormal:
                volumes.abnormal[name] = usage.condition
                if usage.condition != known and volumes.pod is not None:
                    text = f"Volume {name}: {usage.condition}"
                    self._events.event(volumes.pod, "Warning", "VolumeConditionAbnormal", text)

    def in_use(self) -> Sequence[str] | None:
        """The ids of the volumes that a controller is to keep attached, node.status.volumesInUse.

        None until a volume that is shared was mounted, or a pod was unmounted: what was reported before holds.
        """
        return self._node_volumes.in_use()

    async def _mount_missing(self, pod: AgentPod, volumes: PodVolumes, missing: Sequence[Volume]) -> None:
        """Fills `volumes.published`. Raises MountFailed."""
        volumes.hopeless = False
        work: list[Volume] = []
        for volume in missing:
            try:
                self._mounter.check(volume)
            except UnsupportedVolume as error:
                # beside a volume that can never come, the others get one go: the pod's owner has to act anyway
                volumes.progress[volume.name] = Progress(name=volume.name, error=str(error))
                volumes.hopeless = True
            else:
                work.append(volume)
        requests = PodRequests(pod)
        tasks = [asyncio.create_task(self._mounter.mount(volumes, requests, volume)) for volume in work]
        try:
            if tasks:
                done, _ = await asyncio.wait(tasks, timeout=self._wait_seconds, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if left := [volume.name for volume in missing if volume.name not in volumes.published]:
            raise _mount_failed(left, volumes.progress)

    async def _teardown_one(self, uid: str, volume: FoundVolume) -> None:
        if volume.has_subpaths:
            await run_blocking(subpath.clean_up, self._layout, uid, volume.name)
        holder = Holder(uid, volume.plugin_directory, volume.name)
        plugin = self._plugins.of_directory(volume.plugin_directory)
        if plugin is not None:
            with timed(self._observe, plugin.name, Operation.UNMOUNT):
                await plugin.unpublish(uid, volume.name)
                await self._node_volumes.release(holder, plugin)
        elif volume.plugin_directory:
            await run_blocking(force_clean, self._layout, uid, volume)


def _mount_failed(unmounted: Sequence[str], progress: Mapping[str, Progress]) -> MountFailed:
    phases = {name: progress.get(name, Progress(name=name)) for name in unmounted}
    unprocessed = [name for name, each in phases.items() if each.phase is Phase.RESOLVE]
    errors = [phases[name].error for name in unprocessed if phases[name].error]
    return MountFailed(
        unmounted,
        [name for name, each in phases.items() if each.phase is Phase.ATTACH],
        unprocessed,
        "; ".join(errors[-_MAX_ERRORS:]) or "timed out waiting for the condition",
        event_worthy=bool(errors),
        node_full=next((each.error for each in phases.values() if each.node_full), ""),
    )
