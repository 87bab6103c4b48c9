"""nodeagent.pods.steps.volumes: what the volume manager says is what the pod's other steps and its owner see."""

from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.pods.rules.model import Desired, Observed, Plan
from nodeagent.pods.steps.contract import Work
from nodeagent.pods.steps.engine import StepError
from nodeagent.pods.steps.volumes import Volumes
from nodeagent.volumes.contract import MountedVolume
from nodeagent.volumes.manager import MountFailed

POD = agent_pod({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}})
MOUNTED = {"v": MountedVolume(host_path=Path("/v"), directory_name="v")}


class Manager:
    def __init__(self, failure: MountFailed | None = None) -> None:
        self._failure = failure
        self.unmounted: list[str] = []

    async def mount(self, pod: Any) -> Any:
        if self._failure is not None:
            raise self._failure
        return MOUNTED

    async def unmount(self, uid: str) -> None:
        self.unmounted.append(uid)


def work() -> Work:
    runtime: Any = None
    return Work(desired=Desired(pod=POD), observed=Observed(sandboxes=(), instances=()), plan=Plan(), runtime=runtime)


async def test_mounts_are_handed_on() -> None:
    """To whoever waits for the slot."""
    manager: Any = Manager()
    found = work()
    await Volumes(manager).run(found)
    assert await found.mounts.get() == MOUNTED


@pytest.mark.parametrize(("event_worthy", "reason"), [(True, "FailedMount"), (False, "")])
async def test_a_failure_is_the_steps(event_worthy: bool, reason: str) -> None:
    """With the manager's text, and as an event only where a kubelet has one."""
    failure = MountFailed(["v"], [], [], "why", event_worthy=event_worthy)
    manager: Any = Manager(failure)
    with pytest.raises(StepError) as caught:
        await Volumes(manager).run(work())
    assert (str(caught.value), caught.value.event_reason) == (str(failure), reason)


async def test_undo_unmounts_by_the_uid() -> None:
    """Whether or not anything was mounted by this agent."""
    manager: Any = Manager()
    ending: Any = type("Ending", (), {"uid": "u"})
    await Volumes(manager).undo(ending)
    assert manager.unmounted == ["u"]
