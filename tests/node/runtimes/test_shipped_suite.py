"""The conformance suite as others have it: out of a wheel, without a checkout, on a runtime of a package of theirs."""

import os
import shutil
from pathlib import Path

import pytest
from components import needs
from shipped import REPO, installed, outcomes, run

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("runtimes-shipped"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs("runc"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory)


def test_a_test_file_of_a_package(site: Path, tmp_path: Path) -> None:
    """The few lines of the example's own test file are all that its author writes."""
    shutil.copy(REPO / "examples" / "runtime-plugin" / "test_conformance.py", tmp_path)
    chosen = "idempotent or every_change_is_an_event or exec_with_stdin or test_pull_by_tag or address_of_its_own"
    found = outcomes(run(site, tmp_path, "test_conformance.py", "-k", chosen))
    assert (found["passed"], found.get("skipped", 0)) == (5, 0)


def test_options_alone(site: Path, tmp_path: Path) -> None:
    """No file at all: a type by name, with what it cannot do in a file. What was skipped is told with its reason."""
    exceptions = tmp_path / "exceptions.toml"
    exceptions.write_text('processes = "nothing runs"\ntest_stopping_and_removing_are_idempotent = "let us say"\n')
    options = ("--runtime-type", "hollow", "--runtime-exceptions", str(exceptions))
    chosen = "idempotent or what_a_sandbox_reports or exit_codes or unknown_ids"
    done = run(site, tmp_path, "--pyargs", "runtimes.testing", *options, "-k", chosen, "-rs")
    found = outcomes(done)
    assert (found["passed"], found["skipped"]) == (2, 4)
    assert "hollow: nothing runs" in done.stdout
    assert "hollow: let us say" in done.stdout


def test_what_is_not_named(site: Path, tmp_path: Path) -> None:
    """Without an endpoint or a type, the options are told; an exception from nothing is one line, too."""
    done = run(site, tmp_path, "--pyargs", "runtimes.testing", "-k", "unknown_ids")
    assert (done.returncode, "--runtime-endpoint unix:///PATH" in done.stdout + done.stderr) == (1, True)
    (tmp_path / "e.toml").write_text('"a bug" = "why"\n')
    options = ("--runtime-type", "hollow", "--runtime-exceptions", "e.toml")
    done = run(site, tmp_path, "--pyargs", "runtimes.testing", "-k", "unknown_ids", *options)
    assert (done.returncode, "a bug: no ability and no case" in done.stdout + done.stderr) == (1, True)
