"""What the demo shows: steps, the pods while they start, and the table at the end. Plain lines when nobody watches."""

import sys
import time
from types import TracebackType
from typing import Self

from goals import GOALS, Watch
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nodeagent.cli.output import print_table
from nodeagent.cli.pod_row import PodRow

_STYLES = {"Running": "green", "Completed": "green", "OOMKilled": "red", "CrashLoopBackOff": "red"}


class Steps:
    """Says what is done and when it is done."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:6.1f}s  {text}", flush=True)


class PodsView:
    """The pods while they start: a live table on a terminal, a line for each change elsewhere."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._live = Live(console=Console(), transient=True) if sys.stdout.isatty() else None
        self._shown: dict[str, tuple[str, ...]] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def changed(self, watch: Watch) -> None:
        if self._live is not None:
            self._live.update(_live_table(watch))
            return
        for row in watch.rows():
            now = (row.status, row.ready, str(row.restarts), row.ip)
            if self._shown.get(row.name) != now:
                self._shown[row.name] = now
                self._steps.say(
                    f"{row.name}: {row.status}, ready {row.ready}, restarts {row.restarts} {row.ip}".rstrip()
                )


def _live_table(watch: Watch) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("POD", "STATUS", "READY", "RESTARTS", "IP", "GOAL"):
        table.add_column(column)
    missing = watch.missing
    for row in watch.rows():
        state = Text(row.status, style=_STYLES.get(row.status, "yellow"))
        goal = Text(("… " if row.name in missing else "✓ ") + GOALS[row.name][0])
        table.add_row(row.name, state, row.ready, str(row.restarts), row.ip, goal)
    return table


def final_table(rows: list[PodRow]) -> None:
    cells = [[row.name, row.status, row.ip, row.node, str(row.restarts), row.age] for row in rows]
    print_table(("POD", "STATUS", "IP", "NODE", "RESTARTS", "AGE"), cells)
