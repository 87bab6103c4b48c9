"""Figures with their spreads, as inline SVG: a row for each column, quartiles as a bar, the median and each run as marks."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from nodeagent.isolation.contract import Figure, Question, Report
from nodeagent.isolation.report import matrix
from nodeagent.isolation.report.html import parts
from nodeagent.reports.page import text

_ROW, _LEFT, _RIGHT, _WIDTH = 22, 110, 190, 760
_LOGARITHMIC_FROM: Final = 30.0  # times the smallest: what is smaller could not be seen beside it


def section(report: Report) -> str:
    """Empty: nothing was measured."""
    drawn = [_figure(question, figures) for question in report.questions if (figures := _of(report, question))]
    if not drawn:
        return ""
    told = "Bars: from the lower quartile to the upper one; the long mark is the median, short ones are single runs, the dashed "
    return f'<h2 id="figures">Figures, with spread</h2>\n<p>{told}line is the bare host.</p>\n{"".join(drawn)}'


def _of(report: Report, question: Question) -> list[tuple[str, Figure]]:
    findings = ((column.name, matrix.by_probe(column).get(question.id)) for column in report.columns)
    return [(name, found.figure) for name, found in findings if found is not None and found.figure is not None]


def _figure(question: Question, figures: Sequence[tuple[str, Figure]]) -> str:
    host = next((figure.host for _, figure in figures if figure.host is not None), None)
    values = [value for _, each in figures for value in (each.low, each.median, each.high, *each.runs)]
    at, is_logarithmic = scale([*values, *([host] if host is not None else [])])
    height = _ROW * len(figures) + 6
    line = (
        f'<line class="host" x1="{at(host):.1f}" x2="{at(host):.1f}" y1="0" y2="{height}"/>' if host is not None else ""
    )
    rows = "".join(_row(place, name, figure, at) for place, (name, figure) in enumerate(figures))
    unit = text(figures[0][1].unit)
    return (
        f"<figure><figcaption>{parts.link(question.id, question.title)}, {unit}"
        f"{' (logarithmic)' if is_logarithmic else ''}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{text(question.title)}, {unit}">{line}{rows}</svg>'
        "</figure>\n"
    )


def _row(place: int, name: str, figure: Figure, at: Callable[[float], float]) -> str:
    top = place * _ROW + 4
    middle = top + 11
    low, high = at(figure.low), at(figure.high)
    runs = "".join(
        f'<line class="run" x1="{at(run):.1f}" x2="{at(run):.1f}" y1="{top + 5}" y2="{top + 10}"/>'
        for run in figure.runs
    )
    ratio = f", {matrix.ratio(figure)}" if matrix.ratio(figure) else ""
    told = f"{matrix.amount(figure)} ({matrix.spread(figure)}){ratio}"
    return (
        f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{text(name[:18])}</text>'
        f'<rect class="spread" x="{low:.1f}" y="{top + 2}" width="{max(1.0, high - low):.1f}" height="11">'
        f"<title>{text(told)}</title></rect>{runs}"
        f'<line class="median" x1="{at(figure.median):.1f}" x2="{at(figure.median):.1f}" y1="{top}" y2="{top + 15}"/>'
        f'<text x="{_WIDTH - _RIGHT + 8}" y="{middle}">{text(told)}</text>\n'
    )


def scale(values: Sequence[float]) -> tuple[Callable[[float], float], bool]:
    """Value -> place in the picture, and whether that is by logarithms; otherwise it begins at nothing."""
    room = _WIDTH - _LEFT - _RIGHT
    good = [value for value in values if math.isfinite(value)]
    smallest, greatest = min(good, default=0.0), max(good, default=0.0)
    if smallest > 0 and greatest / smallest >= _LOGARITHMIC_FROM:
        span = math.log(greatest / smallest)
        return lambda value: _LEFT + room * math.log(max(value, smallest) / smallest) / span, True
    begin, end = min(0.0, smallest), max(0.0, greatest)
    return lambda value: _LEFT + room * (value - begin) / ((end - begin) or 1.0), False
