"""The journal: every committed write is one row, and the objects are what the rows add up to.

One append per write keeps a commit to one page and one fsync, however many writers share it. A row that a newer one of the
same object replaced is kept only as long as a watch may start before it (`forget`).
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.apiserver.storage.stored import Key

FORMAT = 1
WAYS_OUT = "; restore it from a copy together with its -wal file, or move it away to begin with an empty cluster"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    revision  INTEGER PRIMARY KEY,
    resource  TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    data      BLOB
) STRICT;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""


class JournalError(Exception):
    """The file cannot be used: locked by another server, damaged, or of a newer format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One write; `data` is None when the object was removed."""

    revision: int
    resource: str
    key: Key
    data: bytes | None


class Journal:
    """The SQLite file. Not thread-safe: one thread at a time; `append` blocks for an fsync."""

    def __init__(self, path: Path) -> None:
        """Open or create `path` (mode 0600: it holds secrets), exclusively."""
        self.path = path
        _touch(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(
                "PRAGMA cache_size = -256"
            )  # KiB: it is read once, at the start; what is read later is in the store
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute("COMMIT")
            self._db.executescript(_SCHEMA)
            self._check_format()
        except (sqlite3.Error, JournalError) as error:
            self._db.close()
            raise self.unusable(error) from error

    def unusable(self, why: object) -> JournalError:
        """The error for what cannot be read, with the ways out where the file is damaged."""
        hint = ""
        if isinstance(why, sqlite3.DatabaseError) and not isinstance(
            why, sqlite3.OperationalError | sqlite3.ProgrammingError
        ):
            hint = WAYS_OUT
        return JournalError(f"cannot use {self.path}: {why}{hint}")

    def _check_format(self) -> None:
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?), ('compacted', 0)", (FORMAT,))
        found = self._meta("format")
        if found > FORMAT:
            raise JournalError(f"the store has format {found}, this server knows up to {FORMAT}")

    def _meta(self, name: str) -> int:
        (value,) = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(value)

    @property
    def compacted(self) -> int:
        """The newest revision whose history is gone: changes after it can all be sent."""
        return self._meta("compacted")

    def rows(self) -> Iterator[Row]:
        """All rows, oldest first. Raises `JournalError`."""
        query = "SELECT revision, resource, namespace, name, data FROM journal ORDER BY revision"
        try:
            for revision, resource, namespace, name, data in self._db.execute(query):
                yield Row(revision=revision, resource=resource, key=Key(namespace, name), data=data)
        except sqlite3.Error as error:
            raise self.unusable(error) from error

    def append(self, rows: Sequence[Row], *, forget: Sequence[int] = (), compacted: int = 0) -> None:
        """Write `rows` and drop the revisions in `forget` in one transaction, durable on return.

        Raises `sqlite3.Error` with nothing written.
        """
        execute = self._db.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                "INSERT INTO journal VALUES (?, ?, ?, ?, ?)",
                [(r.revision, r.resource, r.key.namespace, r.key.name, r.data) for r in rows],
            )
            if forget:
                self._db.executemany("DELETE FROM journal WHERE revision = ?", [(revision,) for revision in forget])
            if compacted:
                execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (compacted,))
            execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise

    def close(self) -> None:
        """SQLite removes its log with the last connection; an empty one keeps the place, for a disk may have no inode left for it
        when the server is to start again.
        """
        self._db.close()
        with contextlib.suppress(OSError):
            _touch(self.path.with_name(f"{self.path.name}-wal"))


def _touch(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
