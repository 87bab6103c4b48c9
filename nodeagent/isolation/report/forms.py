"""The forms of a report, by the name that `--output` knows them by."""

from collections.abc import Callable, Mapping
from functools import partial

from nodeagent.isolation.contract import Report
from nodeagent.isolation.report import document, table
from nodeagent.isolation.report.comparison import Comparison
from nodeagent.isolation.report.html import write as html
from nodeagent.reports.destinations import TABLE

NAMES = (TABLE, "json", "html")


def forms(comparison: Comparison | None, width: int) -> Mapping[str, Callable[[Report], str]]:
    """Name -> what writes it. The JSON is the report alone: what changed follows from two of them."""
    return {
        TABLE: partial(table.write, comparison=comparison, width=width),
        "json": document.written,
        "html": partial(html.write, comparison=comparison),
    }
