"""A plug-in of the pytest that runs the checks: of each it writes a line of JSON, a `Record`, to a file descriptor.

With pytest-xdist it sits in the process that hands the checks out, and is silent in those that run them.
"""

import json
import os
from dataclasses import asdict
from typing import Any, Final

import pytest

from cni.testing.plugin import REPRODUCE
from nodeagent.testers.record import Level, Record, Verdict
from nodeagent.testers.suites import title_of

OPTION: Final = "--nodeagent-records"
_SKIPS: Final = {"not claimed": Verdict.NOT_CLAIMED, "not asked for": Verdict.NOT_CLAIMED, "excepted": Verdict.EXCEPTED}
_DESCRIBING: Final = frozenset({"id", "level", "spec", "promise"})
_MOST_EVIDENCE: Final = 24_000
_MOST_REASON: Final = 400


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=int, metavar="FD", help="where a line of JSON is written for each check")


def pytest_configure(config: pytest.Config) -> None:
    fd = config.getoption(OPTION)
    if fd is not None and not hasattr(config, "workerinput"):
        os.set_inheritable(fd, False)
        config.pluginmanager.register(Recorder(fd))


class Recorder:
    """The reports of a check (made, run, taken down) become one record when the last is there."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._reports: dict[str, list[pytest.TestReport]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reports = self._reports.setdefault(report.nodeid, [])
        reports.append(report)
        # a worker that died has one report, of no phase
        if report.when == "teardown" or report.when not in ("setup", "call"):
            del self._reports[report.nodeid]
            if (record := record_of(reports)) is not None:
                self._write({"record": asdict(record)})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write({"problem": f"{report.nodeid}: {report.longreprtext}"[-_MOST_EVIDENCE:]})

    def _write(self, line: dict[str, Any]) -> None:
        try:
            with open(self._fd, "w", closefd=False) as file:
                file.write(json.dumps(line) + "\n")
        except BrokenPipeError:
            pytest.exit("who asked for the checks is gone")


def record_of(reports: list[pytest.TestReport]) -> Record | None:
    """None for what is no check."""
    properties: dict[str, Any] = {str(name): value for report in reports for name, value in report.user_properties}
    if not properties.keys() >= _DESCRIBING:
        return None
    module, _, function = reports[0].nodeid.rpartition("::")
    name, _, variant = function.partition("[")
    verdict, reason = _verdict(reports)
    failed = [report for report in reports if report.failed] if verdict is Verdict.FAILED else []
    return Record(
        id=properties["id"],
        variant=variant.removesuffix("]"),
        title=title_of(name),
        group=module.rpartition("test_")[2].removesuffix(".py").replace("_", " "),
        level=Level(properties["level"]),
        spec=properties["spec"],
        promise=properties["promise"],
        verdict=verdict,
        seconds=round(sum(report.duration for report in reports), 4),
        reason=reason,
        evidence="\n\n".join(map(_evidence, failed))[:_MOST_EVIDENCE],
        reproduce=next((text for report in failed for title, text in report.sections if title == REPRODUCE), ""),
        figures={
            name: value if isinstance(value, int | float) else str(value)
            for name, value in properties.items()
            if name not in _DESCRIBING
        },
    )


def _verdict(reports: list[pytest.TestReport]) -> tuple[Verdict, str]:
    """With the reason. What fails at any phase has failed: a check that cannot take down what it made, too."""
    for report in reports:
        if report.failed:
            return Verdict.FAILED, _short(_crash(report))
    for report in reports:
        if getattr(report, "wasxfail", None):
            return Verdict.KNOWN_FLAW, _short(str(getattr(report, "wasxfail")).removeprefix("known flaw of "))  # noqa: B009
        if report.skipped:
            told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            reason = told.removeprefix("Skipped: ")
            kind, colon, rest = reason.partition(": ")
            verdict = _SKIPS.get(kind, Verdict.SKIPPED) if colon else Verdict.SKIPPED
            return verdict, _short(rest if verdict is not Verdict.SKIPPED else reason)
    return Verdict.PASSED, ""


def _crash(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longreprtext)


def _evidence(report: pytest.TestReport) -> str:
    told = [
        f"{title}\n{text}" for title, text in report.sections if title != REPRODUCE and not title.startswith("Captured")
    ]
    return "\n\n".join([*told, f"where the check stood:\n{report.longreprtext}"])


def _short(text: str) -> str:
    """One line."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_REASON else f"{line[:_MOST_REASON]}…"
