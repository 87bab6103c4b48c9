"""The annotations that the agent keeps in its own copy of a pod. Source: docs/facts/pod-lifecycle.md 1.2."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from nodeagent.podspec.pod import MIRROR_ANNOTATION, AgentPod

SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
HASH = "kubernetes.io/config.hash"
LOCAL = frozenset((SOURCE, SEEN, MIRROR_ANNOTATION))


def with_annotations(pod: AgentPod, added: Mapping[str, str]) -> AgentPod:
    """Return a copy of `pod` with these annotations; the original, which others share, stays as it is."""
    metadata = msgspec.structs.replace(pod.metadata, annotations={**pod.annotations, **added})
    return dataclasses.replace(pod, metadata=metadata)


def seen_text(now: datetime) -> str:
    """RFC 3339 with nine fractional digits, as `config.seen` shows it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
