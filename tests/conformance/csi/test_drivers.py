"""Every case of csi/testing, on the reference driver in each of its forms (conftest.py)."""

import pytest
from components import needs

from csi.testing.suite import *

pytestmark = [pytest.mark.node, needs("mkfs.ext4", "resize2fs", "e2fsck", "mkfs.xfs")]
