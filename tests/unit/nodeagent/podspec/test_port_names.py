"""Ports by number and by name: docs/facts/pod-lifecycle.md 7.3."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Container

from nodeagent.podspec.port_names import InvalidPort, resolve_port


@pytest.mark.parametrize(
    ("port", "expected"), [(80, 80), ("80", 80), ("web", 8080), ("none", None), (0, None), (70000, None)]
)
def test_ports(port: Any, expected: int | None) -> None:
    """7.3: numbers, numeric strings, names; a bad port is an error."""
    container = msgspec.convert({"name": "a", "ports": [{"name": "web", "containerPort": 8080}]}, Container)
    if expected is None:
        with pytest.raises(InvalidPort):
            resolve_port(port, container)
    else:
        assert resolve_port(port, container) == expected
