"""The matrix itself: its points exist, its cases are many, named and repeatable."""

import importlib

import pytest

from tests.crash.cases import Case, all_cases, chosen
from tests.crash.faults import POINTS, Point
from tests.crash.groups import GROUP, groups


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_point_is_a_function_of_the_agent(point: Point) -> None:
    """What a fault is wrapped around is there; a function that moves takes its point along."""
    module, _, path = point.target.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    assert callable(found)


def test_cases_have_names_of_their_own() -> None:
    """A case is repeated by its name; there are more than 200 of them."""
    names = [case.id for case in all_cases()]
    assert len(names) == len(set(names))
    assert len(names) >= 200


def test_a_seed_always_chooses_the_same() -> None:
    """The same cases in the same order with the same moments; another seed chooses others."""
    one, again, other = (chosen(all_cases(), 50, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert [case.delay_seconds(1) for case in one] == [case.delay_seconds(1) for case in again]


def test_a_small_sample_spreads() -> None:
    """Forty cases strike at most of the points and in every mode."""
    sample = chosen(all_cases(), 40, 3)
    assert len({case.point for case in sample}) > 30
    assert len({case.mode for case in sample}) >= 10


def test_only_what_strikes_one_pod_runs_side_by_side() -> None:
    """A fault of the whole agent has it for itself; a group goes one way; nothing is left out."""
    made = groups(all_cases())
    assert sorted(case.id for group in made for case in group) == sorted(case.id for case in all_cases())
    for group in made:
        assert len(group) == 1 or (len(group) <= GROUP and not any(case.alone for case in group))
        assert len({case.way for case in group}) == 1


def test_names_tell_the_case() -> None:
    assert Case(scenario="multi", point="start", mode="kill-after", nth=2).id == "multi/start/kill-after@2"
