"""Every check of cni/testing on bridge, host-local and portmap, in version 1.0.0."""

import pytest

from cni.testing.implementation import Implementation
from cni.testing.suite import *

from .conftest import PORTMAP, bridge

pytestmark = [pytest.mark.node, pytest.mark.asyncio]


@pytest.fixture
def network_implementation() -> Implementation:
    return bridge(PORTMAP)
