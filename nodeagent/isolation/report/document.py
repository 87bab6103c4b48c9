"""A report as JSON, with everything in it, and back."""

from pathlib import Path

import msgspec

from nodeagent.isolation.contract import Report


class NoReport(ValueError):
    """A file is no report; the text says why."""


def written(report: Report) -> str:
    """Everything: findings, raw facts, and the questions in words."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1).decode()


def read(path: Path) -> Report:
    """What `written` made. Raises NoReport."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        raise NoReport(f"{path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise NoReport(f"{path}: no report of an evaluation: {error}") from error
