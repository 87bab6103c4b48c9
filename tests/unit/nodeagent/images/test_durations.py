import pytest

from nodeagent.images.durations import go_duration


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
def test_as_go_prints_them(seconds: float, text: str) -> None:
    """Durations look as in a kubelet's events."""
    assert go_duration(seconds) == text
