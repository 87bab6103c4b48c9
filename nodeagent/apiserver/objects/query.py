"""The values of a query as the API reads them: the first of several counts, and nearly anything is a true."""

import re
from collections.abc import Mapping, Sequence

from nodeagent.apiserver.errors import ApiError

Query = Mapping[str, Sequence[str]]

_MAX_DIGITS = 40  # and zeros in front
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT64 = range(-(2**63), 2**63)


def text(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def flag(query: Query, name: str) -> bool | None:
    """None when it is not there; `?watch` and `?watch=` are true, `false` in any case and `0` are not."""
    values = query.get(name)
    if not values:
        return None
    return values[0].lower() not in ("false", "0")


def number(query: Query, name: str) -> int | None:
    """None when it is not there. Raises `ApiError` 400 for anything but a 64-bit integer."""
    values = query.get(name)
    if not values:
        return None
    shown = '"' + values[0].replace("\\", "\\\\").replace('"', '\\"') + '"'
    if not _INTEGER.fullmatch(values[0]):
        raise ApiError.bad_request(f"strconv.ParseInt: parsing {shown}: invalid syntax")
    value = int(values[0]) if len(values[0]) <= _MAX_DIGITS else None
    if value is None or value not in _INT64:  # a range is searched for what is no number
        raise ApiError.bad_request(f"strconv.ParseInt: parsing {shown}: value out of range")
    return value
