"""How a pull is shown: a live line on a terminal, a line for each stage elsewhere."""

import io
import sys

import pytest

from nodeagent.cli.progress import PullDisplay
from runtimes.oci.images.contract import PullProgress

STEPS = (
    PullProgress(stage="resolving"),
    PullProgress(stage="fetching", layers_total=2, bytes_total=4 * 1024 * 1024),
    PullProgress(stage="fetching", layers_total=2, layers_done=1, bytes_total=4 * 1024 * 1024, bytes_done=1024 * 1024),
    PullProgress(stage="unpacking", layers_total=2, layers_done=2, bytes_total=4 * 1024 * 1024),
    PullProgress(stage="done", layers_total=2, layers_done=2, bytes_total=4 * 1024 * 1024),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with PullDisplay("r.example/app:1") as display:
        for step in STEPS:
            display.update(step)
            if display._bar is not None:
                display._bar.refresh()
    return stream.getvalue()


def test_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """One plain line a stage, with what is to come."""
    assert show(monkeypatch, io.StringIO()).splitlines() == [
        "r.example/app:1: resolving",
        "r.example/app:1: fetching 2 layers, 4.0MiB",
        "r.example/app:1: unpacking 2 layers, 4.0MiB",
        "r.example/app:1: done 2 layers, 4.0MiB",
    ]


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal one line is written again and again, with the bytes that have arrived."""
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "xterm")
    shown = show(monkeypatch, Terminal())
    assert "r.example/app:1: fetching" in shown
    assert "1.0/4.2 MB" in shown
    assert "\r" in shown
