"""No input may end a reader otherwise than by its own errors, or cost more than it weighs. `hack/fuzz` looks for longer."""

import logging

import pytest

from tests.fuzz import corpus
from tests.fuzz.judge import judge
from tests.fuzz.sampling import short_run
from tests.fuzz.targets import all_targets

TARGETS = all_targets()
SAMPLES = 120


@pytest.mark.parametrize("name", TARGETS)
def test_short_run(name: str) -> None:
    """All that was found once and all seeds, and some inputs that are the same every time, are handled as the reader promises."""
    logging.disable(logging.CRITICAL)
    try:
        finds = [
            found for data in short_run(TARGETS[name], SAMPLES) if (found := judge(TARGETS[name], data)) is not None
        ]
    finally:
        logging.disable(logging.NOTSET)
    assert [(found.kind, found.place, found.text, found.data[:300]) for found in finds] == []


def test_nothing_is_kept_in_vain() -> None:
    """Every folder of seeds and of finds belongs to a target."""
    kept = {folder.name for kind in ("seeds", "found") for folder in (corpus.HERE / kind).iterdir() if folder.is_dir()}
    assert kept - set(TARGETS) == set()
