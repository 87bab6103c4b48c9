"""The forms of a report, over the same run: what passed, what failed with hostile texts, what was not looked at."""

import json as jsons
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import yaml
from tester_records import record, run

from nodeagent.testers.record import Level, Verdict
from nodeagent.testers.report import html, json, junit, table, tap

HOSTILE = "<script>alert(1)</script>\x00\x1b[2J]]> & # \\ 'quoted' \"twice\"\nnot ok 7 - forged\n\ud800"
RUN = run(
    record("D1"),
    record("D2", Verdict.FAILED, reason=HOSTILE, evidence=HOSTILE, reproduce="nodeagent cni test --run D2", spec="s"),
    record("K1", Verdict.NOT_KEPT, Level.SHOULD, reason="it stays", group="check", reproduce="again"),
    record("K2", Verdict.KNOWN_FLAW, reason="bridge: a # flaw", group="check"),
    record("S1", Verdict.NOT_CLAIMED, reason="no STATUS", group="status"),
    record("S2", Verdict.EXCEPTED, reason="on purpose", group="status"),
    record("S3", Verdict.SKIPPED, reason="no IPv6", group="status"),
    record("T1", level=Level.MAY, group="times", figures={"add_p50_ms": 81.25, HOSTILE: HOSTILE}),
)


def test_junit() -> None:
    """A testsuite a group, counted; each check has its id, level, verdict, section and figures; only what counts is a failure."""
    root = ElementTree.fromstring(junit.write(RUN))
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "1",
        "errors": "0",
        "skipped": "5",
    }
    assert [(suite.get("name"), suite.get("tests")) for suite in root] == [
        ("cni.check", "2"),
        ("cni.delete", "2"),
        ("cni.status", "3"),
        ("cni.times", "1"),
    ]
    failure = root.find(".//failure")
    assert failure is not None
    assert "nodeagent cni test --run D2" in (failure.text or "")
    messages = [skipped.get("message") for skipped in root.iter("skipped")]
    assert messages[:3] == [
        "recommendation not kept: it stays",
        "known flaw: bridge: a # flaw",
        "not claimed: no STATUS",
    ]
    case = next(case for case in root.iter("testcase") if case.get("name") == "T1 title of T1")
    told = {found.get("name"): found.get("value") for found in case.iter("property")}
    assert (told["id"], told["level"], told["verdict"], told["add_p50_ms"]) == ("T1", "may", "passed", "81.25")


def test_json() -> None:
    """Every record whole, with counts and the exit status."""
    document = jsons.loads(json.write(RUN))
    assert (document["version"], document["exitStatus"], document["suite"]) == (1, 1, "cni")
    assert document["counts"]["not claimed"] == 1
    failed = document["records"][1]
    assert (failed["id"], failed["verdict"], failed["evidence"]) == ("D2", "failed", HOSTILE)


def test_tap() -> None:
    """A line each, in order; TODO and SKIP as TAP has them; no text of a plugin is taken for a line; diagnostics are YAML."""
    text = tap.write(RUN)
    lines = [line for line in text.splitlines() if re.match(r"(not )?ok", line)]
    assert text.splitlines()[:2] == ["TAP version 14", "1..8"]
    assert lines == [
        "ok 1 - D1 title of D1",
        "not ok 2 - D2 title of D2",
        "not ok 3 - K1 title of K1 # TODO recommendation not kept: it stays",
        "not ok 4 - K2 title of K2 # TODO known flaw: bridge: a \\# flaw",
        "ok 5 - S1 title of S1 # SKIP not claimed: no STATUS",
        "ok 6 - S2 title of S2 # SKIP excepted: on purpose",
        "ok 7 - S3 title of S3 # SKIP skipped: no IPv6",
        "ok 8 - T1 title of T1",
    ]
    block = text.split("  ---\n")[1].split("  ...")[0]
    assert yaml.safe_load(block)["reproduce"] == "nodeagent cni test --run D2"
    assert tap.write(run(stopped="interrupted")).splitlines()[-1] == "Bail out! interrupted"


class Elements(HTMLParser):
    """Names of elements and what they refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


def test_html() -> None:
    """One page with every check, bars of their times, and what was measured; nothing is loaded, run, or taken for markup."""
    page = html.write(RUN)
    found = Elements(page)
    assert not {"script", "link", "img", "iframe", "a"} & set(found.names)
    assert not {"src", "href", "onload"} & {name for name, _ in found.attributes}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert "\x00" not in page
    assert found.names.count("rect") == 8
    assert "81.25" in page
    page.encode()


def test_table() -> None:
    """What failed, with evidence and how to see it again; what else is to be known; counts by group and level; one line."""
    lines = table.write(RUN).splitlines()
    assert lines[0] == "FAILED D2: title of D2 (must)"
    assert "  nodeagent cni test --run D2" in lines
    assert "K2: known flaw: bridge: a # flaw" in lines
    assert any(line.startswith("T1: measured: add_p50_ms 81.25, ") for line in lines)
    rows = {line.split("  ")[0]: line.split() for line in lines if line.startswith(("check ", "delete ", "may "))}
    assert rows["delete"] == ["delete", "1", "1", "-", "-", "-", "-", "-", "1.0"]
    assert rows["may"] == ["may", "1", *"------", "0.5"]
    assert lines[-1].startswith(
        "cni: mine: 8 checks in 12 s: 2 passed, 1 failed, 1 recommendation not kept, 1 known flaw"
    )
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("write", [table.write, json.write, junit.write, tap.write, html.write])
def test_a_run_that_broke_off(write: object) -> None:
    """Every form says so."""
    assert callable(write)
    assert "the plug was pulled" in write(run(record("D1"), stopped="the plug was pulled"))
