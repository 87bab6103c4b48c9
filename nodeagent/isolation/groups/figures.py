"""From runs to a figure: median and quartiles; how much slower, and what share of the speed is lost. Pure."""

import statistics
from collections.abc import Sequence

from nodeagent.isolation.contract import Figure
from nodeagent.isolation.groups.facts import NoFact


def figure(runs: object, unit: str, *, scale: float = 1.0, host: object = None) -> Figure:
    """Of runs, each times `scale`; `host`: its runs. Raises NoFact: they are none (an error's name, or nothing)."""
    own = numbers(runs, scale)
    low, median, high = quartiles(own)
    bare = _median(host, scale)
    return Figure(unit=unit, median=median, low=low, high=high, runs=tuple(map(short, own)), host=bare)


def numbers(runs: object, scale: float = 1.0) -> list[float]:
    """Raises NoFact."""
    if isinstance(runs, str):
        raise NoFact(f"it could not be done: {runs}")
    if not isinstance(runs, Sequence) or not runs:
        raise NoFact("there are no runs")
    return [float(run) * scale for run in runs]


def quartiles(runs: Sequence[float]) -> tuple[float, float, float]:
    """Of one run: three times itself."""
    found = statistics.quantiles(runs, n=4, method="inclusive") if len(runs) > 1 else [runs[0]] * 3
    return short(found[0]), short(found[1]), short(found[2])


def short(value: float) -> float:
    """With four digits that count: more of them says nothing."""
    return float(f"{value:.4g}")


def _median(runs: object, scale: float) -> float | None:
    try:
        return short(statistics.median(numbers(runs, scale)))
    except NoFact:
        return None


def spread(found: Figure) -> str:
    """For evidence."""
    return f"{found.median:g} {found.unit} (quartiles {found.low:g} and {found.high:g}, {len(found.runs)} runs)"


def slowness(ours: float, theirs: float, *, more_is_better: bool = False) -> float | None:
    """How many times as slow as theirs; None: that cannot be said."""
    above, below = (theirs, ours) if more_is_better else (ours, theirs)
    return above / below if above > 0 and below > 0 else None


def lost(times_slower: float) -> float:
    """The share of the speed that is lost: 0 for as fast or faster, ½ for twice as slow, and so on up to 1."""
    return max(0.0, 1 - 1 / times_slower) if times_slower > 0 else 0.0
