"""Which pod goes first when the node is short of something. Pure. Source: docs/facts/node-resources.md 5.5, 5.6."""

from collections.abc import Iterable

from nodeagent.config.eviction import Signal
from nodeagent.eviction.rules import INODES, MEMORY, PIDS
from nodeagent.eviction.thresholds import Layout
from nodeagent.eviction.usage import PodUsage
from nodeagent.podspec.critical import is_critical
from nodeagent.podspec.effective import requests_of
from nodeagent.stats.disk_usage import NOTHING, DiskUsage

_NODEFS = frozenset({Signal.NODEFS, Signal.NODEFS_INODES})
_IMAGEFS = frozenset({Signal.IMAGEFS, Signal.IMAGEFS_INODES})


def victims(usages: Iterable[PodUsage], signal: Signal, layout: Layout) -> list[PodUsage]:
    """Those that may be evicted, in the order in which to do it. Static pods, and those of the highest priorities, may not."""
    return sorted(
        (usage for usage in usages if not is_critical(usage.pod)), key=lambda usage: _order(usage, signal, layout)
    )


def on_disk(usage: PodUsage, signal: Signal, layout: Layout) -> DiskUsage:
    """What of a pod is on the file system of a signal."""
    if layout is Layout.DEDICATED_IMAGES:
        return usage.logs + usage.local_volumes if signal in _NODEFS else usage.layers
    if layout is Layout.SPLIT and signal in _IMAGEFS:
        return NOTHING
    return usage.layers + usage.logs + usage.local_volumes


def _order(usage: PodUsage, signal: Signal, layout: Layout) -> tuple[object, ...]:
    """What sorts first is evicted first."""
    priority = usage.pod.spec.priority or 0
    if signal in PIDS:
        return (priority, -usage.processes)
    requests = requests_of(usage.pod)
    if signal in MEMORY:
        used, request = usage.memory_bytes, requests.get("memory", 0)
        exceeds = used > request
    elif signal in INODES:  # nobody requests inodes; the difference is to what is requested in bytes, as upstream
        used, request = on_disk(usage, signal, layout).inodes_used, requests.get("ephemeral-storage", 0)
        exceeds = used > 0
    else:
        used, request = on_disk(usage, signal, layout).used_bytes, requests.get("ephemeral-storage", 0)
        exceeds = used > request
    return (usage.known, not exceeds, priority, request - used)
