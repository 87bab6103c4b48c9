"""What a case says of itself: a stable id, the section of the CSI specification that it is about, and how much that binds."""

from typing import Literal

import pytest

MARK = "csi_case"
# must: the specification leaves no choice. should: it recommends it, or everybody does so; not kept, it is told, and no failure.
Level = Literal["must", "should"]


def case(identity: str, spec: str, *, level: Level = "must") -> pytest.MarkDecorator:
    """Mark a test function. `identity`: as in docs/facts/storage.md 11; `spec`: the heading in the specification."""
    return pytest.mark.csi_case(identity, spec, level)


def said(item: pytest.Item) -> tuple[str, str, Level] | None:
    """(id, section, level) of a test; None: it is no case."""
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return None
    identity, spec, level = mark.args
    return identity, spec, level
