"""bridge, and bandwidth after it: the limits, and what this plugin does beside them."""

import pytest

from cni.testing.cases.test_check import test_k1_right_after_add, test_k14_shaping
from cni.testing.cases.test_protocol import test_a12_a_chained_plugin_passes_on, test_a13_a_chained_plugin_alone
from cni.testing.cases.test_shaping import *
from cni.testing.implementation import Implementation

from .conftest import bridge

pytestmark = [pytest.mark.node, pytest.mark.asyncio]


@pytest.fixture
def network_implementation() -> Implementation:
    return bridge({"type": "bandwidth", "capabilities": {"bandwidth": True}})
