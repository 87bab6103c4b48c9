"""What both commands have in common, with a process of checks that only pretends; bad input, a line each."""

import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from tester_records import record
from typer.testing import CliRunner

from csi.testing.chosen import Chosen
from nodeagent.cli.app import app
from nodeagent.cli.testers import csi as csi_command
from nodeagent.cli.testers.options import carried_out
from nodeagent.testers import child, command, needs
from nodeagent.testers.child import BrokenOff, Job, arguments
from nodeagent.testers.command import Choice, Subject
from nodeagent.testers.record import Level, Record, Verdict
from nodeagent.testers.suites import CNI, CSI

Pretend = Callable[[Sequence[Record], Exception | None], None]


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """The checks come to these records, and then to an end or an error."""

    def set_up(records: Sequence[Record], error: BaseException | None) -> None:
        def run(job: Job, folder: Path, took: Callable[[Record], None]) -> None:
            for each in records:
                took(each)
            if error is not None:
                raise error

        monkeypatch.setattr(child, "run", run)

    return set_up


def subject() -> Subject:
    return Subject(name="mine", again="nodeagent cni test --plugin mine", options=lambda folder: [])


@pytest.mark.parametrize(
    ("records", "error", "level", "status"),
    [
        ([record("D1")], None, Level.MUST, 0),
        ([record("D1", Verdict.FAILED)], None, Level.MUST, 1),
        ([record("D1", Verdict.FAILED, Level.SHOULD)], None, Level.MUST, 0),
        ([record("D1", Verdict.FAILED, Level.SHOULD)], None, Level.SHOULD, 1),
        ([record("D1", Verdict.NOT_CLAIMED, reason="no GC")], None, Level.MUST, 2),
        ([record("D1")], BrokenOff("it ended"), Level.MUST, 2),
        ([record("D1")], KeyboardInterrupt(), Level.MUST, 130),
    ],
)
def test_exit_status(pretend: Pretend, records: list[Record], error: Exception, level: Level, status: int) -> None:
    """Of a run: the level decides what counts; what broke off, or looked at nothing, is no success."""
    pretend(records, error)
    assert command.run(CNI, Choice(level=level), subject) == status


def test_what_looked_at_nothing(pretend: Pretend, capsys: pytest.CaptureFixture[str]) -> None:
    """Says why, in a line after those of the checks: it is no success, and nothing has failed."""
    pretend([record("G2", Verdict.NOT_CLAIMED, reason="no GC")], None)
    assert command.run(CNI, Choice(), subject) == 2
    assert capsys.readouterr().err.splitlines()[1:] == ["nodeagent: nothing was tested: no GC"]


def test_how_to_see_it_again(pretend: Pretend, tmp_path: Path) -> None:
    """A failure has a shell line and the command with its id; reports have the checks in the order of the suite."""
    skipped = record("K1", Verdict.SKIPPED, reason="name some (--cni-conf)")
    pretend([skipped, record("D1", Verdict.FAILED, reproduce="unshare …"), record("A2")], None)
    assert command.run(CNI, Choice(outputs=[f"json={tmp_path}/r"]), subject) == 1
    records = json.loads((tmp_path / "r").read_text())["records"]
    assert [each["id"] for each in records] == ["A2", "K1", "D1"]
    assert records[2]["reproduce"] == "unshare …\nnodeagent cni test --plugin mine --run D1"
    assert (records[0]["reproduce"], records[1]["reason"]) == ("", "name some (--conf)")


def test_the_process_is_alone() -> None:
    """Its command line: this Python, plug-ins by name, no configuration of the caller's, and the chosen checks."""
    checks = [check for check in CSI.checks() if check.id == "N1"]
    line = arguments(Job(suite=CSI, checks=checks, options=["--csi-node-only"], workers=1), 9)
    assert line[:3] == [sys.executable, "-m", "pytest"]
    assert line[-4:] == [
        "--nodeagent-records=9",
        "--csi-node-only",
        "--pyargs",
        "csi.testing.cases.test_node::test_n1_a_node_has_an_id",
    ]
    assert "xdist.plugin" not in line
    several = arguments(Job(suite=CSI, checks=[], options=[], workers=3), 9)
    assert several[several.index("-n") + 1] == "3"


