"""The words of the eviction settings: which signals there are, and amounts as numbers or as shares of a capacity.

Source: docs/facts/node-resources.md 5.1, 5.2.
"""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from nodeagent.config.kubelet import DEFAULT_EVICTION_HARD
from runtimes.kube import quantity

_PARTS = 10**9  # no percentage is told more finely


class InvalidAmount(ValueError):
    """Neither a quantity nor a percentage, or less than nothing or more than all of what there is; the text says which."""


class Signal(enum.StrEnum):
    """What the node can become short of."""

    MEMORY = "memory.available"
    ALLOCATABLE_MEMORY = "allocatableMemory.available"
    NODEFS = "nodefs.available"
    NODEFS_INODES = "nodefs.inodesFree"
    IMAGEFS = "imagefs.available"
    IMAGEFS_INODES = "imagefs.inodesFree"
    CONTAINERFS = "containerfs.available"
    CONTAINERFS_INODES = "containerfs.inodesFree"
    PIDS = "pid.available"


@dataclass(frozen=True, slots=True)
class Amount:
    """So much: a number, or a share of what there is. One of them is set."""

    number: Fraction | None = None
    share: Fraction | None = None

    def of(self, capacity: int | Fraction) -> Fraction:
        """The number that it is of a capacity."""
        if self.number is not None:
            return self.number
        assert self.share is not None
        return capacity * self.share

    @property
    def is_off(self) -> bool:
        """Whether a threshold of it is none: 0% and 100% switch one off."""
        return self.share in (0, 1)


def parse_amount(text: str) -> Amount:
    """`100Mi`, `10%`. Raises InvalidAmount."""
    try:
        if not text.endswith("%"):
            return Amount(number=quantity.parse(text))
        percentage = float(text.removesuffix("%"))
        if not math.isfinite(percentage):
            raise ValueError
    except (quantity.InvalidQuantity, ValueError) as error:
        raise InvalidAmount(f"{text!r} is neither a quantity such as 100Mi nor a percentage such as 10%") from error
    if not 0 <= percentage <= 100:
        raise InvalidAmount(f"{text} must be between 0% and 100%")
    return Amount(share=Fraction(percentage).limit_denominator(_PARTS) / 100)


def with_defaults(given: Mapping[str, str] | None, *, merge: bool) -> dict[str, str]:
    """evictionHard: the defaults where it is not given; with `merge` (mergeDefaultEvictionSettings) beside what is given."""
    if given is None:
        return dict(DEFAULT_EVICTION_HARD)
    return DEFAULT_EVICTION_HARD | dict(given) if merge else dict(given)
