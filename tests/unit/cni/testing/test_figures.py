"""What is made of measurements: percentiles of times, and whether a limit of bandwidth held."""

import pytest

from cni.testing.cases.test_timing import percentile
from cni.testing.shaping import BURST_BITS, RATE_BITS, Arrivals

PACKET_BYTES = 1000
INTERVAL_SECONDS = PACKET_BYTES * 8 / RATE_BITS


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (95, 4.0), (99, 4.0)])
def test_percentiles(percent: int, expected: float) -> None:
    """One of the values, whatever their order."""
    assert percentile([4.04, 1.0, 2.0, 3.0], percent) == expected


def arrivals(seconds: float, *, speed: float = 1.0, burst_bits: int = 0) -> Arrivals:
    """Packets at an even pace of `speed` times the limit, after a burst."""
    burst = [0.0] * (burst_bits // (PACKET_BYTES * 8))
    paced = [place * INTERVAL_SECONDS / speed for place in range(int(seconds * speed / INTERVAL_SECONDS))]
    return Arrivals([*burst, *paced], PACKET_BYTES)


def test_a_limit_that_holds() -> None:
    """With a burst at the beginning; on a machine that was busy for most of the time, too."""
    assert arrivals(1.5, burst_bits=BURST_BITS).judge() == ""
    assert arrivals(1.5, speed=0.9).judge() == ""
    with_gaps = [moment for moment in arrivals(4.0).seconds if moment % 1.0 < 0.6]
    assert Arrivals(with_gaps, PACKET_BYTES).judge() == ""


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (Arrivals([], PACKET_BYTES), "nothing has arrived"),
        (arrivals(1.5, speed=2.0), r"\d+ bits have arrived, where \d+ may"),
        (arrivals(1.5, speed=1.2, burst_bits=BURST_BITS), r"\d+ bits have arrived, where \d+ may"),
        (arrivals(1.5, speed=0.5), r"at most \d+ bits a second have arrived of 4000000"),
    ],
)
def test_a_limit_that_does_not(found: Arrivals, wrong: str) -> None:
    """Too much, too little, nothing: it says how much."""
    with pytest.raises(AssertionError, match=wrong):
        assert not found.judge(), found.judge()
