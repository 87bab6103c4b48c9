"""The checks find mistakes (tests/mutants/cni), each by the checks that it names, and blame nothing that is allowed."""

import os
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from components import needs
from shipped import installed, run

from tests.mutants.cni import program
from tests.mutants.cni.table import GROUPS, ODD

from .conftest import PLUGINS
from .test_native_program import program_folder

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs(str(PLUGINS / "bridge"), "iptables-save", "nsenter"),
]

MUTANTS = Path(program.__file__).parent
# files of mutants that are run together: each run has to begin
RUNS = {
    "the protocol": ("requests", "answers", "results"),
    "the network": ("namespaces", "addresses", "deletes"),
    "the rest": ("checks", "ports", "native"),
}
RUN_SECONDS = 500
LINE = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL) \S+::test_([a-z]+\d+)_\w+\[(\w[\w. ]*\w)", re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory)


def outcomes_of(what: str, site: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, set[str]]]:
    """Name of a mutant, or of a real network -> check -> how it ended, of a run of the installed suite (over_mutants.py)."""
    shutil.copytree(MUTANTS, folder / "mutants", ignore=shutil.ignore_patterns("__pycache__"))
    made = folder / "made"
    monkeypatch.setenv("MUTANTS", what)
    monkeypatch.setenv("MUTANTS_FOLDER", str(made))
    monkeypatch.setenv("MUTANTS_REAL", f"{program_folder(folder / 'real', site)}:{PLUGINS}")
    done = run(site, folder, "mutants/over_mutants.py", "-rA", "--tb=no", timeout_seconds=RUN_SECONDS)
    broken = made / program.BROKEN
    assert not broken.exists(), broken.read_text()
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for outcome, check, name in LINE.findall(done.stdout):
        found[name][check.upper()].add(outcome)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return found


def test_every_file_is_run() -> None:
    assert sorted(group for groups in RUNS.values() for group in groups) == sorted(GROUPS)


@pytest.mark.timeout(RUN_SECONDS + 100)
@pytest.mark.parametrize("groups", RUNS.values(), ids=RUNS)
def test_mutants_are_caught(
    groups: tuple[str, ...], site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every check that they name, as a user runs it; the plugins that they are made of pass the same checks."""
    found = outcomes_of(",".join(groups), site, tmp_path, monkeypatch)
    real = {name: checks for name, checks in found.items() if name.startswith("real ")}
    blamed = {
        (name, check): ends for name, checks in real.items() for check, ends in checks.items() if ends != {"PASSED"}
    }
    assert blamed == {}
    named = {mutant.name: set(mutant.caught_by) for group in groups for mutant in GROUPS[group]}
    caught = {name: {check for check, ends in found[name].items() if ends & {"FAILED", "ERROR"}} for name in named}
    assert caught == named


@pytest.mark.timeout(RUN_SECONDS + 100)
def test_what_is_allowed_is_not_blamed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks wrong and is right passes the checks that would be the first to blame it."""
    found = outcomes_of("odd", site, tmp_path, monkeypatch)
    blamed = {
        (odd.name, check): ends for odd in ODD for check, ends in found[odd.name].items() if ends & {"FAILED", "ERROR"}
    }
    assert blamed == {}
    assert {odd.name for odd in ODD} <= found.keys()
