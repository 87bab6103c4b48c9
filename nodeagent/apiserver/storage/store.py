"""The state of the cluster: two views of it in memory over one journal on disk.

    head ──────── newest, writes in flight included: read by writers (read, check, write: no await between)
    committed ─── on disk: read by everyone else; lists, gets and watches show nothing that a power cut could undo

A write takes the next revision, changes `head` at once and waits in line. One batch is at the disk at a time; whatever
was written meanwhile goes with the next, so that many writers share one fsync. After the fsync the batch becomes
`committed`, watchers are told, then the writers get their answer.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import msgspec

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.storage.history import History, Retention
from nodeagent.apiserver.storage.journal import WAYS_OUT, Journal, Row
from nodeagent.apiserver.storage.stored import Change, Index, Key, Stored
from nodeagent.apiserver.storage.watch import Seen, Selects, Watcher, seen_by
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

Indexer = Callable[[str, JsonObject], Index]
"""(resource, object) -> what selectors and the garbage collector need of it."""

State = dict[str, dict[Key, Stored]]


@dataclass(slots=True, kw_only=True)
class Write:
    """A write in flight. `stored` is its outcome; true only once `durable()` returns."""

    stored: Stored
    _done: asyncio.Future[None]

    async def durable(self) -> Stored:
        """Wait for the commit. Raises `ApiError` 500 when it failed. Cancelling the wait does not undo the write."""
        await asyncio.shield(self._done)
        return self.stored


class Store:
    """All objects. Used from one event loop; only the commits run in a thread of their own."""

    def __init__(
        self,
        journal: Journal,
        indexer: Indexer,
        *,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the whole journal. Raises `JournalError`."""
        self._journal = journal
        self._indexer = indexer
        self._clock = clock
        self._history = History(journal.compacted, retention or Retention())
        self._committed: State = {}
        self.revision = self._history.compacted
        for row in journal.rows():
            self._publish(self._replayed(row))
        self._head: State = {resource: dict(objects) for resource, objects in self._committed.items()}
        self._last_given = self.revision
        self._watchers: dict[str, set[Watcher]] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._waiting: list[tuple[Change, asyncio.Future[None]]] = []
        self._forget: list[int] = []
        """Journal rows that no watch needs any more; dropped by the next commit that succeeds."""
        self._in_flight: dict[int, asyncio.Future[None]] = {}
        self._busy = False
        self._idle: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    def _replayed(self, row: Row) -> Change:
        old = self._committed.get(row.resource, {}).get(row.key)
        if row.data is not None:
            index = self._indexed(row, row.data)
            new = Stored(resource=row.resource, key=row.key, revision=row.revision, data=row.data, index=index)
            return Change(type="MODIFIED" if old else "ADDED", new=new, old=old)
        if old is None:
            # its last version was compacted with it; nothing is left to tell
            empty = Index(labels={}, fields={}, uid="", owners=())
            old = Stored(resource=row.resource, key=row.key, revision=0, data=b'{"metadata":{}}', index=empty)
        return Change(type="DELETED", new=_at_revision(old, row.revision), old=old)

    def _indexed(self, row: Row, data: bytes) -> Index:
        try:
            obj: JsonObject = msgspec.json.decode(data)
            return self._indexer(row.resource, obj)
        except Exception as error:  # any kind of damage has the same cure
            where = f"{row.resource} {row.key.namespace}/{row.key.name}".replace(" /", " ")
            why = f"row {row.revision} of its journal ({where}) is damaged: {error}{WAYS_OUT}"
            raise self._journal.unusable(why) from error

    # reads of committed state

    @property
    def compacted(self) -> int:
        return self._history.compacted

    def get(self, resource: str, key: Key) -> Stored | None:
        return self._committed.get(resource, {}).get(key)

    def list(self, resource: str, selects: Selects | None = None, namespace: str = "") -> list[Stored]:
        """Committed objects in order of their keys."""
        return _ordered(self._committed.get(resource, {}), selects, namespace)

    def state_at(self, resource: str, revision: int) -> Sequence[Stored]:
        """What was committed at `revision` (not before `compacted`), in order of the keys."""
        objects = dict(self._committed.get(resource, {}))
        for change in reversed(self._history.since(revision)):
            if change.new.resource != resource:
                continue
            if change.old is None:
                objects.pop(change.new.key, None)
            else:
                objects[change.new.key] = change.old
        return _ordered(objects, None, "")

    def resources(self) -> Iterable[str]:
        return tuple(self._committed)

    def count(self, resource: str) -> int:
        return len(self._committed.get(resource, {}))

    # reads of the newest state, for writers

    def head(self, resource: str, key: Key) -> Stored | None:
        return self._head.get(resource, {}).get(key)

    def head_list(self, resource: str, selects: Selects | None = None, namespace: str = "") -> Sequence[Stored]:
        return _ordered(self._head.get(resource, {}), selects, namespace)

    # writes

    def put(self, resource: str, key: Key, obj: JsonObject) -> Write:
        """Store `obj` under the next revision (written into its metadata). No checks: the caller made them on
        `head` with no await since."""
        revision = self._next_revision()
        obj["metadata"]["resourceVersion"] = str(revision)
        stored = Stored(
            resource=resource,
            key=key,
            revision=revision,
            data=msgspec.json.encode(obj),
            index=self._indexer(resource, obj),
        )
        objects = self._head.setdefault(resource, {})
        old = objects.get(key)
        objects[key] = stored
        return self._enqueue(Change(type="MODIFIED" if old else "ADDED", new=stored, old=old))

    def remove(self, resource: str, key: Key) -> Write:
        """Remove an object that is there."""
        old = self._head[resource].pop(key)
        return self._enqueue(Change(type="DELETED", new=_at_revision(old, self._next_revision()), old=old))

    async def settled(self, revision: int) -> None:
        """Wait until the write that made `revision` is on disk. Raises `ApiError` 500 when it failed."""
        done = self._in_flight.get(revision)
        if done is not None:
            await asyncio.shield(done)

    def _next_revision(self) -> int:
        self._last_given += 1
        return self._last_given

    def _enqueue(self, change: Change) -> Write:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        # a writer whose client went away never looks at the outcome
        done.add_done_callback(_retrieved)
        done.add_done_callback(lambda _: self._in_flight.pop(change.revision, None))
        self._in_flight[change.revision] = done
        self._waiting.append((change, done))
        if not self._busy:
            self._busy = True
            # not at once: the other writers of this turn of the loop go into the same commit
            loop.call_soon(self._commit)
        return Write(stored=change.new, _done=done)

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        rows = [_row(change) for change, _ in batch]
        self._forget += self._history.trim(self._clock())
        forget, compacted = tuple(self._forget), self._history.compacted
        loop = asyncio.get_running_loop()

        def work() -> None:
            self._journal.append(rows, forget=forget, compacted=compacted)

        outcome = loop.run_in_executor(self._thread, work)
        outcome.add_done_callback(lambda done: self._finish(batch, done))

    def _finish(self, batch: Sequence[tuple[Change, asyncio.Future[None]]], outcome: asyncio.Future[None]) -> None:
        error = outcome.exception()
        if error is not None:
            self._fail(batch, error)
        else:
            self._forget.clear()
            for change, _ in batch:
                self._publish(change)
                self._tell(change)
            for _, done in batch:
                done.set_result(None)
        if self._waiting:
            self._commit()
            return
        self._busy = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _fail(self, batch: Sequence[tuple[Change, asyncio.Future[None]]], error: BaseException) -> None:
        """The batch is not on disk: undo it, and everything decided on top of it."""
        log.error("commit of %d writes failed: %s", len(batch), error)
        failed = [*batch, *self._waiting]
        self._waiting = []
        self._head = {resource: dict(objects) for resource, objects in self._committed.items()}
        why = f"cannot write to the store: {error}" if isinstance(error, sqlite3.Error) else str(error)
        for _, done in failed:
            done.set_exception(ApiError.internal(why))

    def _publish(self, change: Change) -> None:
        objects = self._committed.setdefault(change.new.resource, {})
        if change.type == "DELETED":
            objects.pop(change.new.key, None)
        else:
            objects[change.new.key] = change.new
        self.revision = change.revision
        if change.revision > self._history.compacted:
            self._history.append(change, self._clock())

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:
                # its bug must not stop the commits of everybody else
                log.exception("a listener failed at revision %d", change.revision)
        watchers = self._watchers.get(change.new.resource)
        if not watchers:
            return
        tombstone: Stored | None = None
        for watcher in watchers:
            seen = _see(watcher.selects, change, tombstone)
            if seen is not None:
                if seen.type == "DELETED" and change.type != "DELETED":
                    tombstone = seen.stored  # one for all whose selection it left
                watcher.push(seen)

    # watches

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` with every change, right after its commit and before the watchers. Must not raise."""
        self._listeners.append(listener)

    def watch(self, resource: str, selects: Selects, since: int) -> Watcher:
        """Every change after `since`. Raises `ApiError` 410 when that is too long ago, 504 when it has not been yet.

        End it with `unwatch`.
        """
        self.check_revision(since)
        watcher = Watcher(selects)
        for change in self._history.since(since):
            if change.new.resource == resource and (seen := _see(selects, change)) is not None:
                watcher.push(seen)
        self._watchers.setdefault(resource, set()).add(watcher)
        return watcher

    def unwatch(self, resource: str, watcher: Watcher) -> None:
        watcher.close()
        self._watchers.get(resource, set()).discard(watcher)

    def watchers(self) -> Iterator[Watcher]:
        for group in tuple(self._watchers.values()):
            yield from tuple(group)

    def check_revision(self, revision: int) -> None:
        if revision < self._history.compacted:
            raise ApiError.expired(f"too old resource version: {revision} ({self._history.compacted})")
        if revision > self.revision:
            raise too_large_revision(revision, self.revision)

    async def close(self) -> None:
        """End the watches, finish the commits in flight, close the file."""
        for watcher in self.watchers():
            watcher.close()
        while self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._thread.shutdown()
        self._journal.close()


def too_large_revision(wanted: int, current: int) -> ApiError:
    """504 of a client that knows a revision of the future: it talked to another store."""
    message = f"Too large resource version: {wanted}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError.timeout(message, details={"causes": [cause], "retryAfterSeconds": 1})


def _see(selects: Selects, change: Change, tombstone: Stored | None = None) -> Seen | None:
    seen = seen_by(selects, change, tombstone)
    if (
        tombstone is not None
        or seen is None
        or seen.type != "DELETED"
        or change.type == "DELETED"
        or change.old is None
    ):
        return seen
    return Seen("DELETED", _at_revision(change.old, change.revision))


def _at_revision(stored: Stored, revision: int) -> Stored:
    """The same content under another resourceVersion."""
    obj = stored.decode()
    obj["metadata"]["resourceVersion"] = str(revision)
    return replace(stored, revision=revision, data=msgspec.json.encode(obj))


def _row(change: Change) -> Row:
    data = None if change.type == "DELETED" else change.new.data
    return Row(revision=change.revision, resource=change.new.resource, key=change.new.key, data=data)


def _ordered(objects: dict[Key, Stored], selects: Selects | None, namespace: str) -> list[Stored]:
    keys = sorted(key for key in objects if key.namespace == namespace) if namespace else sorted(objects)
    if selects is None:
        return [objects[key] for key in keys]
    return [stored for key in keys if selects.matches(stored := objects[key])]


def _retrieved(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()
