"""Every case, and the fixtures that they need, for one import in a test file:

from runtimes.testing.suite import *
"""

import pytest

from runtimes.testing.cases.test_images import *
from runtimes.testing.cases.test_lifecycle import *
from runtimes.testing.cases.test_metrics import *
from runtimes.testing.cases.test_mounts import *
from runtimes.testing.cases.test_namespaces import *
from runtimes.testing.cases.test_network import *
from runtimes.testing.cases.test_process import *
from runtimes.testing.cases.test_requests import *
from runtimes.testing.cases.test_resources import *
from runtimes.testing.cases.test_streams import *
from runtimes.testing.fixtures import *

pytestmark = pytest.mark.asyncio
