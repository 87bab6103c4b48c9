"""`nodeagent isolation --report`: a report that is there told again, compared and judged, without a node."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from isolation_reports import BROKEN, GVISOR, HOST_COLUMN, RUNC, finding, report, with_findings
from typer.testing import CliRunner, Result

from nodeagent.cli.app import app
from nodeagent.isolation.contract import Report
from nodeagent.isolation.report import document


def invoke(folder: Path, made: Report, *arguments: str) -> Result:
    (folder / "new.json").write_text(document.written(made))
    return CliRunner().invoke(app, ["isolation", f"--report={folder / 'new.json'}", *arguments])


def saved(folder: Path, made: Report) -> str:
    (folder / "old.json").write_text(document.written(made))
    return f"--compare={folder / 'old.json'}"


WHOLE = report(HOST_COLUMN, RUNC, GVISOR)
WORSE = report(HOST_COLUMN, with_findings(RUNC, finding("surface.bpf")), GVISOR)


def test_every_form_of_one_report(tmp_path: Path) -> None:
    """The table to people, and each other form where it is to go; the JSON is what was read."""
    files = tmp_path / "copy.json", tmp_path / "page.html"
    result = invoke(tmp_path, WHOLE, f"--output=json={files[0]}", f"--output=html={files[1]}")
    assert result.exit_code == 0
    assert result.stdout.startswith("Linux 6.18, 2 processors; profile baseline")
    assert document.read(files[0]) == WHOLE
    assert "<h1>Runtime isolation</h1>" in files[1].read_text()


def test_a_runtime_that_was_not_evaluated(tmp_path: Path) -> None:
    """Is a failure of the command, whatever else is asked."""
    assert invoke(tmp_path, report(HOST_COLUMN, RUNC, BROKEN)).exit_code == 1


def test_a_gate(tmp_path: Path) -> None:
    """It opens where nothing of it is found; otherwise each thing is told on stderr, and the exit status is 1."""
    old = saved(tmp_path, WHOLE)
    passed = invoke(tmp_path, WHOLE, old, "--fail-on=worse,costlier,lost", "--fail-on=open:high")
    assert (passed.exit_code, passed.stderr) == (0, "")
    failed = invoke(tmp_path, WORSE, old, "--fail-on=worse,score:surface<50", "--output=json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["kind"] == "IsolationReport"
    assert failed.stderr.splitlines() == [
        "CHANGED SINCE 2026-11-28T20:00:00+00:00",
        "      RUNTIME PROBE       BEFORE            NOW",
        "worse runc    surface.bpf blocked (seccomp) open",
        "nodeagent: --fail-on worse: runc: surface.bpf: blocked (seccomp), now open",
        "nodeagent: --fail-on score:surface<50: runc: 0",
    ]


def test_what_changed_stands_in_the_table_and_the_page(tmp_path: Path) -> None:
    """Where people look."""
    page = tmp_path / "page.html"
    result = invoke(tmp_path, WORSE, saved(tmp_path, replace(WHOLE, profile="restricted")), f"--output=html={page}")
    assert result.exit_code == 0
    assert "CHANGED SINCE" in result.stdout and "CHANGED SINCE" not in result.stderr
    assert "profile: restricted before, baseline now" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--output=pdf"], "'pdf' is none of table, json, html"),
        (["--compare=/nowhere.json"], "/nowhere.json: No such file or directory"),
        (["--fail-on=wide"], "'wide' is none of open, failed"),
        (["--fail-on=worse"], "it needs --compare FILE"),
        (["--only=surface"], "--report goes with --output, --compare, --fail-on"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, arguments: list[str], told: str) -> None:
    """A line, and exit status 2."""
    result = invoke(tmp_path, WHOLE, *arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())
