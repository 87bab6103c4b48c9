"""nodeagent.pods.steps.containers: what a container is made from, and what its creation waits for."""

import asyncio
from typing import Any

import pytest

from nodeagent.images.manager import EnsuredImage
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.containers import ContainersStep
from nodeagent.pods.steps.contract import ContainerImages, StartError, SyncPass
from proto import cri_pb2 as cri
from runtimes.errors import Internal, WrongState


async def sandboxed(world: Any, pod: Any, *names: str) -> SyncPass:
    """A pass whose sandbox is there, and its images, but not its network."""
    work: SyncPass = world.work(pod, start=names)
    await world.below.run(work)
    answer = await world.service.run_pod_sandbox(
        cri.RunPodSandboxRequest(config=world.sandbox(pod, attempt=0, cgroup_parent="/pod"))
    )
    work.sandbox_id.set(answer.pod_sandbox_id)
    for name in names:
        work.images[name].set(ContainerImages(EnsuredImage(image_ref=f"ref of {name}", image=cri.Image())))
    world.diary.clear()
    return work


def step(world: Any) -> ContainersStep:
    return ContainersStep(world, world, world.paths)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


ASKS_FOR_IP = {"name": "d", "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}


async def test_only_who_asks_for_the_pods_address_waits_for_it(kit: Any, world: Any) -> None:
    """The others are created while the network comes up; whoever waits gets the address."""
    pod = kit.pod(["c", ASKS_FOR_IP])
    work = await sandboxed(world, pod, "c", "d")
    task = asyncio.create_task(step(world).run(work))
    await settle()
    assert world.diary == ["configuration of c", "create c", "Created"]
    work.pod_ips.set(("10.0.0.7",))
    await task
    assert world.diary[3:] == ["configuration of d", "create d", "Created"]
    assert {name: request.pod_ips for name, request in world.requests.items()} == {"c": (), "d": ("10.0.0.7",)}
    assert world.requests["c"].image.image_ref == "ref of c"
    assert (world.paths.log_dir("ns", "web", work.uid) / "c").is_dir()


async def test_it_waits_for_images_volumes_and_sandbox(kit: Any, world: Any) -> None:
    """Nothing is asked of the runtime before all are there."""
    work = world.work(kit.pod(["c"]), start=["c"])
    task = asyncio.create_task(step(world).run(work))
    await settle()
    assert world.diary == []
    work.withhold(["mounts"])
    work.images["c"].set(ContainerImages(EnsuredImage(image_ref="r", image=cri.Image())))
    await task
    with pytest.raises(NotProvided):
        await work.created["c"].get()


async def test_a_failed_creation_is_its_containers_own(kit: Any, world: Any) -> None:
    """Who waits for the container hears why, at once; another one is created meanwhile."""
    pod = kit.pod(["c", "d"])
    work = await sandboxed(world, pod, "c", "d")
    work.pod_ips.set(("10.0.0.7",))
    world.faults["create c"] = WrongState("no such image")
    await step(world).run(work)
    with pytest.raises(StartError) as caught:
        await work.created["c"].get()
    assert (caught.value.failure.reason, caught.value.failure.message) == ("CreateContainerError", "no such image")
    assert await work.created["d"].get()


async def test_a_creation_that_fails_with_its_sandbox_is_no_failure_of_its_own(kit: Any, world: Any) -> None:
    """The sandbox step tells what happened."""
    work = await sandboxed(world, kit.pod(["c"]), "c")
    world.faults["create c"] = Internal("no such sandbox")
    task = asyncio.create_task(step(world).run(work))
    await settle()
    work.withhold(["pod_ips"])
    await task
    with pytest.raises(NotProvided):
        await work.created["c"].get()


async def test_a_mistake_of_ours_is_the_steps_error(kit: Any, world: Any) -> None:
    """It is raised when the other containers have been created; nobody waits for its container until then."""
    pod = kit.pod(["c", "d"])
    work = await sandboxed(world, pod, "c", "d")
    world.faults["configuration of c"] = KeyError("uid")
    world.gates["create d"] = asyncio.Event()
    task = asyncio.create_task(step(world).run(work))
    with pytest.raises(NotProvided):
        await work.created["c"].get()
    assert not task.done()
    world.gates["create d"].set()
    with pytest.raises(KeyError):
        await task
    assert work.created["d"].ready
