"""nodeagent.pods.steps.image_volumes: images that are mounted, pulled once for all containers of a sync."""

import asyncio
from typing import Any

import pytest

from nodeagent.images.manager import ImageFailure
from nodeagent.pods.steps.image_volumes import ImageVolumes
from proto import cri_pb2 as cri

VOLUMES = [
    {"name": "data", "image": {"reference": "data:1"}},
    {"name": "tools", "image": {"reference": "tools:1"}},
    {"name": "scratch", "emptyDir": {}},
]


def mounting(name: str, *volumes: str) -> dict[str, Any]:
    return {"name": name, "volumeMounts": [{"name": volume, "mountPath": f"/{volume}"} for volume in volumes]}


async def test_every_image_is_pulled_once(kit: Any, world: Any) -> None:
    """Whoever mounts it; a container gets those that it mounts, by the volume's name, and nothing of other volumes."""
    pod = kit.pod([mounting("a", "data", "scratch"), mounting("b", "data", "tools"), "c"], volumes=VOLUMES)
    volumes = ImageVolumes(world, pod, world.runtime)
    found = [await volumes.of(container) for container in pod.spec.containers]
    data, tools = (cri.ImageSpec(image=f"ref of {name}") for name in ("data", "tools"))
    assert found == [{"data": data}, {"data": data, "tools": tools}, {}]
    assert sorted(world.diary) == ["image of volume data", "image of volume tools"]
    await volumes.close()


async def test_a_failed_pull_is_of_those_that_mount_it(kit: Any, world: Any) -> None:
    """The others go on."""
    world.faults["image of volume data"] = ImageFailure("ErrImagePull", "no such image")
    pod = kit.pod([mounting("a", "data"), mounting("b", "tools")], volumes=VOLUMES)
    volumes = ImageVolumes(world, pod, world.runtime)
    one, other = pod.spec.containers
    with pytest.raises(ImageFailure, match="no such image"):
        await volumes.of(one)
    assert list(await volumes.of(other)) == ["tools"]
    await volumes.close()


async def test_a_container_that_is_given_up_takes_no_volume_along(kit: Any, world: Any) -> None:
    """The pull goes on for the others; what nobody needs any more ends with the sync."""
    gate = world.gates["image of volume data"] = asyncio.Event()
    pod = kit.pod([mounting("a", "data"), mounting("b", "data")], volumes=VOLUMES[:1])
    volumes = ImageVolumes(world, pod, world.runtime)
    one, other = (asyncio.create_task(volumes.of(container)) for container in pod.spec.containers)
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    gate.set()
    assert list(await other) == ["data"]
    await volumes.close()
    world.gates["image of volume data"] = asyncio.Event()
    unneeded = ImageVolumes(world, pod, world.runtime)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await unneeded.close()
    assert world.diary[-1] == "image of volume data cancelled"
