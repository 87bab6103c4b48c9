"""The conformance suite of container runtimes, on this package's type.

pip install -e '.[test]'
sudo .venv/bin/python -m pytest
"""

import shutil
from pathlib import Path

import pytest

from runtimes.testing.implementation import Implementation
from runtimes.testing.suite import *


def settings(folder: Path) -> dict[str, object]:
    """What stands under `runtimes.x` in the agent's configuration; `folder` is one test's own."""
    return {"path": shutil.which("runc"), "options": {"file": str(folder / "calls.jsonl")}}


@pytest.fixture
def runtime_implementation() -> Implementation:
    exceptions = {
        "privileged by the sandbox": "the engine's sandboxes are no processes that could be privileged or not"
    }
    return Implementation(name="traced", type="traced", settings=settings, exceptions=exceptions)
