"""How far a pull is: one live line on a terminal, a line for each stage elsewhere; both on stderr."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nodeagent.cli.output import human_bytes
from runtimes.oci.images.contract import PullProgress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class PullDisplay:
    """Shows one pull between `with` and its end."""

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._reference, total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, progress: PullProgress) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                description=f"{self._reference}: {progress.stage}",
                completed=progress.bytes_done,
                total=progress.bytes_total or None,
            )
        elif progress.stage != self._stage:
            print(plain_line(self._reference, progress), file=sys.stderr)
        self._stage = progress.stage


def plain_line(reference: str, progress: PullProgress) -> str:
    """`name: fetching 2 layers, 3.1MiB`."""
    what = f" {progress.layers_total} layers, {human_bytes(progress.bytes_total)}" if progress.layers_total else ""
    return f"{reference}: {progress.stage}{what}"
