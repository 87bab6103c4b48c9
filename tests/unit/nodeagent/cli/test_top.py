"""`nodeagent top`: how it looks."""

import json
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from nodeagent.cli.app import app
from nodeagent.cli.top import frame
from nodeagent.cli.top_view import document, lines
from nodeagent.cli.usage import NodeUse, PodUse, Threshold

MI = 1 << 20
WEB = PodUse(namespace="shop", name="web", cpu_millicores=250, memory_bytes=9 * MI, disk_bytes=4096, processes=3)
DATABASE = replace(WEB, name="database", cpu_millicores=30, memory_bytes=90 * MI, disk_bytes=None)
NEW = PodUse(namespace="a", name="n\x1b[Hw", cpu_millicores=None, memory_bytes=None, disk_bytes=None, processes=None)
USE = NodeUse(
    name="n1",
    ready=True,
    pressures=("MemoryPressure",),
    cpus=2,
    cpu_millicores=500,
    memory_bytes=300 * MI,
    memory_total_bytes=1000 * MI,
    swap_bytes=0,
    processes=7,
    max_processes=100,
    stalls={"cpu": (2.54, 0.0)},
    thresholds=(
        Threshold(signal="memory.available", hard=True, available=90 * MI, threshold=100 * MI, capacity=1000 * MI),
        Threshold(signal="nodefs.inodesFree", hard=False, available=90, threshold=5, capacity=1000),
    ),
    pods=(DATABASE, NEW, WEB),
)


def test_the_whole_page() -> None:
    """The node, what it waits for, how far it is from evicting, and the pods by CPU."""
    assert (
        "\n".join(lines(USE, "cpu"))
        == """\
n1  Ready, MemoryPressure

CPU        500m of 2000m (25%)
memory     300.0MiB of 1000.0MiB (30%), swap 0B
processes  7 of 100

WAITING FOR  SOME   ALL
cpu          2.5%  0.0%

EVICTION BY        KIND  AVAILABLE  THRESHOLD  DISTANCE
memory.available   hard    90.0MiB   100.0MiB  -10.0MiB
nodefs.inodesFree  soft         90          5        85

NAMESPACE  POD        CPU   MEMORY    DISK  PROCESSES
shop       web       250m   9.0MiB  4.0KiB          3
shop       database   30m  90.0MiB       ?          3
a          n?[Hw        ?        ?       ?          ?"""
    )


def test_by_memory() -> None:
    """The greatest first; the JSON has the same order."""
    assert [line.split()[1] for line in lines(USE, "memory")[-3:]] == ["database", "web", "n?[Hw"]
    found = json.loads(json.dumps(document(USE, "memory")))
    assert [pod["name"] for pod in found["pods"]] == ["database", "web", NEW.name]
    assert found["thresholds"][0]["distance"] == -10 * MI
    assert found["stalls"] == {"cpu": {"some": 2.54, "full": 0.0}}


def test_a_node_without_pods() -> None:
    """The headings stay."""
    assert lines(replace(USE, pods=(), thresholds=(), stalls={}), "cpu")[-1].split() == [
        *("NAMESPACE", "POD", "CPU", "MEMORY", "DISK", "PROCESSES")
    ]


def test_colours() -> None:
    """Red is what is wrong: the node under pressure, a threshold that is passed; a good node has none of it."""
    shown = lines(USE, "cpu", colours=True)
    assert [line for line in shown if line.startswith("\x1b[31m")] == [
        "\x1b[31mn1  Ready, MemoryPressure\x1b[0m",
        "\x1b[31mmemory.available   hard    90.0MiB   100.0MiB  -10.0MiB\x1b[0m",
    ]
    good = replace(USE, pressures=(), thresholds=USE.thresholds[1:])
    assert not [line for line in lines(good, "cpu", colours=True) if "\x1b[31m" in line]


def test_a_frame_fits_the_terminal() -> None:
    """No line wraps and none scrolls: colours are kept whole, each line ends what was there before, and so does the last."""
    shown = ["\x1b[1mheading of a table\x1b[0m", "short"]
    assert frame(shown, 7, 3) == "\x1b[H\x1b[1mheading\x1b[0m\x1b[K\r\nshort\x1b[K\x1b[J"


def test_a_small_terminal() -> None:
    """What has no room is not left out in silence: the last line counts it."""
    assert frame(["one", "two", "three"], 80, 3) == (
        "\x1b[Hone\x1b[K\r\n... 2 lines more than this terminal has room for\x1b[K\x1b[J"
    )


def test_without_an_agent(tmp_path: Path) -> None:
    """No kubeconfig: one line that says what is missing; exit code 1. An unknown order: 2."""
    result = CliRunner().invoke(app, ["top", "--state-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"nodeagent: {tmp_path}/admin.kubeconfig does not exist; ")
    result = CliRunner().invoke(app, ["top", "--sort", "name"])
    assert result.exit_code == 2