def nodeagent(*arguments: str) -> tuple[int, str]:
    """Exit status and standard error."""
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.stderr.strip()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    for name, text in {"text": "no program\n", "other": "#!/bin/sh\necho hello\n", "mute": "#!/bin/sh\n"}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
        document = {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": name}]}
        (tmp_path / f"{name}.conflist").write_text(json.dumps(document))
    (tmp_path / "bin" / "text").chmod(0o644)
    (tmp_path / "broken.conflist").write_text("{")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name the network to test, by one of --conf FILE, --conf-dir FOLDER and --plugin NAME"),
        (["--conf", "a", "--plugin", "b"], "name the network to test, by one of"),
        (["--conf", "broken.conflist"], "broken.conflist: not JSON"),
        (["--conf", "nowhere"], "nowhere: No such file"),
        (["--plugin", "missing"], "no program 'missing' in "),
        (["--plugin", "../bin/other"], "no program '../bin/other' in "),
        (["--plugin", "dhcp"], "dhcp needs a configuration of its own: --conf FILE"),
        (["--plugin", "other"], "is no CNI plugin: to VERSION it answers 'hello'"),
        (["--conf", "other.conflist"], "bin/other is no CNI plugin: to VERSION it answers 'hello'"),
        (["--conf", "mute.conflist"], "bin/mute is no CNI plugin: to VERSION it answers ''"),
        (["--conf", "text.conflist"], "bin/text is not executable"),
        (["--plugin", "other", "--run", "D1,D2"], "'D1,D2' is the id of no check (--list shows them)"),
        (["--plugin", "other", "--level", "most"], "--level 'most' is none of must, should, may"),
        (["--plugin", "other", "-o", "xml"], "'xml' is none of table, junit, json, tap, html"),
        (["--plugin", "other", "--skip", "*"], "--skip leaves no check"),
        (["--conf", "other.conflist", "--known-flaws", "all"], "known flaws: all is none of containernetworking-1.1.1"),
    ],
)
def test_no_network(files: Path, arguments: list[str], told: str) -> None:
    """One line that says what is wrong, and exit status 2."""
    status, said = nodeagent("cni", "test", "--bin-dir", "bin", *arguments)
    assert (status, said.count("\n"), said.startswith("nodeagent: ")) == (2, 0, True)
    assert told in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "'' is not a unix socket such as unix:///run/csi/csi.sock"),
        (["--endpoint", "tcp://127.0.0.1:1"], "is not a unix socket"),
        (["--endpoint", "unix:///nowhere/at.sock"], "nobody listens on /nowhere/at.sock"),
        (["--endpoint", "unix:///a", "--parameters", "fast"], "'fast' is no KEY=VALUE"),
        (["--endpoint", "unix:///a", "--volume-size", "much"], "volume size 'much': "),
        (["--endpoint", "unix:///a", "--secrets", "nowhere"], "nowhere"),
        (["--endpoint", "unix:///a", "--run", "N99"], "'N99' is the id of no check"),
    ],
)
def test_no_driver(arguments: list[str], told: str) -> None:
    """One line that says what is wrong, and exit status 2."""
    status, said = nodeagent("csi", "test", *arguments)
    assert (status, said.count("\n"), said.startswith("nodeagent: ")) == (2, 0, True)
    assert told in said


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said at once; what only looks needs none."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert nodeagent("cni", "test", "--plugin", "bridge") == (
        2,
        "nodeagent: the checks make namespaces and mounts, and need root: try sudo",
    )
    done = CliRunner().invoke(app, ["cni", "test", "--list", "--run", "D1"])
    assert (done.exit_code, done.stdout.split()[:3]) == (0, ["D1", "must", "delete"])


def test_without_pytest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line with the command that brings it."""
    monkeypatch.setattr(needs, "_PACKAGES", ("pytest", "no_such_package"))
    assert carried_out(lambda: 0) == 2
    assert capsys.readouterr().err == "nodeagent: no_such_package not installed: pip install 'nodeagent[test]'\n"
    assert isinstance(app, typer.Typer)


def test_defaults_are_the_same() -> None:
    """Of `nodeagent csi test` and of the suite: the command passes on only what is another."""
    given = inspect.signature(csi_command.test).parameters
    for field in fields(Chosen):
        if field.name != "endpoint":  # the suite has none
            assert (given[field.name].default or None) == (field.default or None), field.name
