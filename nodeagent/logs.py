"""Log lines: text for people, JSON for collectors. Secrets never get here: callers log names, not contents."""

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from typing_extensions import override

if TYPE_CHECKING:  # the embedded API's process logs without a configuration of the agent's
    from nodeagent.config import Config

DEBUG_VERBOSITY = 4  # as kube components count: from here on they tell what they do
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


def settings_of(config: "Config") -> tuple[str, str]:
    """(level, format): what the command line says, else what the file says. Verbosity 4 and above is debugging, as upstream."""
    level = "debug" if config.kubelet.logging.verbosity >= DEBUG_VERBOSITY else "info"
    return config.options.log_level or level, config.options.log_format or config.kubelet.logging.format


def configure(level: str, form: str) -> None:
    """Log to stderr. `level`: debug, info, warning, error; `form`: text or json."""
    handler = _Lines(sys.stderr)
    handler.setFormatter(JSONFormatter() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # libraries tell at INFO what only their own developers want to know
    for noisy in ("asyncio", "aiohttp", "pyroute2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    tame_servers()


def tame_servers() -> None:
    """What clients send that is no HTTP is their error, answered with 400: it takes no place in the log. Repeatable."""
    logger = logging.getLogger("aiohttp.server")
    if not any(isinstance(known, _OwnErrors) for known in logger.filters):
        logger.addFilter(_OwnErrors())


class _Lines(logging.StreamHandler[TextIO]):
    """To where the disk may be full or the reader gone: such a line is lost, and there is nowhere to say so."""

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


class _OwnErrors(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)
