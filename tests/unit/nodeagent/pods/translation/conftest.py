"""Pods for tests of the translation into runtime messages."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Pod


def make_pod(spec: Mapping[str, Any] | None = None, **metadata: Any) -> Pod:
    """A pod `p` in `ns` with UID `u`, and one container `c` unless the spec has others."""
    return msgspec.convert(
        {
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", **metadata},
            "spec": {"containers": [{"name": "c", "image": "img"}], "enableServiceLinks": True, **(spec or {})},
        },
        Pod,
    )


@pytest.fixture
def pod_of() -> Any:
    return make_pod
