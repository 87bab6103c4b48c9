"""Fixtures: whole nodes with the demo image in their stores, disks that claims lead to, a CSI driver."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from csi_site import Site, made_site
from node_fixtures import demo_image, own_node, started_node
from node_under_test import NodeUnderTest
from volume_objects import Storage

__all__ = ["demo_image", "own_node"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """One node for the tests of a file, whose figures of volumes are fresh."""
    yield from started_node(tmp_path_factory.mktemp("node"), demo_image, kubelet={"volumeStatsAggPeriod": "1s"})


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    made = Storage(tmp_path_factory.mktemp("storage"))
    with made.disks:
        yield made


@pytest.fixture(scope="module")
def site(node: NodeUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The node with the reference driver, registered."""
    yield from made_site(node, tmp_path_factory.mktemp("d"))


@pytest.fixture(autouse=True)
def fair(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test begins with a driver without faults, and leaves no pod."""
    site: Site | None = request.getfixturevalue("site") if "site" in request.fixturenames else None
    if site is not None:
        site.front.honest()
        site.front.calls.clear()
        site.csi_driver()
    yield
    if site is not None:
        site.delete_pods()
