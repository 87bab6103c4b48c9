"""The judge sees what it is there for: wrong errors, time, memory; and lets pass what a reader promises."""

import re
from collections.abc import Callable

from hypothesis import strategies as st

from tests.fuzz.contract import Budget, Target
from tests.fuzz.judge import judge
from tests.fuzz.shrink import smallest


def _target(run: Callable[[bytes], object]) -> Target:
    return Target(name="t", run=run, inputs=st.binary(), allowed=(LookupError,))


def _kind(run: Callable[[bytes], object]) -> str:
    find = judge(_target(run), b"x", Budget(base_seconds=0.2))
    return find.kind if find else ""


def test_errors() -> None:
    """An error that was promised is none; any other is, its subclasses and those of the interpreter included."""
    assert _kind(lambda data: {}["x"]) == ""
    assert _kind(lambda data: int(data)) == "ValueError"
    assert _kind(lambda data: data.decode("utf-16")) == "UnicodeDecodeError"


def test_time() -> None:
    """A loop is stopped, whatever it catches; a call into C that took too long is noticed behind it."""

    def loop(data: bytes) -> None:
        while True:
            try:
                sum(range(100))
            except Exception:
                continue

    assert _kind(loop) == "more than 0.2 s of CPU"
    assert _kind(lambda data: re.fullmatch(r"(a*)*b", "a" * 24)).startswith("more than")


def test_smallest() -> None:
    """What is not needed is cut away."""
    assert smallest(b"aaaaXbbbbbYcc", lambda data: b"X" in data and b"Y" in data) == b"XY"
