"""A handle to the pod manager for the parts that the manager itself is made of.

A watch of a ConfigMap wakes pods, a resize looks at the others, admission ends one for another: all of them are made before
the manager, which needs them. They get this handle, which is opened when there is a manager. Before that there are no pods,
and so nothing to wake or to end.
"""

from collections.abc import Collection, Iterable
from typing import Protocol

from nodeagent.pods.rules.model import Termination
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.sources.merger import PodChange


class Pods(Protocol):
    """What the manager offers; each as `manager.PodManager` says."""

    def apply(self, changes: Iterable[PodChange]) -> None: ...

    def active_pods(self) -> list[AgentPod]: ...

    def known_uids(self) -> Collection[str]: ...

    def wake(self, uid: str) -> None: ...

    def refresh(self, uid: str) -> None: ...

    def resized(self, uid: PodUID) -> None: ...

    async def end(self, pod: AgentPod, termination: Termination) -> None: ...


class _NoPods:
    """Before there is a manager."""

    def apply(self, changes: Iterable[PodChange]) -> None:
        raise AssertionError("the sources run before there is a manager to take their pods")

    def active_pods(self) -> list[AgentPod]:
        return []

    def known_uids(self) -> Collection[str]:
        return ()

    def wake(self, uid: str) -> None:
        return

    def refresh(self, uid: str) -> None:
        return

    def resized(self, uid: PodUID) -> None:
        return

    async def end(self, pod: AgentPod, termination: Termination) -> None:
        return


class ManagerHandle:
    """Passes everything on to the manager."""

    def __init__(self) -> None:
        self._pods: Pods = _NoPods()

    def open(self, pods: Pods) -> None:
        """Once, before any source runs."""
        self._pods = pods

    def apply(self, changes: Iterable[PodChange]) -> None:
        self._pods.apply(changes)

    def active_pods(self) -> list[AgentPod]:
        return self._pods.active_pods()

    def known_uids(self) -> Collection[str]:
        return self._pods.known_uids()

    def wake(self, uid: str) -> None:
        self._pods.wake(uid)

    def refresh(self, uid: str) -> None:
        self._pods.refresh(uid)

    def resized(self, uid: PodUID) -> None:
        self._pods.resized(uid)

    async def end(self, pod: AgentPod, termination: Termination) -> None:
        await self._pods.end(pod, termination)
