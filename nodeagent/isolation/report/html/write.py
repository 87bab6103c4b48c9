"""One page, whole in itself: scores, then what differs, then figures, then every probe. What pods said is escaped."""

from nodeagent.isolation.contract import Report
from nodeagent.isolation.report import matrix
from nodeagent.isolation.report.comparison import Comparison
from nodeagent.isolation.report.html import pairs, parts, plots, probes
from nodeagent.isolation.report.html.looks import SCRIPT, STYLE
from nodeagent.isolation.score import Score
from nodeagent.reports.page import page, text

_TITLE = "Runtime isolation"


def write(report: Report, *, comparison: Comparison | None = None) -> str:
    """The page; with `comparison` what changed stands first."""
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    names = ", ".join(column.name for column in report.columns)
    body = "".join(
        (
            f"<h1>{_TITLE}</h1>\n<p>{text(machine)}. Profile <b>{text(report.profile)}</b>{_level(report)}; "
            f"made {text(report.made)}{', quick: fewer and shorter runs' if report.quick else ''}.</p>\n",
            _changes(comparison) if comparison is not None else "",
            _matrix(report),
            pairs.section(report),
            plots.section(report),
            probes.closing(report),
            probes.section(report),
        )
    )
    return page(f"{_TITLE}: {names}", body, style=STYLE, script=SCRIPT)


def _level(report: Report) -> str:
    if not report.level:
        return ""
    why = f" ({text('; '.join(report.violations))})" if report.violations else ""
    return f", which meets <b>{text(report.level)}</b> of the Pod Security Standards{why}"


def _matrix(report: Report) -> str:
    scores = matrix.scores(report)
    rows = [
        parts.row((text(title), *(_score(scores.get(group, {}).get(column.name)) for column in report.columns)))
        for group, title in report.groups.items()
    ]
    about = "".join(
        f"<li><b>{text(column.name)}</b> {text(column.runtime)}"
        + (f' <span class="bad">was not evaluated: {text(column.error)}</span>' if column.error else "")
        + f' <span class="column">{column.seconds:g} s</span></li>\n'
        for column in report.columns
    )
    rule = (
        "100: nothing of the group's risk is open; each probe weighs by its risk (high 9, medium 3, low 1), "
        "open counts whole, limited by half or by the share that its evidence names."
    )
    heads = ("Group", *(column.name for column in report.columns))
    return f"<h2>Scores</h2>\n{parts.table(heads, rows, 'matrix')}<p>{rule}</p>\n<ul>\n{about}</ul>\n"


def _score(score: Score | None) -> str:
    if score is None:
        return '<span class="none">-</span>'
    bar = f'<span class="score"><i style="width: {score.value}%"></i></span>' if score.value is not None else ""
    return f"{text(matrix.shown(score))}{bar}"


def _changes(comparison: Comparison) -> str:
    notes = "".join(f"<li>{text(note)}</li>\n" for note in comparison.notes)
    rows = [
        parts.row(
            (
                text(each.kind),
                text(each.column),
                parts.link(each.probe, each.probe),
                parts.cell(each.before),
                parts.cell(each.after),
            )
        )
        for each in comparison.differences
    ]
    told = parts.table(("", "Runtime", "Probe", "Before", "Now"), rows, "changes") if rows else "<p>Nothing.</p>\n"
    return f"<h2>Changed since {text(comparison.made)}</h2>\n<ul>\n{notes}</ul>\n{told}"
