"""What commands print: tables for people, JSON for programs, errors on stderr."""

import enum
import json
import sys
from collections.abc import Sequence
from typing import Any

PLAIN_WIDTH = 10_000  # so that rich never wraps or cuts what a program reads


class Output(enum.StrEnum):
    """The forms of a command's answer."""

    TABLE = "table"
    JSON = "json"


def print_error(message: str) -> None:
    """One error for the operator."""
    print(f"nodeagent: {message}", file=sys.stderr)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Sequence[str] = ()) -> None:
    """A table without lines; coloured on a terminal (`styles`, one a row), plain text in columns elsewhere."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console() if terminal else Console(width=PLAIN_WIDTH, color_system=None, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for index, row in enumerate(rows):
        # Text, not str: what the machine says must not be read as markup
        table.add_row(*(Text(cell) for cell in row), style=styles[index] if terminal and styles else None)
    if terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def human_bytes(count: float) -> str:
    """1536 -> "1.5KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f}{unit}" if unit == "B" else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.1f}TiB"


def human_age(seconds: float) -> str:
    """How kubectl writes ages: 12s, 3m5s, 3h10m, 2d1h, 2y270d."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years = days // 365
    return f"{years}y{days % 365}d" if days % 365 and years < 8 else f"{years}y"
