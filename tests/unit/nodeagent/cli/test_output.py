"""What is printed: ages, sizes, plain tables."""

import pytest

from nodeagent.cli.output import human_age, human_bytes, print_error, print_json, print_table


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (11400, "3h10m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (176400, "2d1h"),
        (691200, "8d"),
        (400 * 86400, "400d"),
        (730 * 86400, "2y"),
        (1000 * 86400, "2y270d"),
        (3650 * 86400, "10y"),
    ],
)
def test_ages_are_those_of_kubectl(seconds: float, expected: str) -> None:
    """An age has one or two units, as `kubectl get` prints it."""
    assert human_age(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (3 * 2**30, "3.0GiB"), (2**50, "1024.0TiB")]
)
def test_sizes(count: int, expected: str) -> None:
    """Sizes are in powers of 1024 and say so."""
    assert human_bytes(count) == expected


def test_a_table_for_programs_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """Not on a terminal: no colours, no lines, nothing cut or wrapped, no markup read, no blanks at the end."""
    long = "x" * 400
    print_table(("NAME", "WHAT"), [["a", long], ["bbbbbb", "[red]not markup[/red]"], ["c", ""]], styles=["red"] * 3)
    assert capsys.readouterr().out == f"NAME    WHAT\na       {long}\nbbbbbb  [red]not markup[/red]\nc\n"


def test_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """stdout belongs to the answer."""
    print_error("no such thing")
    print_json({"a": [1]})
    captured = capsys.readouterr()
    assert captured.err == "nodeagent: no such thing\n"
    assert captured.out == '{\n  "a": [\n    1\n  ]\n}\n'
