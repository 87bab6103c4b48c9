"""Fixtures: a node with the reference CSI driver, one a file."""

from collections.abc import Iterator

import pytest
from csi_site import Site, made_site
from node_fixtures import demo_image, node, own_node
from node_under_test import NodeUnderTest

__all__ = ["demo_image", "node", "own_node"]


@pytest.fixture(scope="module")
def site(node: NodeUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from made_site(node, tmp_path_factory.mktemp("d"))


@pytest.fixture(autouse=True)
def fair(request: pytest.FixtureRequest) -> None:
    """Each test begins with a driver without faults, and nothing asked of it."""
    if "site" in request.fixturenames:
        found: Site = request.getfixturevalue("site")
        found.front.faults.clear()
        found.front.change.clear()
        found.front.own.clear()
        found.front.calls.clear()
        found.csi_driver()
