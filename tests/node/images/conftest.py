"""A store on this machine's disk, a real registry, and images made by hand."""

import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hand_made_images import make_layer
from registry_under_test import Registry, running_registry

from runtimes.oci.images.skopeo import SkopeoSettings
from runtimes.oci.images.store import DiskImageStore, StoreSettings
from runtimes.testing import images


@pytest.fixture
def layer() -> Callable[..., bytes]:
    """layer(entry, ...) -> a plain tar."""
    return make_layer


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """`build`, `write_archive`."""
    return images


@pytest.fixture(scope="session")
def demo(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo image's archive and its id."""
    path = tmp_path_factory.mktemp("demo") / "demo.tar"
    return path, builder.build(path)


@pytest.fixture
def image(builder: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """image(layer, ...) -> an OCI archive."""

    def make(*layers: bytes, tag: str = "localhost/test:1", **more: Any) -> Path:
        path = tmp_path / f"image-{hashlib.sha256(repr((layers, tag, more)).encode()).hexdigest()[:12]}.tar"
        builder.write_archive(path, layers, tag=tag, config=more.pop("config", {}), **more)
        return path

    return make


def mounts_below(path: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    found = [line.split()[4].replace("\\040", " ") for line in lines]
    return [mount for mount in found if mount.startswith(f"{path}/")]


@pytest.fixture(autouse=True)
def nothing_left_mounted(tmp_path: Path) -> Iterator[None]:
    """A test that leaves a mount behind fails."""
    yield
    left = mounts_below(tmp_path)
    for mount in reversed(left):
        subprocess.run(["umount", "-l", mount], check=False)
    assert left == []


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """await open_store(**SkopeoSettings) -> a started store; all calls open the same folder."""
    stores: list[DiskImageStore] = []

    async def make(*, python: str = sys.executable, root: Path | None = None, **skopeo: Any) -> DiskImageStore:
        settings = StoreSettings(python=python, skopeo=SkopeoSettings(**skopeo))
        store = DiskImageStore(root or tmp_path / "store", settings)
        await store.start()
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.stop()


@pytest.fixture
async def store(open_store: Callable[..., Any]) -> DiskImageStore:
    return await open_store()  # type: ignore[no-any-return]


@pytest.fixture
def leftovers() -> Callable[[Path], set[str]]:
    """leftovers(root) -> what lies in a store besides complete images: nothing, once it is at rest."""
    return find_leftovers


def find_leftovers(root: Path) -> set[str]:
    names: set[str] = set()
    for record in (root / "records").glob("*.json"):
        document = json.loads(record.read_text())
        names |= {document["id"], document["manifest_digest"], *document["layers"]}
    known = {name.partition(":")[2] for name in names}
    folders = ("blobs/sha256", "blobs/sha512", "unpacked", "tmp", "holds")
    return {f"{folder}/{p.name}" for folder in folders for p in (root / folder).iterdir() if p.name not in known}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """An open registry on this machine, plain HTTP."""
    with running_registry(tmp_path_factory.mktemp("registry") / "r") as running:
        yield running


@pytest.fixture(scope="module")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks for USER and PASSWORD, over TLS with a certificate of its own CA."""
    with running_registry(tmp_path_factory.mktemp("registry") / "r", auth=True, tls=True) as running:
        yield running


@pytest.fixture
def wrapped(tmp_path: Path) -> Callable[..., tuple[str, Path]]:
    """wrapped("skopeo", body) -> (program, log): a program that notes its arguments, does `body`, becomes the real one."""

    def make(program: str, body: str = "") -> tuple[str, Path]:
        log, script = tmp_path / f"{program}.log", tmp_path / program
        real = sys.executable if program == "python" else program
        script.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{body}\nexec {real} "$@"\n')
        script.chmod(0o755)
        log.touch()
        return str(script), log

    return make
