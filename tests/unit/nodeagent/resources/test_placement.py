"""nodeagent.resources.placement: what each policy takes. docs/facts/node-resources.md 11.4."""

from pathlib import Path

import pytest

from nodeagent.resources.contract import ANYWHERE, CannotAssign, Hint
from nodeagent.resources.placement import Placement, read_distances, read_nodes

TWO = frozenset({0, 1})
ONE_NODE = {"cpu": [Hint(nodes=frozenset({0})), Hint(nodes=TWO, preferred=False)]}
BOTH = {"cpu": [Hint(nodes=TWO)]}
SPLIT = {"cpu": [Hint(nodes=TWO, preferred=False)]}
NO_HINTS = {"cpu": None}
NOWHERE = {"cpu": list[Hint]()}
REFUSED = None


@pytest.mark.parametrize(
    ("policy", "hints", "expected"),
    [
        ("none", NOWHERE, ANYWHERE),
        ("best-effort", ONE_NODE, Hint(nodes=frozenset({0}))),
        ("best-effort", SPLIT, Hint(nodes=TWO, preferred=False)),
        ("best-effort", NOWHERE, Hint(nodes=TWO, preferred=False)),
        ("restricted", ONE_NODE, Hint(nodes=frozenset({0}))),
        ("restricted", BOTH, Hint(nodes=TWO)),
        ("restricted", NO_HINTS, Hint(nodes=TWO)),
        ("restricted", SPLIT, REFUSED),
        ("restricted", NOWHERE, REFUSED),
        ("single-numa-node", ONE_NODE, Hint(nodes=frozenset({0}))),
        ("single-numa-node", NO_HINTS, ANYWHERE),
        ("single-numa-node", BOTH, REFUSED),
        ("single-numa-node", SPLIT, REFUSED),
    ],
)
def test_policies(policy: str, hints: dict[str, list[Hint] | None], expected: Hint | None) -> None:
    """Where, or refused with upstream's reason and message."""
    placement = Placement(policy=policy, nodes=TWO)
    if expected is not REFUSED:
        assert placement.place([hints, {}]) == expected
        return
    with pytest.raises(CannotAssign) as caught:
        placement.place([hints, {}])
    assert caught.value.reason == "TopologyAffinityError"
    assert str(caught.value) == "Resources cannot be allocated with Topology locality"


def test_distances(tmp_path: Path) -> None:
    """prefer-closest-numa-nodes: of two nodes those that are near each other, as the kernel says."""
    rows = {0: "10 30 20", 1: "30 10 30", 2: "20 30 10"}
    for node, row in rows.items():
        folder = tmp_path / f"sys/devices/system/node/node{node}"
        folder.mkdir(parents=True)
        (folder / "distance").write_text(f"{row}\n")
    (tmp_path / "sys/devices/system/node/online").write_text("0-2\n")
    assert read_nodes(tmp_path) == {0, 1, 2}
    hints = [{"cpu": [Hint(nodes=frozenset({0, 1})), Hint(nodes=frozenset({0, 2}))]}]
    near = Placement(policy="restricted", nodes=read_nodes(tmp_path), distances=read_distances(tmp_path))
    assert near.place(hints).nodes == frozenset({0, 2})
    assert Placement(policy="restricted", nodes=near.nodes).place(hints).nodes == frozenset({0, 1})


def test_a_machine_without_nodes(tmp_path: Path) -> None:
    """Has one."""
    assert read_nodes(tmp_path) == {0}
