"""nodeagent.resources.cpuset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.resources import cpuset


@given(st.frozensets(st.integers(0, 300)))
def test_what_is_written_is_read(cpus: frozenset[int]) -> None:
    """Every set comes back from its text."""
    assert cpuset.parse(cpuset.text_of(cpus)) == cpus


@pytest.mark.parametrize(
    ("text", "shortest"), [("", ""), ("3,1-2,2", "1-3"), ("0,2,4-5\n", "0,2,4-5"), ("7", "7"), ("1,0", "0-1")]
)
def test_the_kernels_lists(text: str, shortest: str) -> None:
    """Ranges and numbers in any order; written as short as can be."""
    assert cpuset.text_of(cpuset.parse(text)) == shortest


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "1,,2", "0-99999999"])
def test_what_is_none(text: str) -> None:
    """Neither a word nor a range that would fill the memory."""
    with pytest.raises(ValueError, match="is not a list of CPUs"):
        cpuset.parse(text)
