"""A report as JSON: nothing is lost on the way there and back, and what is none is said to be none."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from isolation_reports import GVISOR, HOST_COLUMN, finding, hostile, report

from nodeagent.isolation.contract import By, Report, Verdict
from nodeagent.isolation.report import document
from nodeagent.isolation.report.document import NoReport

SCHEMA = Path(__file__).resolve().parents[5] / "docs/isolation/report.schema.json"


@pytest.mark.parametrize(
    "made",
    [
        report(),
        hostile(),
        report(replace(HOST_COLUMN, findings=tuple(finding("surface.bpf", verdict) for verdict in Verdict))),
        report(replace(HOST_COLUMN, findings=tuple(finding("surface.raw", by=by) for by in By))),
        report(replace(GVISOR, facts={"a": {"b": [1e-9, -0.5, 2**70, "\u2028", {"": None}]}}), columns=()),
    ],
)
def test_there_and_back(tmp_path: Path, made: Report) -> None:
    """What is read is what was written, figures and raw facts too."""
    (tmp_path / "r.json").write_text(document.written(made))
    assert document.read(tmp_path / "r.json") == made


def test_what_is_not_known_is_passed_over(tmp_path: Path) -> None:
    """A later program may write more."""
    more = {**json.loads(document.written(report())), "weather": "fine"}
    (tmp_path / "r.json").write_text(json.dumps(more))
    assert document.read(tmp_path / "r.json") == report()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "No such file"),
        ("", "no report of an evaluation"),
        ("[" * 100_000, "no report of an evaluation"),
        ("[]", "it is None None, not nodeagent.dev/v1alpha1 IsolationReport"),
        ('{"apiVersion": "v1", "kind": "Pod"}', "it is v1 Pod, not nodeagent.dev/v1alpha1 IsolationReport"),
        (json.dumps({"apiVersion": document.API_VERSION, "kind": document.KIND}), "missing required field `made`"),
        (document.written(report()).replace('"blocked"', '"shut"'), "Invalid enum value 'shut'"),
        (document.written(report(questions=())), "it says nothing about what surface.bpf is"),
        (document.written(report(groups={})), "it says nothing about what cost is"),
    ],
)
def test_what_is_no_report(tmp_path: Path, text: str | None, told: str) -> None:
    """One line says what is wrong with which file."""
    file = tmp_path / "r.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(NoReport, match=told) as caught:
        document.read(file)
    assert str(file) in str(caught.value)


def test_the_schema_is_published() -> None:
    """docs/isolation/report.schema.json is what is written today: programs are made for it. After a change:

    python -c 'from nodeagent.isolation.report import document; import json; print(json.dumps(document.schema(), indent=1))'
    """
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(document.schema()))
