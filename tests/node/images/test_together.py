"""Several processes in one store: the agent, its command line, another agent."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes.errors import NotFound
from runtimes.oci.images.store import DiskImageStore

pytestmark = pytest.mark.node


async def test_two_pull_the_same(
    open_store: Any, registry: Any, demo: tuple[Path, str], tmp_path: Path, leftovers: Callable[[Path], set[str]]
) -> None:
    """Two processes that pull one image at once both get it, and it is there once."""
    reference = registry.push(demo[0], "both:1")
    one, two = await open_store(), await open_store()
    records = await asyncio.gather(one.pull(reference), two.pull(reference))
    assert {record.id for record in records} == {demo[1]}
    await one.stop()
    await two.stop()
    assert leftovers(tmp_path / "store") == set()
    assert len(list((tmp_path / "store" / "unpacked").iterdir())) == 1


async def test_import_is_seen(open_store: Any, demo: tuple[Path, str]) -> None:
    """What the command line imports and removes, the running agent sees at once."""
    agent, command = await open_store(), await open_store()
    assert agent.resolve("localhost/demo:1") is None
    await command.import_archive(demo[0])
    assert agent.resolve("localhost/demo:1").id == demo[1]
    await command.remove_image(cri.RemoveImageRequest(image=cri.ImageSpec(image="localhost/demo:1")))
    assert agent.resolve("localhost/demo:1") is None


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_everything_at_once(
    open_store: Any,
    registry: Any,
    image: Callable[..., Path],
    layer: Callable[..., bytes],
    tmp_path: Path,
    leftovers: Callable[[Path], set[str]],
    seed: int,
) -> None:
    """Pulls, imports, removals and containers of several processes at once: no container ever loses a file, nothing stays."""
    dice = random.Random(seed)
    base = layer(*(("file", f"base/{n}", "1") for n in range(20)))
    archives = [image(base, layer(("file", "own", str(n)), ("file", f"x{seed}", "1"))) for n in range(3)]
    references = [registry.push(archive, f"chaos/{seed}-{n}:1") for n, archive in enumerate(archives)]
    stores: list[DiskImageStore] = [await open_store() for _ in range(3)]

    async def user(number: int) -> None:
        for turn in range(6):
            store, which = dice.choice(stores), dice.randrange(3)
            name = references[which]
            verb = dice.choice(["pull", "import", "remove", "run", "run"])
            if verb == "remove":
                await store.remove_image(cri.RemoveImageRequest(image=cri.ImageSpec(image=name)))
                continue
            record = (
                await store.pull(name)
                if verb != "import"
                else (await store.import_archive(archives[which], tag=name))[0]
            )
            if verb == "run":
                directory = tmp_path / f"c-{number}-{turn}"
                try:
                    merged = await store.prepare_rootfs(record.id, directory)
                except NotFound:  # somebody removed it in between
                    continue
                await asyncio.sleep(dice.random() / 20)
                assert (merged / "own").read_text() == str(which)
                assert len(list((merged / "base").iterdir())) == 20
                await dice.choice(stores).remove_rootfs(directory)

    await asyncio.gather(*(user(number) for number in range(6)))
    for store in stores:
        await store.stop()
    await stores[0].start()
    assert leftovers(tmp_path / "store") == set()
