"""Log lines: text for people, JSON for collectors. Secrets never get here: callers log names, not contents.

Lines that come of work for a pod carry the pod, and the step where one is under way, whoever writes them: the work's tasks
inherit both (`POD`, `STEP`). What a pod's work begins for others, too, is begun in a context of its own.
"""

import fnmatch
import logging
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from typing_extensions import override

if TYPE_CHECKING:  # the embedded API's process logs without a configuration of the agent's
    from nodeagent.config import Config

DEBUG_VERBOSITY = 4  # as kube components count: from here on they tell what they do
_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodField:
    """The pod that is worked for."""

    namespace: str
    name: str
    uid: str


POD: ContextVar[PodField | None] = ContextVar("pod", default=None)
STEP: ContextVar[str] = ContextVar("step", default="")


class TextFormatter(logging.Formatter):
    """One line, with pod and step at its end unless it names the pod itself."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        line, pod, step = super().formatMessage(record), POD.get(), STEP.get()
        if pod is not None and pod.uid not in record.message:
            line += f' pod="{pod.namespace}/{pod.name}" podUID="{pod.uid}"'
            line += f' step="{step}"' if step else ""
        return line


class JSONFormatter(logging.Formatter):
    """One JSON object a line, with the names that klog gives to its fields."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "caller": f"{'/'.join(record.pathname.rsplit('/', 2)[-2:])}:{record.lineno}",
            "msg": record.getMessage(),
        }
        if record.levelno < logging.WARNING:
            line["v"] = 0 if record.levelno >= logging.INFO else DEBUG_VERBOSITY
        if (pod := POD.get()) is not None:
            line |= {"pod": {"name": pod.name, "namespace": pod.namespace}, "podUID": pod.uid}
        if step := STEP.get():
            line["step"] = step
        if record.exc_info:
            line["err"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`level`: debug, info, warning, error; `form`: text or json. `detailed`: patterns of modules that tell all, as vmodule's."""

    level: str
    form: str
    detailed: tuple[str, ...] = ()


def settings_of(config: "Config") -> LogSettings:
    """What the command line says, else what the file says. Verbosity 4 and above is debugging, as upstream."""
    kubelet = config.kubelet
    level = "debug" if kubelet.logging.verbosity >= DEBUG_VERBOSITY else "info"
    return LogSettings(
        level=config.options.log_level or level,
        form=config.options.log_format or kubelet.logging.format,
        detailed=tuple(each.filePattern for each in kubelet.logging.vmodule if each.verbosity >= DEBUG_VERBOSITY),
    )


def configure(settings: LogSettings) -> None:
    """Log to stderr."""
    handler = _Lines(sys.stderr)
    handler.setFormatter(JSONFormatter() if settings.form == "json" else TextFormatter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    # libraries tell at INFO what only their own developers want to know
    for noisy in ("asyncio", "aiohttp", "pyroute2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if settings.detailed:
        _tell_all(settings.detailed)
    tame_servers()


def is_meant(module: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern means `nodeagent.pods.supervisor`: by its last word ("super*"), or by more of its path ("pods/*")."""
    path = module.replace(".", "/")
    return any(
        fnmatch.fnmatchcase(f"/{path}", f"*/{pattern}")
        if "/" in pattern
        else fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)
        for pattern in patterns
    )


def _tell_all(patterns: Sequence[str]) -> None:
    """These modules log everything, also those that are imported later."""

    class Detailed(logging.Logger):
        @override
        def __init__(self, name: str, level: int = logging.NOTSET) -> None:
            super().__init__(name, logging.DEBUG if is_meant(name, patterns) else level)

    logging.setLoggerClass(Detailed)
    for name, known in logging.root.manager.loggerDict.items():
        if isinstance(known, logging.Logger) and is_meant(name, patterns):
            known.setLevel(logging.DEBUG)


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
