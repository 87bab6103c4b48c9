"""nodeagent.pods.steps.images, image_volumes: what containers are made from is brought side by side."""

import asyncio
from typing import Any

import pytest

from nodeagent.images.manager import ImageFailure
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.contract import StartError
from nodeagent.pods.steps.images import ImagesStep

VOLUME = {"name": "v", "image": {"reference": "tools:1"}}
MOUNTS = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_slow_pull_holds_up_no_other(kit: Any, world: Any) -> None:
    """Each container has its image as soon as it is there."""
    work = world.work(kit.pod(["c", "d"]), start=["c", "d"])
    world.gates["image of c"] = asyncio.Event()
    task = asyncio.create_task(ImagesStep(world).run(work))
    assert (await work.images["d"].get()).image.image_ref == "ref of busybox"
    assert not work.images["c"].ready
    world.gates["image of c"].set()
    await task
    assert (await work.images["c"].get()).volumes == {}


async def test_a_volumes_image_is_pulled_once(kit: Any, world: Any) -> None:
    """For all containers that mount it; one that mounts none does not wait for it."""
    pod = kit.pod([{"name": "c", **MOUNTS}, {"name": "d", **MOUNTS}, "e"], volumes=[VOLUME])
    work = world.work(pod, start=["c", "d", "e"])
    world.gates["image of volume v"] = asyncio.Event()
    task = asyncio.create_task(ImagesStep(world).run(work))
    assert (await work.images["e"].get()).volumes == {}
    world.gates["image of volume v"].set()
    await task
    assert world.diary.count("image of volume v") == 1
    for name in ("c", "d"):
        assert (await work.images[name].get()).volumes["v"].image == "ref of v"


async def test_a_failed_pull_is_its_containers_failure(kit: Any, world: Any) -> None:
    """Of its image, or of a volume's: with the reason for the status, and without an error of the step."""
    pod = kit.pod(["c", {"name": "d", **MOUNTS}, "e"], volumes=[VOLUME])
    work = world.work(pod, start=["c", "d", "e"])
    world.faults["image of c"] = ImageFailure("ImagePullBackOff", "wait", retry_after_seconds=40.0)
    world.faults["image of volume v"] = ImageFailure("ErrImagePull", "no such image")
    await ImagesStep(world).run(work)
    found = {}
    for name in ("c", "d"):
        with pytest.raises(StartError) as caught:
            await work.images[name].get()
        error = caught.value
        found[name] = (error.failure.reason, error.failure.message, error.event_text, error.retry_seconds)
    assert found == {
        "c": ("ImagePullBackOff", "wait", "ImagePullBackOff", 40.0),
        "d": ("ErrImagePull", "no such image", "ErrImagePull", 1.0),
    }
    assert work.images["e"].ready


async def test_no_pull_outlives_the_pass(kit: Any, world: Any) -> None:
    """A volume's image that no starting container mounts is given up at the end, all of them when the pass is."""
    pod = kit.pod(["c", {"name": "d", **MOUNTS}], volumes=[VOLUME])
    work = world.work(pod, start=["c"])
    world.gates["image of volume v"] = asyncio.Event()
    await ImagesStep(world).run(work)
    assert world.diary == ["image of volume v", "image of c", "image of volume v cancelled"]
    world.diary.clear()
    world.gates["image of c"] = asyncio.Event()
    work = world.work(pod, start=["c"])
    task = asyncio.create_task(ImagesStep(world).run(work))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.diary[2:] == ["image of c cancelled", "image of volume v cancelled"]
    with pytest.raises(NotProvided):
        await work.images["c"].get()


async def test_nothing_is_pulled_for_a_pass_that_starts_nothing(kit: Any, world: Any) -> None:
    """Not even the volumes' images."""
    await ImagesStep(world).run(world.work(kit.pod(["c"], volumes=[VOLUME])))
    assert world.diary == []
