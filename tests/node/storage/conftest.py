"""Fixtures: whole nodes with the demo image in their stores, disks that claims lead to, a CSI driver."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from csi_site import Site, made_site
from node_fixtures import demo_image, node, own_node, started_node
from volume_objects import Storage

__all__ = ["demo_image", "node", "own_node"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    made = Storage(tmp_path_factory.mktemp("storage"))
    with made.disks:
        yield made


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Site]:
    """One node with the reference driver for all tests of CSI; its figures of volumes are fresh."""
    nodes = started_node(tmp_path_factory.mktemp("node"), demo_image, kubelet={"volumeStatsAggPeriod": "1s"})
    try:
        yield from made_site(next(nodes), tmp_path_factory.mktemp("d"))
    finally:
        next(nodes, None)  # to its end, which looks for leaks


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
