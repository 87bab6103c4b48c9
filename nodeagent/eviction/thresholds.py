"""The thresholds of a node, as values. Pure. Source: docs/facts/node-resources.md 5.1, 5.2."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from nodeagent.config.eviction import Amount, Signal, parse_amount


class Layout(enum.Enum):
    """Which of a node's file systems are the same: of its root folder, of images, of what containers write."""

    SINGLE = "single"
    DEDICATED_IMAGES = "images and writable layers apart"
    SPLIT = "images apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The eviction* fields of a KubeletConfiguration. `enforced`: whether the pods' cgroup is held to what they may use."""

    hard: Mapping[str, str]
    soft: Mapping[str, str] = field(default_factory=dict)
    soft_grace_seconds: Mapping[str, float] = field(default_factory=dict)
    minimum_reclaim: Mapping[str, str] = field(default_factory=dict)
    enforced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Met when less than `amount` is available. `grace_seconds` None: a hard one, which is acted on at once.

    `minimum_reclaim`: once met, it holds until so much more than `amount` is available.
    """

    signal: Signal
    amount: Amount
    grace_seconds: float | None = None
    minimum_reclaim: Amount | None = None

    @property
    def hard(self) -> bool:
        return self.grace_seconds is None


_COPIED = (
    (Signal.CONTAINERFS, Signal.NODEFS, Signal.IMAGEFS),
    (Signal.CONTAINERFS_INODES, Signal.NODEFS_INODES, Signal.IMAGEFS_INODES),
)
_OF_CONTAINERS = (Signal.CONTAINERFS, Signal.CONTAINERFS_INODES)


def thresholds(settings: Settings) -> tuple[Threshold, ...]:
    """All but those of the containers' file system, which follow from the layout. Hard ones first."""
    reclaim = {signal: parse_amount(text) for signal, text in settings.minimum_reclaim.items()}
    hard = [(name, text, None) for name, text in settings.hard.items()]
    soft = [(name, text, settings.soft_grace_seconds.get(name, 0.0)) for name, text in settings.soft.items()]
    found = [
        Threshold(signal=Signal(name), amount=amount, grace_seconds=grace, minimum_reclaim=reclaim.get(name))
        for name, text, grace in [*hard, *soft]
        if name not in _OF_CONTAINERS and not (amount := parse_amount(text)).is_off
    ]
    if settings.enforced and not any(item.hard and item.signal is Signal.ALLOCATABLE_MEMORY for item in found):
        found += [
            replace(item, signal=Signal.ALLOCATABLE_MEMORY)
            for item in found
            if item.hard and item.signal is Signal.MEMORY
        ]
    return tuple(found)


def for_layout(found: Iterable[Threshold], layout: Layout) -> tuple[Threshold, ...]:
    """With those of the containers' file system: they are those of the file system that it is."""
    known = tuple(found)
    copies = [
        replace(item, signal=signal)
        for signal, of_node, of_images in _COPIED
        for item in known
        if item.signal is (of_images if layout is Layout.DEDICATED_IMAGES else of_node)
    ]
    return (*known, *copies)


def layout_of(node: object, images: object, containers: object) -> Layout:
    """From what tells the three file systems apart, such as device numbers."""
    if images == node:
        return Layout.SINGLE
    return Layout.SPLIT if containers == node else Layout.DEDICATED_IMAGES
