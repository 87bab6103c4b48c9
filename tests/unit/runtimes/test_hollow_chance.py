"""The draws of the hollow runtime."""

import statistics

from runtimes.hollow.chance import Chance


def test_a_draw_depends_on_the_seed_and_on_what_it_is_for() -> None:
    """Whatever was drawn before, and in any process."""
    one = Chance("7")
    before = [one.share("pod", number) for number in range(20)]
    again = [Chance("7").share("pod", number) for number in reversed(range(20))]
    assert before == again[::-1]
    assert len(set(before)) == 20
    assert before != [Chance("8").share("pod", number) for number in range(20)]
    assert Chance("1").share("ab", "c") != Chance("1").share("a", "bc")


def test_shares_are_evenly_spread() -> None:
    """From 0 to less than 1: a tenth of the draws is below a tenth."""
    drawn = [Chance("1").share(number) for number in range(4000)]
    assert min(drawn) >= 0
    assert max(drawn) < 1
    assert abs(sum(share < 0.1 for share in drawn) - 400) < 80


def test_times_spread_around_their_median() -> None:
    """Half take longer; none takes more than ten times as long; without a spread, or a time, there is nothing to draw."""
    drawn = [Chance("1").seconds(2.0, 0.8, number) for number in range(4000)]
    assert abs(statistics.median(drawn) - 2.0) < 0.1
    assert max(drawn) <= 20.0
    assert max(drawn) > 6.0
    assert Chance("1").seconds(2.0, 0.0, 1) == 2.0
    assert Chance("1").seconds(0.0, 0.8, 1) == 0.0
