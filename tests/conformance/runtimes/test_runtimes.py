"""Every case of runtimes/testing, on every runtime that the project brings (conftest.py)."""

import pytest

from runtimes.testing.suite import *

pytestmark = pytest.mark.node
