"""Fixtures of whole nodes, for a folder's conftest.py to import: the demo image, a node a file, nodes for one test."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import DEMO_IMAGE, REPO, NodeUnderTest, import_image, make_node


@pytest.fixture(scope="session")
def demo_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo image as an archive."""
    path = tmp_path_factory.mktemp("image") / "demo.tar"
    subprocess.run([str(REPO / "hack" / "demo-image"), str(path), "--tag", DEMO_IMAGE], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """One node for the tests of a file, with the demo image in its store."""
    yield from started_node(tmp_path_factory.mktemp("node"), demo_image)


def started_node(folder: Path, image: Path, **config: Any) -> Iterator[NodeUnderTest]:
    """A node that is up until the test, or the file, is done; then it is taken down, and a leak fails."""
    made = make_node(folder, **config)
    made.directory.mkdir()
    import_image(made, image)
    try:
        made.start()
        yield made
    finally:
        made.clean()


@pytest.fixture
def own_node(tmp_path: Path, demo_image: Path) -> Iterator[Callable[..., NodeUnderTest]]:
    """Makes nodes that only one test uses, with a configuration of its own; started by the test."""
    nodes: list[NodeUnderTest] = []

    def make(**config: Any) -> NodeUnderTest:
        made = make_node(tmp_path, **config)
        made.directory.mkdir()
        import_image(made, demo_image)
        nodes.append(made)
        return made

    yield make
    for made in nodes:
        made.clean()
