"""How `nodeagent top` looks: a node's use as lines of text, or as JSON. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from nodeagent.cli.output import human_bytes
from nodeagent.cli.usage import NodeUse, PodUse, Threshold

_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"
_RIGHT = frozenset({"CPU", "MEMORY", "DISK", "PROCESSES", "AVAILABLE", "THRESHOLD", "DISTANCE", "SOME", "ALL"})


def lines(use: NodeUse, sort: str, *, colours: bool = False) -> list[str]:
    """`sort`: cpu or memory, the greatest first. `colours`: for a terminal."""
    state = ", ".join(("Ready" if use.ready else "NotReady", *use.pressures))
    heading = f"{use.name}  {state}"
    alarm = not use.ready or use.pressures
    found = [_coloured(heading, _RED if alarm else _BOLD, colours), "", *_node(use)]
    if use.stalls:
        rows = [[name, f"{some:.1f}%", f"{full:.1f}%"] for name, (some, full) in use.stalls.items()]
        found += ["", *_table(("WAITING FOR", "SOME", "ALL"), rows, colours)]
    if use.thresholds:
        marks = [each.distance < 0 for each in use.thresholds]
        rows = [_threshold(each) for each in use.thresholds]
        found += ["", *_table(("EVICTION BY", "KIND", "AVAILABLE", "THRESHOLD", "DISTANCE"), rows, colours, marks)]
    columns = ("NAMESPACE", "POD", "CPU", "MEMORY", "DISK", "PROCESSES")
    return [*found, "", *_table(columns, [_pod(pod) for pod in ordered(use.pods, sort)], colours)]


def ordered(pods: Sequence[PodUse], sort: str) -> list[PodUse]:
    def keys(pod: PodUse) -> tuple[int, int, str, str]:
        figures = (pod.cpu_millicores or 0, pod.memory_bytes or 0)
        first, second = figures if sort == "cpu" else figures[::-1]
        return -first, -second, pod.namespace, pod.name

    return sorted(pods, key=keys)


def document(use: NodeUse, sort: str) -> dict[str, Any]:
    """As JSON: the fields of `usage.NodeUse`, the distance of each threshold, the pods in order."""
    return node_document(use) | {"pods": [asdict(pod) for pod in ordered(use.pods, sort)]}


def node_document(use: NodeUse) -> dict[str, Any]:
    """The same without the pods."""
    found = asdict(replace(use, pods=()))
    del found["pods"]
    found["stalls"] = {name: {"some": some, "full": full} for name, (some, full) in use.stalls.items()}
    found["thresholds"] = [{**asdict(each), "distance": each.distance} for each in use.thresholds]
    return found


def _node(use: NodeUse) -> list[str]:
    return [
        f"CPU        {_millicores(use.cpu_millicores)} of {use.cpus * 1000}m{_share(use.cpu_millicores, use.cpus * 1000)}",
        f"memory     {human_bytes(use.memory_bytes)} of {human_bytes(use.memory_total_bytes)}"
        f"{_share(use.memory_bytes, use.memory_total_bytes)}, swap {human_bytes(use.swap_bytes)}",
        f"processes  {use.processes} of {use.max_processes}",
    ]


def _share(part: int | None, whole: int) -> str:
    return f" ({round(part * 100 / whole)}%)" if part is not None and whole else ""


def _threshold(each: Threshold) -> list[str]:
    show = human_bytes if each.signal.endswith(("memory.available", "fs.available")) else str
    sign = "-" if each.distance < 0 else ""
    figures = [show(each.available), show(each.threshold), f"{sign}{show(abs(each.distance))}"]
    return [each.signal, "hard" if each.hard else "soft", *figures]


def _pod(pod: PodUse) -> list[str]:
    return [
        _plain(pod.namespace),
        _plain(pod.name),
        _millicores(pod.cpu_millicores),
        _bytes(pod.memory_bytes),
        _bytes(pod.disk_bytes),
        "?" if pod.processes is None else str(pod.processes),
    ]


def _plain(name: str) -> str:
    """Names are labels in a runtime that others may use, too: nothing in them may move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _millicores(count: int | None) -> str:
    return "?" if count is None else f"{count}m"


def _bytes(count: int | None) -> str:
    return "?" if count is None else human_bytes(count)


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], colours: bool, marks: Sequence[bool] = ()
) -> list[str]:
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    texts = [
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        ).rstrip()
        for row in (columns, *rows)
    ]
    marked = {number for number, mark in enumerate(marks, start=1) if mark}
    return [
        _coloured(text, _BOLD if number == 0 else _RED, colours and (number == 0 or number in marked))
        for number, text in enumerate(texts)
    ]


def _coloured(text: str, colour: str, colours: bool) -> str:
    return f"{colour}{text}{_PLAIN}" if colours else text
