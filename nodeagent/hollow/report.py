"""What a fleet costs: its own CPU and memory, and its requests to the API. One sample is one JSON line."""

import gc
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from nodeagent.hollow.calls import ApiCalls
from nodeagent.hollow.node import HollowNode


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """At one time, of this process and since it began. `phase`: what was reached then; empty: nothing new.

    `calls`: requests to the API by name; `failed`: those that were answered with an error, or not at all.
    """

    phase: str
    seconds: float
    nodes_ready: int
    pods: int
    pods_running: int
    cpu_seconds: float
    rss_bytes: int
    calls: dict[str, int]
    failed: dict[str, int]


class Reporter:
    """Samples go to `path`, where there is one, and are told as a line of the log."""

    def __init__(self, nodes: Sequence[HollowNode], calls: ApiCalls, path: Path | None) -> None:
        self._nodes = nodes
        self._calls = calls
        self._path = path
        self._began = time.monotonic()
        self._process = psutil.Process()
        self._last: Sample | None = None

    def sample(self, phase: str = "") -> Sample:
        """Raises OSError for a file that cannot be written."""
        if phase:  # figures of before and after are to be of what is in use
            gc.collect()
        found = Sample(
            phase=phase,
            seconds=round(time.monotonic() - self._began, 3),
            nodes_ready=sum(node.sight.ready for node in self._nodes),
            pods=sum(node.sight.pods() for node in self._nodes),
            pods_running=sum(node.sight.pods("Running") for node in self._nodes),
            cpu_seconds=round(time.process_time(), 3),
            rss_bytes=self._process.memory_info().rss,
            calls=dict(self._calls.by_name),
            failed=dict(self._calls.failed),
        )
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(found) + b"\n")
        return found

    def line(self) -> str:
        """A sample in words, with rates since the one before."""
        now, last = self.sample(), self._last
        self._last = now
        text = (
            f"{now.nodes_ready} of {len(self._nodes)} nodes Ready, {now.pods_running} of {now.pods} pods Running; "
            f"{now.rss_bytes / 1e6:.0f} MB"
        )
        if last is not None and now.seconds > last.seconds:
            seconds = now.seconds - last.seconds
            cpu = (now.cpu_seconds - last.cpu_seconds) / seconds
            rate = (sum(now.calls.values()) - sum(last.calls.values())) / seconds
            text += f", {cpu:.0%} of a core, {rate:.1f} API calls/s"
        failed = sum(now.failed.values())
        return f"{text}, {failed} of them failed in all" if failed else text
