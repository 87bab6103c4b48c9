"""The pods of this group's experiments: they look, and load nothing, so several fit on a node beside each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from nodeagent.isolation.contract import PodRequest

_REQUESTS = {"cpu": "1m", "memory": "1Mi"}  # a limit alone is a request too, and two of them fill two processors


def looking(name: str, arguments: Sequence[str], changes: Mapping[str, Any] | None = None) -> PodRequest:
    """A pod that asks the node for hardly anything. `changes`: as in a PodRequest, without resources."""
    given = dict(changes or {})
    container = {**given.get("container", {}), "resources": {"requests": _REQUESTS}}
    return PodRequest(name=name, arguments=arguments, changes={**given, "container": container})
