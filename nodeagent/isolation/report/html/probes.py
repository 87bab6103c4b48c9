"""Every probe with what it says of each column: its evidence, and what would change it."""

from collections.abc import Iterator

from nodeagent.isolation.contract import Finding, Question, Report
from nodeagent.isolation.report import matrix
from nodeagent.isolation.report.html import parts
from nodeagent.reports.page import text


def section(report: Report) -> str:
    """By group; each probe opens."""
    body = ['<h2 id="probes">Every probe</h2>\n<p id="searching" hidden><input id="search" type="search" ']
    body.append('placeholder="search: a word, a verdict, an id" aria-label="search probes"></p>\n')
    for group, title in report.groups.items():
        body.append(f"<h3>{text(title)}</h3>\n")
        body += [_probe(report, question) for question in report.questions if question.group == group]
    return "".join(body)


def closing(report: Report) -> str:
    """Which line of a spec, or flag of a runtime, closes what is open. Empty: none."""
    found = matrix.changes(report)
    titles = {question.id: question.title for question in report.questions}
    if not found:
        return ""
    rows = (
        parts.row(
            (f"<code>{text(change)}</code>", ", ".join(parts.link(each, titles.get(each, each)) for each in probes))
        )
        for change, probes in found.items()
    )
    return '<h2 id="closing">What would change it</h2>\n' + parts.table(
        ("A pod's spec, or a runtime", "Probes"), rows, "closes"
    )


def _probe(report: Report, question: Question) -> str:
    findings = [(column.name, matrix.by_probe(column).get(question.id)) for column in report.columns]
    chips = " ".join(f"<span>{text(name)} {parts.cell(found)}</span>" for name, found in findings if found is not None)
    risk = parts.risk(question.risk)
    rows = (row for name, found in findings if found is not None for row in _finding(name, found))
    return (
        f'<details class="probe" id="{text(question.id)}"><summary><b>{text(question.title)}</b>'
        f"{f' <small>risk {risk}</small>' if risk else ''}<br>{chips}</summary>\n"
        f"<p>{text(question.why)} <code>{text(question.id)}</code></p>\n"
        f"{parts.table(('', 'Verdict', 'What', 'Evidence', 'What would change it'), rows)}</details>\n"
    )


def _finding(name: str, found: Finding) -> Iterator[str]:
    figure = found.figure
    told = [found.value]
    if figure is not None:
        told += [f"{len(figure.runs)} runs", matrix.ratio(figure)]
    value = "; ".join(each for each in told if each)
    yield parts.row(
        (text(name), parts.cell(found), text(value), text(found.evidence), f"<code>{text(found.change)}</code>")
    )
