from typing import Any

import pytest
from pod_builders import pod_body


@pytest.fixture
def new_pod() -> Any:
    return pod_body
