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
    help: str
    keys: tuple[str, ...]
    kind: str = "gauge"
    lines: list[str] = field(default_factory=list)


def runtime_text(told: Sequence[RuntimeMetrics], paths: Mapping[str, str], known: Iterable[Metric]) -> bytes:
    """In whole numbers, without the families that are `known` better. `paths`: cgroups by what runtimes call what is in them."""
    names = {metric.name for metric in known}
    found = {
        each.name: _Family(help=_escaped_help(each.help), keys=tuple(each.label_keys))
        for each in merged_descriptors(told)
        if not names & {each.name.removesuffix("_total"), each.name}
    }
    rows: dict[tuple[str, ...], str] = {}
    for sample in _samples(merged_metrics(told)):
        family = found.get(sample.name)
        if family is None:
            continue
        if sample.metric_type == cri.COUNTER:
            family.kind = "counter"
        labels = _labels(family.keys, tuple(sample.label_values), paths, rows)
        time = f" {sample.timestamp // _NANO_PER_MILLI}" if sample.timestamp else ""
        family.lines.append(f"{sample.name}{{{labels}}} {sample.value.value}{time}\n")
    return "".join(_written(name, family) for name, family in found.items() if family.lines).encode()


def _written(name: str, family: _Family) -> str:
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.kind}\n" + "".join(family.lines)


def _labels(
    keys: tuple[str, ...], values: tuple[str, ...], paths: Mapping[str, str], rows: dict[tuple[str, ...], str]
) -> str:
    """`rows`: texts of the labels that all samples of a row have; filled."""
    if keys[: len(LABELS)] != LABELS:
        return _pairs(keys, values)
    row = values[: len(LABELS)]
    text = rows.get(row)
    if text is None:
        own = list(row)
        own[_ID] = paths.get(row[_NAME], row[_ID])
        text = rows[row] = _pairs(LABELS, own)
    return f"{text},{_pairs(keys[len(LABELS) :], values[len(LABELS) :])}" if len(keys) > len(LABELS) else text


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
