"""Pods that the node itself depends on: static ones, their mirrors, and those of the highest priorities.

Source: docs/facts/node-resources.md 3.4.
"""

from nodeagent.podspec.pod import AgentPod

CRITICAL_PRIORITY = 2_000_000_000


def is_critical(pod: AgentPod) -> bool:
    """Static, mirror, or of a priority from 2000000000 on."""
    return pod.is_static or pod.is_mirror or (pod.spec.priority or 0) >= CRITICAL_PRIORITY
