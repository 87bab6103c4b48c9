"""A private node's place on the machine."""

import random

import pytest

from nodeagent.isolation.contract import StageError
from nodeagent.isolation.node import free_subnet

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"


def test_a_subnet_that_no_route_touches() -> None:
    """The default route does not count; half of 10.0.0.0/8 does."""
    routes = f"{HEAD}eth0\t00000000\t010000C0\t3\t0\t0\t0\t00000000\nvpn\t0000000A\t0\t1\t0\t0\t0\t000080FF\n"
    chance = random.Random(1)
    seconds = {int(free_subnet(routes, chance).split(".")[1]) for _ in range(50)}
    assert min(seconds) >= 128


def test_no_subnet() -> None:
    """All of it is taken."""
    with pytest.raises(StageError, match="there is none for the pods"):
        free_subnet(f"{HEAD}vpn\t0000000A\t0\t1\t0\t0\t0\t000000FF\n")
