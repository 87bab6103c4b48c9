"""Ports of the node that pods take."""

from typing import Any

import pytest
from pod_builders import pod_spec

from nodeagent.podspec.host_ports import HostPort, conflict, host_ports


def port(number: int, **more: Any) -> dict[str, Any]:
    return {"ports": [{"containerPort": 1, "hostPort": number, **more}]}


def test_whose_ports_count() -> None:
    """Containers' and sidecars'; other init containers have ended before those start, and many containers take none."""
    spec = pod_spec(
        port(80),
        {"ports": [{"containerPort": 8080}]},
        init=[port(81), {**port(82, protocol="UDP", hostIP="10.0.0.1"), "restartPolicy": "Always"}],
    )
    assert host_ports(spec) == {HostPort("0.0.0.0", "TCP", 80), HostPort("10.0.0.1", "UDP", 82)}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("10.0.0.1", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
        (("10.0.0.1", "TCP", 80), ("10.0.0.2", "TCP", 80), False),
        (("10.0.0.1", "TCP", 80), ("0.0.0.0", "TCP", 80), True),
        (("0.0.0.0", "TCP", 80), ("0.0.0.0", "UDP", 80), False),
        (("0.0.0.0", "TCP", 80), ("0.0.0.0", "TCP", 81), False),
    ],
)
def test_conflicts(one: Any, other: Any, expected: bool) -> None:
    """The same number and protocol, on one address or with all addresses on either side."""
    assert conflict([HostPort(*one)], [HostPort(*other)]) is conflict([HostPort(*other)], [HostPort(*one)]) is expected
