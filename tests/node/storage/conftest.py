"""Fixtures: whole nodes, with the demo image in their stores, and disks that claims lead to."""

from collections.abc import Iterator

import pytest
from node_fixtures import demo_image, node, own_node
from volume_objects import Storage

__all__ = ["demo_image", "node", "own_node"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    made = Storage(tmp_path_factory.mktemp("storage"))
    with made.disks:
        yield made
