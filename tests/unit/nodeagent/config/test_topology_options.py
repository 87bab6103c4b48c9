"""nodeagent.config.topology_options: docs/facts/node-resources.md 11.4."""

import pytest

from nodeagent.config.topology_options import BadTopologyOption, TopologyOptions, topology_options


def test_options() -> None:
    """By their names; eight nodes at most, unless more are said to be bearable."""
    assert topology_options({}) == TopologyOptions(closest=False, most_nodes=8)
    given = {"prefer-closest-numa-nodes": "true", "max-allowable-numa-nodes": "12"}
    assert topology_options(given) == TopologyOptions(closest=True, most_nodes=12)


@pytest.mark.parametrize(
    "given",
    [
        {"max-allowable-numa-nodes": "7"},
        {"max-allowable-numa-nodes": "x"},
        {"prefer-closest-numa-nodes": "2"},
        {"x": "1"},
    ],
)
def test_refused(given: dict[str, str]) -> None:
    """The text names the option."""
    with pytest.raises(BadTopologyOption, match=next(iter(given))):
        topology_options(given)
