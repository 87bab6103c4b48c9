"""Pods for tests of the translation into runtime messages."""

from collections.abc import Mapping
from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.podspec.pod import AgentPod


def make_pod(spec: Mapping[str, Any] | None = None, **metadata: Any) -> AgentPod:
    """A pod `p` in `ns` with UID `u`, and one container `c` unless the spec has others."""
    return agent_pod(
        {
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", **metadata},
            "spec": {"containers": [{"name": "c", "image": "img"}], "enableServiceLinks": True, **(spec or {})},
        },
    )


@pytest.fixture
def pod_of() -> Any:
    return make_pod
