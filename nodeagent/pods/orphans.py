"""What belongs to no pod: sandboxes, cgroups, volumes and folders of pods that nobody wants any more.

A pass runs when the agent has heard from every source, when a pod has gone, and now and then: a pod that was deleted while
the agent was away is found here.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from lightkube.models.core_v1 import Pod
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.errors import leaves
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import API, AgentPod, PodUID
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

PERIOD_SECONDS = 60.0
SETTLE_SECONDS = 1.0  # pods go in crowds, and a pass looks at all that there is
GRACE_SECONDS = 1  # the kubelet's for pods it does not know; containers get the floor of 2


class PodTeardown(Protocol):
    """Takes down what is left of a pod (`steps.engine.StepEngine`). Raises ExceptionGroup of what stays."""

    async def stop(self, teardown: Teardown) -> None: ...

    async def give_back(self, teardown: Teardown) -> None: ...

    async def release(self, teardown: Teardown) -> None: ...


class CgroupList(Protocol):
    async def list(self) -> Collection[str]:
        """UIDs of the pods that have a cgroup."""
        ...


class OrphanCollector:
    """Finds UIDs that are on the node and not known, and takes each down like a pod that ends."""

    def __init__(
        self,
        *,
        engine: PodTeardown,
        runtimes: Callable[[], tuple[Runtime, ...]],
        cgroups: CgroupList,
        paths: PodPaths,
        known: Callable[[], Collection[str]],
        ready: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._runtimes = runtimes
        self._cgroups = cgroups
        self._paths = paths
        self._known = known
        self._ready = ready
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled. Nothing is touched before every source has told what it wants."""
        while True:
            try:
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._woken.wait()
                    await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                pass
            self._woken.clear()
            if self._ready():
                await self.collect()

    async def collect(self) -> None:
        """One pass. What fails is logged and left for the next one."""
        # A pod that goes, or comes, while the node is looked at is known before or after.
        known = set(self._known())
        found = await self._found()
        known.update(self._known())
        orphans = {uid: pod for uid, pod in found.items() if uid not in known}
        if orphans:
            await asyncio.gather(*(self._take_down(uid, pod) for uid, pod in orphans.items()))

    async def _found(self) -> dict[str, AgentPod]:
        """UID -> as much of the pod as is still known."""
        found: dict[str, AgentPod] = {}
        for runtime in self._runtimes():
            try:
                answer = await runtime.service.list_pod_sandbox(cri.ListPodSandboxRequest())
            except RuntimeFault as error:
                log.warning("runtime %s: cannot list sandboxes: %s", runtime.handler, error)
                continue
            for sandbox in answer.items:
                uid = sandbox.labels.get(LABEL_POD_UID)
                if uid:
                    found[uid] = _remains(uid, sandbox.metadata.namespace, sandbox.metadata.name)
        # of a pod whose sandbox is gone already, the log folder alone still tells the name
        for namespace, name, uid in await asyncio.to_thread(_log_folders, self._paths.pod_logs_dir):
            found.setdefault(uid, _remains(uid, namespace, name))
        for uid in await self._cgroups.list():
            found.setdefault(uid, _remains(uid))
        for uid in await asyncio.to_thread(_folders, self._paths.pods_dir):
            found.setdefault(uid, _remains(uid))
        return found

    async def _take_down(self, uid: str, pod: AgentPod) -> None:
        log.info("removing what is left of unknown pod %s/%s (%s)", pod.namespace, pod.name, uid)
        teardown = Teardown(
            pod=pod, uid=PodUID(uid), grace_seconds=GRACE_SECONDS, runtimes=self._runtimes(), keep_records=False
        )
        try:
            await self._engine.stop(teardown)
            await self._engine.give_back(teardown)
            await self._engine.release(teardown)
        except* Exception as group:
            for error in leaves(group):
                log.warning('orphaned pod "%s" found, but %s', uid, error)


def _remains(uid: str, namespace: str = "", name: str = "") -> AgentPod:
    return AgentPod.of(Pod(metadata=ObjectMeta(uid=uid, namespace=namespace, name=name)), API)


def _folders(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except FileNotFoundError:
        return []


def _log_folders(directory: Path) -> list[tuple[str, str, str]]:
    """(namespace, name, UID) of the pods that have a log folder."""
    parts = (folder.split("_") for folder in _folders(directory))
    return [(part[0], part[1], part[2]) for part in parts if len(part) == 3 and all(part)]
