"""Every case, and the fixture that they need, for one import in a test file:

from csi.testing.suite import *
"""

import pytest

from csi.testing.cases.test_attach import *
from csi.testing.cases.test_create import *
from csi.testing.cases.test_data import *
from csi.testing.cases.test_expand import *
from csi.testing.cases.test_groups import *
from csi.testing.cases.test_identity import *
from csi.testing.cases.test_leaks import *
from csi.testing.cases.test_lists import *
from csi.testing.cases.test_modify import *
from csi.testing.cases.test_node import *
from csi.testing.cases.test_ownership import *
from csi.testing.cases.test_races import *
from csi.testing.cases.test_restarts import *
from csi.testing.cases.test_secrets import *
from csi.testing.cases.test_snapshot_metadata import *
from csi.testing.cases.test_snapshots import *
from csi.testing.cases.test_times import *
from csi.testing.fixtures import *

pytestmark = pytest.mark.asyncio
