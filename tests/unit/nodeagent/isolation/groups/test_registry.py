"""Groups and probes by name."""

import pytest

from nodeagent.isolation.groups.registry import GROUPS, UnknownName, chosen


def test_groups_and_single_probes() -> None:
    """In the order in which they run; a probe brings its group with itself alone."""
    assert chosen(()) == GROUPS
    found = chosen(("leaks", "surface.bpf"))
    assert [group.name for group in found] == ["surface", "leaks"]
    assert [probe.id for probe in found[0].probes] == ["surface.bpf"]
    assert found[1] == GROUPS[1]


@pytest.mark.parametrize(
    ("name", "valid"),
    [("leak", "surface, leaks, identity, escapes, limits, cost"), ("identity.nobody", "identity.root")],
)
def test_unknown_names(name: str, valid: str) -> None:
    """The valid ones: groups, or the probes of a group."""
    with pytest.raises(UnknownName, match=rf"'{name}' is none of .*{valid}"):
        chosen((name,))
