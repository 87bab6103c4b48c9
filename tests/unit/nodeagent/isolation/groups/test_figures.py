"""From runs to figures."""

import pytest

from nodeagent.isolation.contract import Figure
from nodeagent.isolation.groups.facts import NoFact
from nodeagent.isolation.groups.figures import figure, lost, slowness, spread


def test_median_and_quartiles() -> None:
    """In the unit that is shown, with the host's median beside it."""
    found = figure([4000, 1000, 2000, 3000, 5000], "us", scale=1e-3, host=[500, 700])
    assert found == Figure(unit="us", median=3, low=2, high=4, runs=(4, 1, 2, 3, 5), host=0.6)
    assert spread(found) == "3 us (quartiles 2 and 4, 5 runs)"


def test_one_run_has_no_spread() -> None:
    assert figure([2.34567], "ms") == Figure(unit="ms", median=2.346, low=2.346, high=2.346, runs=(2.346,))


@pytest.mark.parametrize("runs", [[], None, "EINVAL"])
def test_no_runs(runs: object) -> None:
    """An error's name is the reason; as the host's, they leave the figure without it."""
    with pytest.raises(NoFact, match="EINVAL" if runs == "EINVAL" else "no runs"):
        figure(runs, "ms")
    assert figure([1], "ms", host=runs).host is None


def test_slower_and_lost() -> None:
    """Half of the speed is lost where it takes twice as long, or half as much is done; nothing where it is faster."""
    assert slowness(20, 10) == slowness(10, 20, more_is_better=True) == 2
    assert slowness(1, 0) is None
    assert (lost(2), lost(1), lost(0.5)) == (0.5, 0, 0)
