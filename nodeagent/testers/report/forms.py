"""The forms of a run's report, by the name that `--output` knows them by."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nodeagent.reports.destinations import TABLE
from nodeagent.testers.record import Run
from nodeagent.testers.report import html, json, junit, table, tap

FORMS: Final[Mapping[str, Callable[[Run], str]]] = MappingProxyType(
    {TABLE: table.write, "junit": junit.write, "json": json.write, "tap": tap.write, "html": html.write}
)
