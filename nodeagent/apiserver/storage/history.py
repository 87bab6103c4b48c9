"""The recent changes, kept so that a watch can start in the past, and what to drop when they get old."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.apiserver.storage.stored import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much history is kept: everything younger than `min_age`; nothing older than `max_age`, nor more than
    `max_changes` unless younger than `min_age`; never more than `max_bytes` of objects."""

    min_age_seconds: float = 75.0
    max_age_seconds: float = 300.0
    max_changes: int = 4096
    max_bytes: int = 32 << 20


class History:
    """Changes in revision order with the time at which each was published."""

    def __init__(self, compacted: int, retention: Retention) -> None:
        self.compacted = compacted
        self._retention = retention
        self._changes: deque[tuple[float, Change]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._changes)

    def append(self, change: Change, now: float) -> None:
        self._changes.append((now, change))
        self._bytes += len(change.new.data)

    def since(self, revision: int) -> Sequence[Change]:
        """Changes after `revision` (which must not be below `compacted`), oldest first."""
        found: list[Change] = []
        for _, change in reversed(self._changes):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    def trim(self, now: float) -> Sequence[int]:
        """Forget what is too old or too much, moving `compacted`. Returns the journal rows nobody needs any more."""
        rows: list[int] = []
        while self._changes and self._expendable(now - self._changes[0][0]):
            _, change = self._changes.popleft()
            self._bytes -= len(change.new.data)
            self.compacted = change.revision
            if change.old is not None:
                rows.append(change.old.revision)
            if change.type == "DELETED":
                rows.append(change.revision)
        return rows

    def _expendable(self, age_seconds: float) -> bool:
        keep = self._retention
        if age_seconds > keep.max_age_seconds or self._bytes > keep.max_bytes:
            return True
        return age_seconds > keep.min_age_seconds and len(self._changes) > keep.max_changes
