"""The checks find mistakes (tests/mutants/cni), each by the checks that it names, and blame nothing that is allowed.

Here for each check that must catch something the first mutant of the table that it must catch. hack/generate-cni-proof runs all
of them, with every check that is named for them, the real plugins with the same checks, and the whole suite over what is allowed.
"""

import os
from pathlib import Path

import pytest
from components import needs
from shipped import installed, run

from tests.mutants.cni import proof
from tests.mutants.cni.table import ODD, one_for_each_check

from .conftest import PLUGINS
from .test_native_program import program_folder

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs(str(PLUGINS / "bridge"), "iptables-save", "nsenter", "conntrack"),
    pytest.mark.timeout(600),
]
RUN_SECONDS = 500


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory)


def outcomes_of(what: str, site: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> proof.Outcomes:
    """Of a run of the installed suite, as a user has it."""
    environment = proof.prepare(folder, what, (program_folder(folder / "real", site), PLUGINS))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = run(site, folder, *proof.ARGUMENTS, timeout_seconds=RUN_SECONDS)
    return proof.outcomes(folder, done.stdout + done.stderr)


def test_mutants_are_caught(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By every check that they name."""
    chosen = one_for_each_check()
    assert len(chosen) >= 60
    assert proof.missed(outcomes_of("each check", site, tmp_path, monkeypatch), chosen) == []


def test_what_is_allowed_is_not_blamed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks wrong and is right passes the checks that would be the first to blame it."""
    assert proof.blamed(outcomes_of("odd", site, tmp_path, monkeypatch), ODD) == []
