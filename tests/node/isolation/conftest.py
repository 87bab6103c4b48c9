"""The probe program, compiled once for all of them."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def probe_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probe")
