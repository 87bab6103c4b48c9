"""How the agent logs."""

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
