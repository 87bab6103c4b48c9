"""`--output`: which forms, and where each goes."""

import os
from pathlib import Path

import pytest

from nodeagent.reports.destinations import Destination, parse, publish

FORMS = ("table", "json", "tap")


def test_where_each_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output has the table unless another form is for it; files are made absolute."""
    monkeypatch.chdir(tmp_path)
    assert parse([], FORMS) == [Destination("table")]
    assert parse(["tap=a", f"json={tmp_path}/b.json"], FORMS) == [
        Destination("table"),
        Destination("tap", tmp_path / "a"),
        Destination("json", tmp_path / "b.json"),
    ]
    assert parse(["json", "tap=c"], FORMS) == [Destination("json"), Destination("tap", tmp_path / "c")]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["xml"], "'xml' is none of table, json, tap"),
        (["json="], "names no file"),
        (["json", "tap"], "tap and json cannot both go to standard output: tap=FILE"),
        (["json=/nowhere/at/all"], "there is no such folder"),
        (["json=/tmp"], "it is a folder"),
    ],
)
def test_what_cannot_be_written(texts: list[str], told: str) -> None:
    """Is told before anything is run."""
    with pytest.raises(ValueError, match=told):
        parse(texts, FORMS)


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    """A device, a pipe, or a link (/dev/stdout) would be replaced by the report: told before anything is run."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("elsewhere")
    for path in ("/dev/null", tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(ValueError, match="it is a link, a device or a pipe"):
            parse([f"json={path}"], FORMS)


def test_files_are_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each form is where it was to be, readable by others, and nothing else is there; the next one takes its place."""
    writers = {"table": "to people: {}".format, "json": "to programs: {}".format}
    file = tmp_path / "report"
    publish("done", writers, [Destination("table"), Destination("json", file)])
    assert capsys.readouterr().out == "to people: done"
    assert parse([f"json={file}"], FORMS) == [Destination("table"), Destination("json", file)]
    publish("done", writers, [Destination("json", file)])
    assert list(tmp_path.iterdir()) == [file]
    assert (file.stat().st_mode & 0o777, file.read_text()) == (0o644, "to programs: done")
