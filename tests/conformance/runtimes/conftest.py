"""The runtimes that the project brings, one after the other in the fixture `runtime_implementation` of the suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from built_in_runtimes import containerd_at, hollow, oci, served_at
from components import require
from containerd_under_test import Containerd, containerd
from served_runtime import Served, served_place

from runtimes.testing.implementation import Implementation

OCI_RUNTIMES = ("crun", "runc", "runsc")
SHARING_A_STORE = ("crun", "runsc")  # the engine's, which is runc's as well
# What crosses the socket, and what the server itself sets up; what a container finds inside is the engine's, met with runc.
OF_THE_SERVER = ("test_lifecycle", "test_requests", "test_streams", "test_images", "test_network", "test_namespaces")


@pytest.fixture(params=[*OCI_RUNTIMES, "containerd", "serve", "hollow"])
def runtime_implementation(request: pytest.FixtureRequest) -> Implementation:
    if request.param == "containerd":
        daemon: Containerd = request.getfixturevalue("containerd_daemon")
        return containerd_at(daemon.endpoint)
    if request.param == "serve":
        place: Served = request.getfixturevalue("served")
        return served_at(place.endpoint)
    return hollow() if request.param == "hollow" else oci(request.param)


@pytest.fixture(scope="session")
def containerd_daemon(image_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """One daemon for all tests of a worker, with the suite's image; its bridge and subnet are its own."""
    require("containerd")
    with containerd(tmp_path_factory.mktemp("c"), image_archive) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """One server for all tests of a worker."""
    require("runc")
    with served_place() as place:
        place.start("--writable")
        yield place


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _is_known(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _is_known(item: pytest.Item) -> bool:
    """Whether a case would meet again what another runtime's has met."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    name = item.callspec.params.get("runtime_implementation")
    if name == "serve":
        return item.function.__module__.rpartition(".")[2] not in OF_THE_SERVER
    return name in SHARING_A_STORE and item.get_closest_marker("image_store") is not None
