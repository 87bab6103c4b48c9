"""Every check, and the fixture that they need, for one import in a test file:

from cni.testing.suite import *
"""

import pytest

from cni.testing.cases.test_add import *
from cni.testing.cases.test_check import *
from cni.testing.cases.test_concurrency import *
from cni.testing.cases.test_delegates import *
from cni.testing.cases.test_delete import *
from cni.testing.cases.test_gc_and_status import *
from cni.testing.cases.test_host_ports import *
from cni.testing.cases.test_parameters import *
from cni.testing.cases.test_protocol import *
from cni.testing.cases.test_shaping import *
from cni.testing.cases.test_timing import *
from cni.testing.cases.test_traffic import *
from cni.testing.fixtures import *

pytestmark = pytest.mark.asyncio
