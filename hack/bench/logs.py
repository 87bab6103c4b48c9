#!/usr/bin/env python3
"""How fast a container's log can be followed, and whether anything is lost on the way.

    hack/bench/logs.py --kubeconfig F [--node N] [--runtime-class C] [--lines 1000000] [--image I] [--output text|json]

A pod writes numbered lines of 100 bytes as fast as it can, and is followed from its first line (`logs -f`): at the node's
endpoint, and, with another pod, through the API. Then each log is read again, as far as the node has not rotated it away.
MB/s count what the client receives. Every line is checked: a lost, doubled or damaged one ends the run with an error.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

from cluster import Cluster, connect

LINE_BYTES = 100


def writer(lines: int) -> str:
    pad = "x" * (LINE_BYTES - 10)
    return (
        "while ! test -e /tmp/go; do sleep 0.1; done; "
        f'awk \'BEGIN {{ for (i = 1; i <= {lines}; i++) printf "%08d %s\\n", i, "{pad}" }}\'; '
        "while ! test -e /tmp/end; do sleep 0.1; done"
    )


class Check:
    """That lines follow one upon the other; `first` 0: the first may have any number, or lack its beginning."""

    def __init__(self, first: int) -> None:
        self._expected = first
        self._rest = b""
        self.bytes = 0
        self.lines = 0
        self._tail = b" " + b"x" * (LINE_BYTES - 10)

    @property
    def last(self) -> int:
        return self._expected - 1

    def take(self, data: bytes) -> None:
        self.bytes += len(data)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if lines and not self.lines and not self._expected:
            self.lines, self._expected = 1, int(lines[1][:8]) if len(lines) > 1 else 0
            lines = lines[1:]
        for line in lines:
            number = self._expected or int(line[:8])
            if line != b"%08d" % number + self._tail:
                raise SystemExit(f"line {number} was expected, this came: {line[:40]!r} ({len(line)} bytes)")
            self._expected = number + 1
            self.lines += 1


async def receive(cluster: Cluster, base: str, path: str, check: Check, lines: int) -> float:
    """Seconds from the first byte to the last line."""
    async with cluster.session(base) as http, http.get(path) as answer:
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {await answer.text()}")
        began = 0.0
        async for data in answer.content.iter_any():
            began = began or time.monotonic()
            check.take(data)
            if check.last >= lines:
                return time.monotonic() - began
    raise SystemExit(f"{path}: ended after line {check.last} of {lines}")


async def measure(cluster: Cluster, options: argparse.Namespace, base: str, path: str, follow: str) -> dict[str, Any]:
    pod = await asyncio.to_thread(
        cluster.run, writer(options.lines), image=options.image, runtime_class=options.runtime_class
    )
    try:
        followed = Check(1)
        following = asyncio.create_task(
            receive(cluster, base, path.format(pod=pod) + f"?{follow}", followed, options.lines)
        )
        await asyncio.to_thread(cluster.kubectl, "exec", "-n", "default", pod, "--", "touch", "/tmp/go")
        follow_seconds = await following
        again = Check(0)
        read_seconds = await receive(cluster, base, path.format(pod=pod), again, options.lines)
    finally:
        await asyncio.to_thread(cluster.delete, pod)
    return {
        "follow": figures(followed, follow_seconds),
        "read": figures(again, read_seconds),
    }


def figures(check: Check, seconds: float) -> dict[str, Any]:
    rate = round(check.bytes / 1e6 / seconds, 1) if seconds else None
    return {"lines": check.lines, "megabytes": round(check.bytes / 1e6, 1), "mb_per_second": rate}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--node", default="")
    parser.add_argument("--runtime-class", default="")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--image", default="localhost/demo:1")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    cluster = connect(options.kubeconfig, options.node)
    ways = {
        "node": (cluster.node, "/containerLogs/default/{pod}/c", "follow=true"),
        "api": (cluster.api, "/api/v1/namespaces/default/pods/{pod}/log", "follow=true"),
    }
    result = {name: asyncio.run(measure(cluster, options, *way)) for name, way in ways.items()}
    if options.output == "json":
        print(json.dumps(result, indent=1))
        return 0
    for name, found in result.items():
        for kind, value in found.items():
            print(
                f"{name:5} {kind:7} {value['lines']:>9} lines {value['megabytes']:>7} MB {value['mb_per_second']:>7} MB/s"
                ", every line once and in order"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
