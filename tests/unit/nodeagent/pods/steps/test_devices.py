"""nodeagent.pods.steps.devices: what containers were given is ready before they are created."""

import asyncio
from typing import Any

import pytest

from nodeagent.images.manager import EnsuredImage
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.contract import ContainerImages, StartError
from nodeagent.pods.steps.devices import DevicesStep
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.contract import Assigned, CannotPrepare
from proto import cri_pb2 as cri


class Resources:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def prepare(self, pod: AgentPod, container: str) -> Assigned:
        self.asked.append(container)
        if container == "broken":
            raise CannotPrepare("the plugin says no")
        return Assigned(cpus=f"cpus of {container}")


async def test_each_container_has_its_own(kit: Any, world: Any) -> None:
    """Asked when the container's image is there; one that cannot be prepared keeps no other from being created."""
    resources = Resources()
    work = world.work(kit.pod(["c", "broken", "late"]), start=["c", "broken", "late"])
    for name in ("c", "broken"):
        work.images[name].set(ContainerImages(EnsuredImage(image_ref="r", image=cri.Image())))
    task = asyncio.create_task(DevicesStep(resources).run(work))
    assert await work.assigned["c"].get() == Assigned(cpus="cpus of c")
    with pytest.raises(StartError) as caught:
        await work.assigned["broken"].get()
    assert (caught.value.failure.reason, caught.value.failure.message) == (
        "CreateContainerConfigError",
        "the plugin says no",
    )
    assert resources.asked == ["c", "broken"]
    work.images["late"].fail()
    await task
    with pytest.raises(NotProvided):
        await work.assigned["late"].get()
    assert resources.asked == ["c", "broken"]
