"""One API and one driver for the tests of a file; nothing of either may be left."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import ApiServer
from csi_driver import DriverProcess
from node_fixtures import demo_image

__all__ = ["demo_image"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    made = ApiServer(tmp_path_factory.mktemp("api") / "state")
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def driver() -> Iterator[DriverProcess]:
    made = DriverProcess(Path(tempfile.mkdtemp(prefix="csis-")), "--capacity=10Gi")
    asyncio.run(made.start())
    yield made
    assert made.clear() == []
