"""What a query of the node's logs asks for, and what is wrong with it (docs/facts/api-client-and-server.md J.4). Pure.

GET /logs/?query=kubelet&sinceTime=2026-01-02T03:04:05Z&tailLines=100
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from multidict import MultiMapping

from runtimes.kube.field_errors import FieldError, invalid, required, too_many

PATH_CHARACTERS = "/\\"  # a query with one of them is of a file
MAX_SERVICES, MAX_SERVICE_CHARACTERS = 4, 256
MAX_TAIL_LINES = 100_000
MAX_PATTERN_CHARACTERS = 4096  # compiling one takes its time
_SERVICE = re.compile(r"[a-zA-Z0-9_.:@-]*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
# RFC 3339, of which a date's parser takes more than there is
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


class BadQuery(Exception):
    """`status`: 400 where a parameter is none of its kind, 406 where what it asks for cannot be."""

    def __init__(self, status: int, errors: list[FieldError]) -> None:
        texts = list(dict.fromkeys(str(error) for error in errors))
        super().__init__(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which of a service's lines; only a journal can tell. `boot` counts back from 0, the machine's present one."""

    since: datetime | None = None
    until: datetime | None = None
    tail_lines: int | None = None
    boot: int | None = None
    pattern: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLogQuery:
    """Either `services`, or one `file` by its path below the log folder."""

    services: tuple[str, ...] = ()
    file: str = ""
    filter: LogFilter = LogFilter()


def node_log_query(parameters: MultiMapping[str], now: datetime) -> NodeLogQuery | None:
    """None: nothing is asked for, the path is what it is. Raises BadQuery."""
    names = parameters.getall("query", [])
    files = [name for name in names if any(character in name for character in PATH_CHARACTERS)]
    services = [name for name in names if name not in files and name.strip()]
    errors: list[FieldError] = []
    if names and not files and not services:
        errors.append(invalid("query", names, "query cannot be empty"))
    found = LogFilter(
        since=_time(parameters, "sinceTime", errors),
        until=_time(parameters, "untilTime", errors),
        boot=_integer(parameters, "boot", errors),
        tail_lines=_integer(parameters, "tailLines", errors),
        pattern=parameters.get("pattern", ""),
    )
    if errors:
        raise BadQuery(400, errors)
    if not names and found == LogFilter():
        return None
    errors = [*_service_errors(services), *_choice_errors(files, services, found), *_filter_errors(found, now)]
    if errors:
        raise BadQuery(406, errors)
    return NodeLogQuery(
        services=tuple(services), file=files[0].replace("\\", "/").lstrip("/") if files else "", filter=found
    )


def _time(parameters: MultiMapping[str], name: str, errors: list[FieldError]) -> datetime | None:
    text = parameters.get(name, "")
    if not text:
        return None
    try:
        if not _TIME.fullmatch(text):
            raise ValueError(text)
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        errors.append(invalid(name, text, "invalid time format"))
    return None


def _integer(parameters: MultiMapping[str], name: str, errors: list[FieldError]) -> int | None:
    text = parameters.get(name, "")
    if not text:
        return None
    if not _INTEGER.fullmatch(text):
        errors.append(invalid(name, text, f'strconv.Atoi: parsing "{text}": invalid syntax'))
        return None
    return int(text)


def _service_errors(services: list[str]) -> list[FieldError]:
    errors = [
        invalid("query", name, f"length must be at most {MAX_SERVICE_CHARACTERS}")
        if len(name) > MAX_SERVICE_CHARACTERS
        else invalid("query", name, "input contains unsupported characters")
        for name in services
        if len(name) > MAX_SERVICE_CHARACTERS or not _SERVICE.fullmatch(name)
    ]
    if len(services) > MAX_SERVICES:
        errors.append(too_many("query", len(services), MAX_SERVICES))
    return errors


def _choice_errors(files: list[str], services: list[str], found: LogFilter) -> list[FieldError]:
    if not files and not services:
        return [required("query", "cannot be empty with options")]
    if files and services:
        shown = f"[{' '.join(files)}], [{' '.join(services)}]"
        return [invalid("query", shown, "cannot specify a file and service")]
    if len(files) > 1:
        return [invalid("query", files, "cannot specify more than one file")]
    if files and found != LogFilter():
        return [invalid("query", files, "cannot specify file with options")]
    return []


def _filter_errors(found: LogFilter, now: datetime) -> list[FieldError]:
    errors = []
    if found.since is not None and found.since > now:
        errors.append(invalid("sinceTime", _shown(found.since), "must not be in the future"))
    if found.since is not None and found.until is not None and found.since > found.until:
        errors.append(invalid("untilTime", _shown(found.until), "must be after `sinceTime`"))
    if found.boot is not None and found.boot > 0:
        errors.append(invalid("boot", found.boot, "must be less than 1"))
    if found.tail_lines is not None and not 0 <= found.tail_lines <= MAX_TAIL_LINES:
        errors.append(invalid("tailLines", found.tail_lines, f"must be between 0 and {MAX_TAIL_LINES}, inclusive"))
    if len(found.pattern) > MAX_PATTERN_CHARACTERS:
        errors.append(invalid("pattern", found.pattern[:20], f"length must be at most {MAX_PATTERN_CHARACTERS}"))
        return errors
    try:
        re.compile(found.pattern)
    except (re.error, RecursionError, OverflowError) as error:
        errors.append(invalid("pattern", found.pattern, str(error)))
    return errors


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
