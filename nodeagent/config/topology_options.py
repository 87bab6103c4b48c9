"""The options of the topology manager. Source: docs/facts/node-resources.md 11.4."""

from collections.abc import Mapping
from dataclasses import dataclass

CLOSEST = "prefer-closest-numa-nodes"
MOST_NODES = "max-allowable-numa-nodes"
DEFAULT_MOST_NODES = 8  # the number of sets of nodes doubles with each


class BadTopologyOption(ValueError):
    """An option that there is not, or a value that it cannot have. The text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyOptions:
    closest: bool = False
    most_nodes: int = DEFAULT_MOST_NODES


def topology_options(given: Mapping[str, str]) -> TopologyOptions:
    """Raises BadTopologyOption."""
    closest, most = False, DEFAULT_MOST_NODES
    for name, text in given.items():
        if name == CLOSEST:
            if text.lower() not in ("true", "false"):
                raise BadTopologyOption(f"bad value for option {name!r}: {text!r} is neither true nor false")
            closest = text.lower() == "true"
        elif name == MOST_NODES:
            if not text.isdecimal() or not DEFAULT_MOST_NODES <= int(text) <= 64:
                raise BadTopologyOption(f"the minimum value of {name!r} should not be less than {DEFAULT_MOST_NODES}")
            most = int(text)
        else:
            raise BadTopologyOption(
                f"unknown Topology Manager Policy option: {name!r}; known are {CLOSEST}, {MOST_NODES}"
            )
    return TopologyOptions(closest=closest, most_nodes=most)
