"""What two sets of findings differ in: one runtime before and now, or two runtimes beside each other. Pure.

A verdict differs by what is exposed; a figure only when the spreads (the quartiles) of both lie apart.
"""

import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nodeagent.isolation.contract import Column, Figure, Finding, Report, Verdict
from nodeagent.isolation.report.matrix import by_probe
from nodeagent.isolation.score import exposure

_SAME_EXPOSURE = 0.01
_UNITS_OF_COST = frozenset({"s", "ms", "us", "µs", "ns", "B", "bytes", "KiB", "MiB", "GiB"})


class Kind(enum.StrEnum):
    """WORSE, BETTER: more is exposed, or less. COSTLIER, CHEAPER: of figures. LOST: it is not found out any more.
    OTHER: blocked by something else, or a figure that is good or bad for nobody."""

    WORSE = "worse"
    BETTER = "better"
    COSTLIER = "costlier"
    CHEAPER = "cheaper"
    LOST = "lost"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One probe of one column, in the first report and in the second."""

    column: str
    kind: Kind
    before: Finding
    after: Finding

    @property
    def probe(self) -> str:
        return self.after.probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`made`: of the older report. `notes`: what cannot be compared, or is not like the other, a line each."""

    made: str
    notes: tuple[str, ...]
    differences: tuple[Difference, ...]


def compare(old: Report, new: Report) -> Comparison:
    """What changed, in the order of the new one's columns and probes."""
    before = {column.name: column for column in old.columns}
    found: list[Difference] = []
    for column in new.columns:
        if column.name in before:
            found += _differences(before[column.name], column)
    return Comparison(made=old.made, notes=tuple(_notes(old, new)), differences=tuple(found))


def difference(before: Finding, after: Finding) -> Kind | None:
    """How the second differs; None: it does not, as far as can be known."""
    if Verdict.FAILED in (before.verdict, after.verdict):
        return None if before.verdict is after.verdict else Kind.LOST if after.verdict is Verdict.FAILED else Kind.OTHER
    if before.verdict is not after.verdict:
        return _by_exposure(before, after) or Kind.OTHER
    if before.figure is not None and after.figure is not None:
        return _moved(before.figure, after.figure)
    if (found := _by_exposure(before, after)) is not None:
        return found
    return Kind.OTHER if before.by is not after.by else None


def _by_exposure(before: Finding, after: Finding) -> Kind | None:
    was, now = _exposed(before), _exposed(after)
    if was is None or now is None or abs(now - was) < _SAME_EXPOSURE:
        return None
    return Kind.WORSE if now > was else Kind.BETTER


def _exposed(finding: Finding) -> float | None:
    return 0.0 if finding.verdict is Verdict.NOT_APPLICABLE else exposure(finding)


def _moved(before: Figure, after: Figure) -> Kind | None:
    if before.unit != after.unit:
        return Kind.OTHER
    more, less = after.low > before.high, after.high < before.low
    if not more and not less:
        return None
    if after.unit.endswith("/s"):
        return Kind.CHEAPER if more else Kind.COSTLIER
    if after.unit in _UNITS_OF_COST:
        return Kind.COSTLIER if more else Kind.CHEAPER
    return Kind.OTHER


def _differences(old: Column, new: Column) -> Iterator[Difference]:
    before = by_probe(old)
    for after in new.findings:
        if after.probe in before and (kind := difference(before[after.probe], after)) is not None:
            yield Difference(column=new.name, kind=kind, before=before[after.probe], after=after)


def _notes(old: Report, new: Report) -> Iterator[str]:
    for name in ("profile", "level", "quick"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield f"{name}: {was} before, {now} now"
    for name in dict.fromkeys((*old.machine, *new.machine)):
        was, now = old.machine.get(name, "not told"), new.machine.get(name, "not told")
        if was != now:
            yield f"{name}: {was} before, {now} now"
    columns = [{column.name: column for column in report.columns} for report in (old, new)]
    for name in dict.fromkeys((*columns[0], *columns[1])):
        yield from _notes_of_column(name, columns[0].get(name), columns[1].get(name))
    yield from _notes_of_questions("before", old, new)
    yield from _notes_of_questions("now", new, old)


def _notes_of_questions(when: str, own: Report, other: Report) -> Iterator[str]:
    known = {question.id for question in other.questions}
    for group, count in Counter(question.group for question in own.questions if question.id not in known).items():
        yield f"asked only {when}: {count} of {group}"


def _notes_of_column(name: str, old: Column | None, new: Column | None) -> Iterator[str]:
    if old is None or new is None:
        yield f"{name}: only {'now' if old is None else 'before'}"
        return
    if old.runtime != new.runtime:
        yield f"{name}: {old.runtime} before, {new.runtime} now"
    for when, column, other in (("before", old, new), ("now", new, old)):
        if column.error and not other.error:
            yield f"{name}: not evaluated {when}: {column.error}"
