"""A report as JSON, with everything in it, and back. The form is docs/isolation/report.schema.json."""

from pathlib import Path
from typing import Any, Final

import msgspec

from nodeagent.isolation.contract import Report

API_VERSION: Final = "nodeagent.dev/v1alpha1"
KIND: Final = "IsolationReport"


class NoReport(ValueError):
    """A file is no report; the text says why."""


def written(report: Report) -> str:
    """Everything: findings, raw facts, and the questions in words."""
    document = {"apiVersion": API_VERSION, "kind": KIND, **msgspec.to_builtins(report)}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def read(path: Path) -> Report:
    """What `written` made. Fields that this program does not know are passed over. Raises NoReport."""
    try:
        document = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise NoReport(f"{path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoReport(f"{path}: no report of an evaluation: {error}") from error
    said = tuple(document.get(name) for name in ("apiVersion", "kind")) if isinstance(document, dict) else (None, None)
    if said != (API_VERSION, KIND):
        raise NoReport(f"{path}: no report of an evaluation: it is {said[0]} {said[1]}, not {API_VERSION} {KIND}")
    try:
        report = msgspec.convert(document, Report)
    except (msgspec.ValidationError, RecursionError) as error:
        raise NoReport(f"{path}: {error}") from error
    _consistent(path, report)
    return report


def _consistent(path: Path, report: Report) -> None:
    """Raises NoReport: a finding whose question is missing, a question whose group is."""
    known = {question.id for question in report.questions}
    groups = {question.group for question in report.questions}
    strange = [finding.probe for column in report.columns for finding in column.findings if finding.probe not in known]
    strange += sorted(groups - set(report.groups))
    if strange:
        raise NoReport(f"{path}: it says nothing about what {strange[0]} is")


def schema() -> dict[str, Any]:
    """The JSON schema of what is written."""
    found = msgspec.json.schema(Report)
    report = found["$defs"]["Report"]
    report["properties"] = {"apiVersion": {"const": API_VERSION}, "kind": {"const": KIND}, **report["properties"]}
    report["required"] = ["apiVersion", "kind", *report["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
