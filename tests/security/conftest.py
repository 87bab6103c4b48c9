"""A node for each file, with the demo image in its store; nodes of their own for tests that end or configure one."""

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
    """One node for the tests of a file."""
    made = make_node(tmp_path_factory.mktemp("security"))
    made.directory.mkdir()
    import_image(made, demo_image)
    made.start()
    yield made
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
