"""A disk that is too small."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimes.errors import ResourceExhausted

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
