"""The agent's pods, for tests that write them as JSON or as API objects."""

from collections.abc import Mapping
from typing import Any

import msgspec
from lightkube.models.core_v1 import Pod

from nodeagent.podspec.pod import API, AgentPod


def agent_pod(pod: Pod | Mapping[str, Any]) -> AgentPod:
    """A pod as the merger hands it on: its source is that of its annotation, or else the API."""
    given = pod if isinstance(pod, Pod) else msgspec.convert(pod, Pod)
    annotations = (given.metadata and given.metadata.annotations) or {}
    return AgentPod.of(given, annotations.get("kubernetes.io/config.source", API))
