"""Fixtures: a node that leads Services to its pods."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from node_fixtures import demo_image, own_node, started_node
from node_under_test import NodeUnderTest

__all__ = ["demo_image", "node", "own_node"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """One node for the tests of a file."""
    yield from started_node(tmp_path_factory.mktemp("services"), demo_image, services={"enabled": True})
