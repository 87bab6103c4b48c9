"""How the agent logs."""

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from configured import config

from nodeagent import logs
from nodeagent.config.loader import replace_options


@pytest.mark.parametrize(
    ("fields", "options", "expected"),
    [
        ({}, {}, ("info", "text")),
        ({"format": "json", "verbosity": 3}, {}, ("info", "json")),
        ({"format": "json", "verbosity": 4}, {}, ("debug", "json")),
        ({"format": "json", "verbosity": 9}, {"log_level": "error", "log_format": "text"}, ("error", "text")),
    ],
)
def test_logging(tmp_path: Path, fields: dict[str, Any], options: dict[str, str], expected: tuple[str, str]) -> None:
    """The file's format and verbosity count where the command line says nothing."""
    assert logs.settings_of(replace_options(config(tmp_path, logging=fields), **options)) == expected


def test_a_full_disk_costs_lines_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that cannot be written is lost, without a word where nothing can be written; a mistake of ours is still told."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    with contextlib.suppress(OSError), open("/dev/full", "w", buffering=1) as full:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", full)
            logs.configure("info", "text")
        logging.getLogger("x").info("no room")
        assert capsys.readouterr().err == ""
        logging.getLogger("x").info("%d", "no number")
        assert "Logging error" in capsys.readouterr().err
