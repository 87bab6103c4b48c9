"""Tables: the columns of a kind and how a row of cells is made from an object."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runtimes.kube.json_object import JsonObject

Cell = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`priority` 1 is shown with `-o wide` only."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    def definition(self) -> JsonObject:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


NAME = Column(name="Name", format="name", description="Name must be unique within a namespace.")
AGE = Column(name="Age", description="Time since the object was created.")


def column(name: str, *, wide: bool = False, type: str = "string") -> Column:
    return Column(name=name, type=type, priority=1 if wide else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """`cells(object, now)` gives one cell per column; `conditions(object)` those of the row."""

    columns: tuple[Column, ...]
    cells: Callable[[JsonObject, datetime], list[Cell]]
    conditions: Callable[[JsonObject], list[JsonObject]] | None = None


def name_of(obj: JsonObject) -> str:
    return str(obj["metadata"].get("name", ""))


NAME_AND_CREATED = TableView(
    columns=(NAME, Column(name="Created At", format="date", description="When the object was created.")),
    cells=lambda obj, now: [name_of(obj), obj["metadata"].get("creationTimestamp") or ""],
)
"""For kinds without columns of their own."""


def parse_time(text: Any) -> datetime | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def age(text: Any, now: datetime) -> str:
    """How long ago the RFC 3339 time `text` was, `<unknown>` without one."""
    then = parse_time(text)
    return duration(int((now - then).total_seconds())) if then else "<unknown>"


def age_of(obj: JsonObject, now: datetime) -> str:
    """How long ago the object was created."""
    return age(obj["metadata"].get("creationTimestamp"), now)


def duration(seconds: int) -> str:
    """`119s`, `2m5s`, `10m`, `3h5m`, `8h`, `2d5h`, `8d`, `2y5d`, `8y`."""
    if seconds < -1:
        return "<invalid>"
    if seconds <= 0:
        return "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    years = days // 365
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if years < 2:
        return f"{days}d"
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
