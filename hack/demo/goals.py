"""What each pod of examples/hello.yaml has to reach, and the watch that sees them get there."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

from lightkube.models.core_v1 import Pod

from nodeagent.api.client import ApiClient
from nodeagent.api.kubeconfig import load
from nodeagent.api.wire import EventType
from nodeagent.cli.pod_row import PodRow, pod_row


def _is_ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in (pod.status.conditions if pod.status else None) or [])


def _succeeded(pod: Pod) -> bool:
    return pod.status is not None and pod.status.phase == "Succeeded"


def _killed_and_back(pod: Pod) -> bool:
    for status in (pod.status.containerStatuses if pod.status else None) or []:
        last = status.lastState.terminated if status.lastState else None
        if last is not None and last.reason == "OOMKilled" and status.restartCount > 0 and status.ready:
            return True
    return False


GOALS: Mapping[str, tuple[str, Callable[[Pod], bool]]] = {
    "server": ("serves its page", _is_ready),
    "client": ("has fetched the page", _succeeded),
    "hungry": ("was OOM-killed and runs again", _killed_and_back),
}


class Watch:
    """The demo's pods as the API shows them; `changed` is called at every change."""

    def __init__(self, kubeconfig: Path, changed: Callable[["Watch"], None]) -> None:
        self._kubeconfig = kubeconfig
        self._changed = changed
        self.pods: dict[str, Pod] = {}

    @property
    def missing(self) -> list[str]:
        """The pods that have not reached their goal."""
        return [name for name, (_, reached) in GOALS.items() if name not in self.pods or not reached(self.pods[name])]

    def rows(self) -> list[PodRow]:
        now = datetime.now(UTC)
        return [pod_row(self.pods[name], now) for name in GOALS if name in self.pods]

    async def until_reached(self) -> None:
        """Return when every pod has reached its goal. Raises ApiError."""
        async with ApiClient(load(self._kubeconfig)) as client:
            while self.missing:
                listed = await client.list(Pod, "default")
                self.pods = {}
                for pod in listed.items:
                    self._note(pod)
                self._changed(self)
                if self.missing:
                    await self._follow(client, listed.resource_version)

    async def _follow(self, client: ApiClient, resource_version: str) -> None:
        async with aclosing(client.watch(Pod, "default", resource_version=resource_version)) as events:
            async for event in events:
                if event.type in (EventType.ADDED, EventType.MODIFIED) and event.object is not None:
                    self._note(event.object)
                    self._changed(self)
                if not self.missing:
                    return

    def _note(self, pod: Pod) -> None:
        if pod.metadata is not None and pod.metadata.name in GOALS:
            self.pods[pod.metadata.name] = pod


async def reached_within(watch: Watch, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await watch.until_reached()
    except TimeoutError:
        return False
    return True
