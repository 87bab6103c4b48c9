"""`--output`: which forms, and where each goes."""

from pathlib import Path

import pytest
from tester_records import record, run

from nodeagent.testers.report.forms import Destination, Form, parse, publish


def test_where_each_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output has the table unless another form is for it; files are made absolute."""
    monkeypatch.chdir(tmp_path)
    assert parse([]) == [Destination(Form.TABLE)]
    assert parse(["junit=a.xml", f"html={tmp_path}/b.html"]) == [
        Destination(Form.TABLE),
        Destination(Form.JUNIT, tmp_path / "a.xml"),
        Destination(Form.HTML, tmp_path / "b.html"),
    ]
    assert parse(["json", "tap=c"]) == [Destination(Form.JSON), Destination(Form.TAP, tmp_path / "c")]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["xml"], "'xml' is none of table, junit, json, tap, html"),
        (["json="], "names no file"),
        (["json", "tap"], "tap and json cannot both go to standard output: tap=FILE"),
        (["json=/nowhere/at/all"], "there is no such folder"),
        (["json=/tmp"], "it is a folder"),
    ],
)
def test_what_cannot_be_written(texts: list[str], told: str) -> None:
    """Is told before anything is run."""
    with pytest.raises(ValueError, match=told):
        parse(texts)


def test_files_are_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each form is where it was to be, readable by others, and nothing else is there."""
    files = {form: tmp_path / form for form in Form if form is not Form.TABLE}
    publish(run(record("D1")), [Destination(Form.TABLE), *(Destination(form, file) for form, file in files.items())])
    assert "1 passed" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
    assert all(file.stat().st_mode & 0o777 == 0o644 and "D1" in file.read_text() for file in files.values())
