"""nodeagent.pods.steps.volumes, user_namespace: what is held for a pod, and given back."""

from collections.abc import Mapping
from typing import Any

import pytest

from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.contract import StepError
from nodeagent.pods.steps.engine import StepEngine
from nodeagent.pods.steps.user_namespace import UserNamespaceStep
from nodeagent.pods.steps.volumes import VolumesStep
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.volumes.contract import MountedVolume
from nodeagent.volumes.manager import MountFailed


class Held:
    """Plays the volume manager and the ranges of ids."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.failure: MountFailed | None = None

    async def mount(self, pod: AgentPod) -> Mapping[str, MountedVolume]:
        self.diary.append("mount")
        if self.failure is not None:
            raise self.failure
        return {}

    async def unmount(self, uid: str) -> None:
        self.diary.append(f"unmount {uid}")

    def release(self, uid: PodUID) -> None:
        self.diary.append(f"release ids of {uid}")


async def test_volumes_are_mounted_and_unmounted(kit: Any, world: Any) -> None:
    """The containers' steps get them; the range of ids is given back first, as nothing of the pod runs any more."""
    held = Held()
    work = world.work(kit.pod())
    engine = StepEngine([VolumesStep(held), UserNamespaceStep(held)])
    assert await engine.carry_out(work) == []
    assert await work.mounts.get() == {}
    await engine.stop(world.teardown(kit.pod()))
    await engine.release(world.teardown(kit.pod()))
    assert held.diary == ["mount", "release ids of uid-1", "unmount uid-1"]


@pytest.mark.parametrize(("worthy", "reason"), [(True, "FailedMount"), (False, "")])
async def test_what_cannot_be_mounted_is_told_once(kit: Any, world: Any, worthy: bool, reason: str) -> None:
    """By an event, unless the volume manager has sent its own; nobody gets any volume."""
    held = Held()
    held.failure = MountFailed(["v"], [], ["v"], "no such secret", event_worthy=worthy)
    work = world.work(kit.pod())
    (error,) = await StepEngine([VolumesStep(held)]).carry_out(work)
    assert isinstance(error, StepError)
    assert (str(error), error.event_reason) == (str(held.failure), reason)
    with pytest.raises(NotProvided):
        await work.mounts.get()


async def test_a_node_that_is_full_rejects_the_pod(kit: Any, world: Any) -> None:
    """In a kubelet's words: whoever made the pod makes another, which is sent elsewhere."""
    held = Held()
    held.failure = MountFailed(["v"], ["v"], [], "timed out", event_worthy=False, node_full="too many disks")
    (error,) = await StepEngine([VolumesStep(held)]).carry_out(world.work(kit.pod()))
    assert isinstance(error, StepError)
    assert error.rejection == "VolumeAttachmentLimitExceeded"
    assert str(error) == "Node has reached its volume attachment limit, rejecting pod. too many disks"
