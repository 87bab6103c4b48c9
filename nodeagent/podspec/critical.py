"""Pods that the node itself depends on: static ones, their mirrors, and those of the highest priorities.

Source: docs/facts/node-resources.md 3.4.
"""

from lightkube.models.core_v1 import PodSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.podspec.annotations import MIRROR, SOURCE

CRITICAL_PRIORITY = 2_000_000_000


def is_static(metadata: ObjectMeta | None) -> bool:
    """Whether the pod comes from a manifest of the node."""
    annotations = (metadata.annotations if metadata is not None else None) or {}
    return bool(annotations.get(SOURCE, "api") != "api")


def is_critical(metadata: ObjectMeta | None, spec: PodSpec) -> bool:
    """Static, mirror, or of a priority from 2000000000 on."""
    annotations = (metadata.annotations if metadata is not None else None) or {}
    if is_static(metadata) or MIRROR in annotations:
        return True
    return (spec.priority or 0) >= CRITICAL_PRIORITY
