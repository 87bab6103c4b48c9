"""What the cases are given: `runtime_implementation` (plugin.py), started for each, and images."""

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from proto import cri_pb2 as cri
from runtimes.oci.images.store import DiskImageStore
from runtimes.oci.network import CNINetwork, CNISettings
from runtimes.testing import images
from runtimes.testing.host import leaks
from runtimes.testing.implementation import Implementation, started
from runtimes.testing.networks import bridge_network, claim_subnet
from runtimes.testing.registry import Registry
from runtimes.testing.subject import FILES, IMAGE, Subject

CONFIGURATION = {"Env": ["PATH=/bin:/usr/bin", "FROM_IMAGE=yes"]}

__all__ = ["folder", "image_archive", "image_store", "networked", "registry", "runtime"]


@pytest.fixture(scope="session")
def image_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI archive of the image that all cases use: busybox with users and groups of its own."""
    path = tmp_path_factory.mktemp("image") / "image.tar"
    try:
        images.build(path, tag=IMAGE, files=FILES, config=CONFIGURATION)
    except FileNotFoundError as error:
        pytest.skip(f"the suite's image is made of this machine's static busybox: {error}")
    return path


@pytest.fixture(scope="session")
def image_store(image_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine's image store, on disk, with that image in it."""
    root = tmp_path_factory.mktemp("store")

    async def fill() -> None:
        store = DiskImageStore(root)
        await store.start()
        await store.import_archive(image_archive)
        await store.stop()

    asyncio.run(fill())
    return root


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """A registry on this machine, plain HTTP, as every runtime takes it from a loopback address."""
    made = Registry(FILES)
    yield made
    made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the test's own that users other than root may pass, as they may pass /var/lib: pods have such users."""
    path = Path(tempfile.mkdtemp(prefix="natest-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest_asyncio.fixture
async def runtime(
    request: pytest.FixtureRequest, runtime_implementation: Implementation, folder: Path, image_store: Path
) -> AsyncIterator[Subject]:
    """The implementation, started; afterwards nothing of the test may be left on the host."""
    _check(request, runtime_implementation)
    async with started(runtime_implementation, folder, image_store) as subject:
        await _fetch_image(subject, request)
        yield subject
    assert leaks(folder, subject.cgroup_parent) == []


@pytest_asyncio.fixture
async def networked(
    request: pytest.FixtureRequest, runtime_implementation: Implementation, folder: Path, image_store: Path
) -> AsyncIterator[Subject]:
    """As `runtime`, with pods on a bridge that can be reached from the host; those of an endpoint always are."""
    _check(request, runtime_implementation)
    bridge = f"natc{secrets.token_hex(4)}"
    settings = CNISettings(conf_dir=folder / "net.d", bin_dirs=(Path("/usr/lib/cni"),), cache_dir=folder / "cni")
    settings.conf_dir.mkdir()
    (settings.conf_dir / "10-test.conflist").write_text(bridge_network(bridge, claim_subnet(), folder / "ipam"))
    try:
        async with started(runtime_implementation, folder, image_store, CNINetwork(settings)) as subject:
            await _fetch_image(subject, request)
            yield subject
    finally:
        await asyncio.to_thread(subprocess.run, ["ip", "link", "del", bridge], capture_output=True, check=False)
    assert leaks(folder, subject.cgroup_parent) == []


def _check(request: pytest.FixtureRequest, implementation: Implementation) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if reason := implementation.exceptions.get(request.function.__name__):
        pytest.skip(f"{implementation.name}: {reason}")


async def _fetch_image(subject: Subject, request: pytest.FixtureRequest) -> None:
    """A runtime with a store of its own, in which the suite's image is not, pulls it. There it stays."""
    wanted = cri.ImageStatusRequest(image=cri.ImageSpec(image=IMAGE))
    if (await subject.images.image_status(wanted)).HasField("image"):
        return
    registry: Registry = request.getfixturevalue("registry")
    reference, _, _ = registry.push("conformance:1", **CONFIGURATION)
    await subject.images.pull_image(cri.PullImageRequest(image=cri.ImageSpec(image=reference)))
    subject.image_ref = reference
