"""The annotations of pods that mean something to their node: where they come from, and what was said so in older days.

Source: docs/facts/pod-lifecycle.md 1.2.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from lightkube.models.core_v1 import Pod
from lightkube.models.meta_v1 import ObjectMeta

SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
HASH = "kubernetes.io/config.hash"
MIRROR = "kubernetes.io/config.mirror"
APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
"""Followed by a container's name: its AppArmor profile, as pods said it before there was a field."""
LOCAL = frozenset((SOURCE, SEEN, MIRROR))
"""Those that the agent keeps in its own copy of a pod."""


def of(pod: Pod) -> Mapping[str, str]:
    return (pod.metadata.annotations if pod.metadata else None) or {}


def with_annotations(pod: Pod, added: Mapping[str, str]) -> Pod:
    """Return a copy of `pod` with these annotations; the original, which others share, stays as it is."""
    metadata = pod.metadata or ObjectMeta()
    annotations = {**(metadata.annotations or {}), **added}
    return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(metadata, annotations=annotations))


def seen_text(now: datetime) -> str:
    """RFC 3339 with nine fractional digits, as `config.seen` shows it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def is_mirror(pod: Pod) -> bool:
    """The pod is the API's picture of a static pod."""
    return MIRROR in of(pod)
