"""Durations as Go writes them."""

import pytest

from runtimes.kube.duration import go_duration, seconds, whole_milliseconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (10, "10s"),
        (80, "1m20s"),
        (300, "5m0s"),
        (3600, "1h0m0s"),
        (3661.5, "1h1m1.5s"),
        (0.15, "150ms"),
        (1.5e-6, "1.5µs"),
        (1e-9, "1ns"),
        (-2.25, "-2.25s"),
        (59.999999999, "59.999999999s"),
    ],
)
def test_go_durations(seconds: float, text: str) -> None:
    """Durations read as Go's time.Duration prints them."""
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0009, "0s"),
        (0.0514, "51ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (1.0509, "1.05s"),
        (10, "10s"),
        (60, "1m0s"),
        (62.25, "1m2.25s"),
        (3600, "1h0m0s"),
        (3661.001, "1h1m1.001s"),
    ],
)
def test_cut_to_milliseconds(seconds: float, text: str) -> None:
    """Durations look as in a kubelet's events."""
    assert go_duration(whole_milliseconds(seconds)) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("1m30s", 90), ("1h2m3.5s", 3723.5), ("-1.5s", -1.5), ("+2ms", 0.002), (" 1us ", 1e-6), (".5s", 0.5)],
)
def test_durations_of_configuration_files(text: str, value: float) -> None:
    """Any sum of numbers with units, and a sign."""
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "1", "s", "1m 30s", "1d", "-", "1..5s", "1e3s", "9999999h", "٣s"])
def test_what_is_no_duration(text: str) -> None:
    """No unit, an unknown one, spaces, other scripts' digits, and more than Go can count: as Go refuses them."""
    with pytest.raises(ValueError, match="is not a duration such as 1m30s"):
        seconds(text)
