"""Log lines: text for people, JSON for collectors. Secrets never get here: callers log names, not contents."""

import logging
import sys

import msgspec
from typing_extensions import override

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class JSONFormatter(logging.Formatter):
    """One JSON object a line, with the fields that log collectors look for."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def configure(level: str, form: str) -> None:
    """Log to stderr. `level`: debug, info, warning, error; `form`: text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # libraries tell at INFO what only their own developers want to know
    for noisy in ("asyncio", "aiohttp", "pyroute2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
