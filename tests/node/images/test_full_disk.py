"""A disk that is too small."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_made_images import OCILayout, named

from runtimes.errors import ResourceExhausted
from runtimes.oci.images.platforms import this_host

pytestmark = pytest.mark.node


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


@pytest.mark.parametrize("size", ["512k", "1300k", "2400k", "2900k"])
async def test_full(
    open_store: Any,
    registry: Any,
    demo: tuple[Path, str],
    small_disk: Path,
    leftovers: Callable[[Path], set[str]],
    size: str,
) -> None:
    """When the disk fills up, at whichever step, the error says so, nothing stays behind, and with more room it works."""
    resize(small_disk, size)
    reference = registry.push(demo[0], "full:1")
    store = await open_store(root=small_disk / "store")
    for attempt in (lambda: store.pull(reference), lambda: store.import_archive(demo[0])):
        with pytest.raises(ResourceExhausted, match=r"[Nn]o space left on device"):
            await attempt()
        await store.stop()
        assert leftovers(small_disk / "store") == set()
    resize(small_disk, "16m")
    assert (await store.pull(reference)).id == demo[1]


async def test_bomb(
    open_store: Any,
    small_disk: Path,
    leftovers: Callable[[Path], set[str]],
    layer: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    """A few bytes of zstd that become more than the disk has are refused before anything of them is written."""
    made = OCILayout()
    image = made.image(
        (layer(("file", "zeros", "0" * 50_000_000)), "zstd"), platform=f"linux/{this_host().architecture}"
    )
    archive = made.write(tmp_path / "bomb.tar", named(image, short="localhost/bomb:1"))
    assert archive.stat().st_size < 100_000
    store = await open_store(root=small_disk / "store")
    with pytest.raises(
        ResourceExhausted, match=r"needs more than the \d+ bytes that are free: no space left on device"
    ):
        await store.import_archive(archive)
    await store.stop()
    assert leftovers(small_disk / "store") == set()
