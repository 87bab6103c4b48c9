"""What runtimes measure, in the text that a scraper reads: straight from the CRI's messages, for there are many of them.

With 80 pods a page has 12,000 lines; by way of prometheus_client's samples each took several times as long.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric

from proto import cri_pb2 as cri
from runtimes.metrics import LABELS
from runtimes.serve.metrics import RuntimeMetrics, merged_descriptors, merged_metrics

_NANO_PER_MILLI = 1_000_000
_ID, _NAME = LABELS.index("id"), LABELS.index("name")


@dataclass(slots=True, kw_only=True)
class _Family:
    """`keys`: of all labels. `more`: texts of those labels that not every family has, by their values."""

    help: str
    keys: tuple[str, ...]
    kind: str = "gauge"
    lines: list[str] = field(default_factory=list)
    more: dict[tuple[str, ...], str] = field(default_factory=dict)


def runtime_text(told: Sequence[RuntimeMetrics], paths: Mapping[str, str], known: Iterable[Metric]) -> bytes:
    """In whole numbers, without the families that are `known` better. `paths`: cgroups by what runtimes call what is in them."""
    names = {metric.name for metric in known}
    found = {
        each.name: _Family(help=_escaped_help(each.help), keys=tuple(each.label_keys))
        for each in merged_descriptors(told)
        if not names & {each.name.removesuffix("_total"), each.name}
    }
    labels = _Labels(paths)
    for sample in _samples(merged_metrics(told)):
        # a message makes anew what is read of it: each thing is read once, and labels as a slice, in half the time of a tuple
        name, at_ns = sample.name, sample.timestamp
        family = found.get(name)
        if family is None:
            continue
        if sample.metric_type == cri.COUNTER:
            family.kind = "counter"
        time = f" {at_ns // _NANO_PER_MILLI}" if at_ns else ""
        family.lines.append(f"{name}{{{labels.of(family, sample.label_values[:])}}} {sample.value.value}{time}\n")
    return "".join(_written(name, family) for name, family in found.items() if family.lines).encode()


def _written(name: str, family: _Family) -> str:
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.kind}\n" + "".join(family.lines)


class _Labels:
    """Texts of labels, each made once: all samples of a row share LABELS, and many rows have the same devices and interfaces."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._rows: dict[tuple[str, ...], str] = {}

    def of(self, family: _Family, values: list[str]) -> str:
        keys = family.keys
        if keys[: len(LABELS)] != LABELS:
            return _pairs(keys, values)
        row = tuple(values[: len(LABELS)])
        text = self._rows.get(row)
        if text is None:
            own = list(row)
            own[_ID] = self._paths.get(row[_NAME], row[_ID])
            text = self._rows[row] = _pairs(LABELS, own)
        if len(keys) == len(LABELS):
            return text
        rest = tuple(values[len(LABELS) :])
        more = family.more.get(rest)
        if more is None:
            more = family.more[rest] = _pairs(keys[len(LABELS) :], rest)
        return f"{text},{more}"


def _pairs(keys: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{key}="{_escaped(value)}"' for key, value in zip(keys, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escaped_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _samples(pods: Iterable[cri.PodSandboxMetrics]) -> Iterator[cri.Metric]:
    for pod in pods:
        yield from pod.metrics
        for container in pod.container_metrics:
            yield from container.metrics
