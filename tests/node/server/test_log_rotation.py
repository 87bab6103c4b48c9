"""Rotation of real containers' logs while they write and while somebody follows: nothing is lost, nothing comes twice."""

import asyncio
import gzip
import itertools
from pathlib import Path

import pytest

from nodeagent.container_logs.rotator import LogLimits, LogRotator
from nodeagent.server.log_lines import parse_line
from proto import cri_pb2 as cri

pytestmark = pytest.mark.node

LINES = 50_000
SCRIPT = (
    f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; [ $((i % 2500)) = 0 ] && sleep 0.15; done; sleep 0.2"
)


def kept_lines(log: Path) -> list[str]:
    """What the container wrote, as far as its files hold it; the first line may lack its beginning."""
    text = b""
    for path in [*sorted(log.parent.glob(f"{log.name}.*")), log]:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = [parse_line(raw) for raw in data.splitlines()]
        assert None not in lines
        text += b"".join(line.content + (b"" if line.partial else b"\n") for line in lines)
    return text.decode().splitlines()


async def rotate_while_running(node, container_id: str, rotator: LogRotator) -> int:
    rotations = 0
    while (await node.subject.status(container_id)).state == cri.CONTAINER_RUNNING:
        await rotator.look()
        rotations += 1
        await asyncio.sleep(0.05)
    return rotations


CUT = "[nodeagent: "


def _next_to(line: str, following: str) -> bool:
    return int(following.removeprefix("line ")) == int(line.removeprefix("line ")) + 1


@pytest.mark.parametrize("node", ["runc", "runsc"], indirect=True)
async def test_follow_across_rotations(node):
    """50,000 lines through rotations at 64 KiB: a follower at the node's endpoint gets each once, in order."""
    container_id = await node.run("one", "sleep 0.3; " + SCRIPT)
    log = Path((await node.subject.status(container_id)).log_path)
    limits = LogLimits(max_bytes=64 * 1024, max_files=5, workers=1, interval_seconds=10)
    rotator = LogRotator([node.pods.runtime], log.parents[1], limits)
    async with node.endpoint.http() as http, http.get("/containerLogs/default/one/main?follow=true") as answer:
        rotating = asyncio.create_task(rotate_while_running(node, container_id, rotator))
        text = await answer.text()
        await rotating
    assert text.splitlines() == [f"line {number}" for number in range(1, LINES + 1)]
    rotated = sorted(path.name for path in log.parent.iterdir())
    assert (
        len(rotated) == 5 and rotated[0] == log.name and [name[-3:] == ".gz" for name in rotated[1:]].count(True) == 3
    )
    kept = kept_lines(log)[1:]
    assert kept[-1] == f"line {LINES}"
    # on a busy machine it may be written faster than it can be kept: what was cut is told where it was
    gaps = [pair for pair in itertools.pairwise(kept) if not any(CUT in line for line in pair) and not _next_to(*pair)]
    assert gaps == [], "what is kept on disk is whole, too"
