"""A sample of the crash matrix, another one at each run; the whole of it is `hack/crash-matrix`."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_under_test import DEMO_IMAGE, REPO

from tests.crash.cases import all_cases, chosen
from tests.crash.crash_node import make_crash_node
from tests.crash.groups import groups
from tests.crash.lane import Lane

# the time limit is for a failure: what is left of a case then is taken down
pytestmark = [pytest.mark.node, pytest.mark.xdist_group("crash"), pytest.mark.timeout(300)]

SEED = int(os.environ.get("CRASH_SEED", time.time_ns() // 10**9))  # hack/test sets it, once a run
CASES = 24
LEAST = 12  # cases, however slow the machine
BUDGET_SECONDS = 30.0  # on a slow machine the sample is smaller, after these


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    image = tmp_path / "demo.tar"
    subprocess.run([str(REPO / "hack" / "demo-image"), str(image), "--tag", DEMO_IMAGE], check=True, timeout=60)
    node = make_crash_node(tmp_path, image)
    try:
        made = Lane(node, SEED)
        made.start()
        yield made
    finally:
        node.take_down()
    shutil.rmtree(node.directory, ignore_errors=True)


def test_nothing_that_strikes_the_agent_changes_how_a_pod_ends_up(lane: Lane) -> None:
    """Fail, hang, cancel or kill -9 the agent at any step, or take its API away: pods end up the same, nothing is left."""
    known = [case for case in all_cases() if case.scenario != "gvisor"]
    struck = 0
    begin = time.monotonic()
    for group in groups(chosen(known, CASES, SEED)):
        if struck >= LEAST and time.monotonic() - begin > BUDGET_SECONDS:
            break
        for result in lane.run(group):
            struck += 1
            assert result.ok, (
                f"{result.case.id}: {result.problems}\n"
                f"repeat: sudo hack/crash-matrix --seed {SEED} --only {result.case.id}\n{lane.node.story()}"
            )
    assert struck >= LEAST, f"only {struck} cases of seed {SEED} were struck"
