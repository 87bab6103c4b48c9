"""A layer's plain bytes on their way from its blob to whoever reads the tar: read once, inflated once, hashed on the way.

Inflating and hashing run ahead of the reader in a thread each, as far as memory is given to them: both work without Python's
lock, and so beside the system calls that write the files.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from queue import Empty, Queue
from typing import IO

from runtimes.oci.images.decompression import PlainStream

_CHUNKS_AHEAD = 8  # of decompression.CHUNK_BYTES, at most


class PlainLayer:
    """Plain bytes from front to end. Raises EOFError where they end too early, and DamagedStream, OSError of the blob."""

    def __init__(self, blob: IO[bytes], algorithm: str) -> None:
        """Begins to read ahead. `blob` is closed with this."""
        self._blob = blob
        self._pending = b""
        self._offset = 0
        self._stop = threading.Event()
        self._ended = False
        self._failure: BaseException | None = None
        self._hasher = hashlib.new(algorithm)
        self._chunks: Queue[bytes] = Queue(_CHUNKS_AHEAD)  # the last one is empty
        self._unhashed: Queue[bytes] = Queue(_CHUNKS_AHEAD)
        self._inflating = threading.Thread(target=self._inflate, name="inflate", daemon=True)
        self._hashing = threading.Thread(target=self._hash, name="hash", daemon=True)
        self._inflating.start()
        self._hashing.start()

    def close(self) -> None:
        """Ends the threads."""
        self._stop.set()
        while self._inflating.is_alive():
            with contextlib.suppress(Empty):
                self._chunks.get(timeout=0.01)  # it may wait for room
        self._hashing.join()
        self._blob.close()

    def digest(self) -> str:
        """The digest of everything; reads what is left."""
        while self._chunk():
            pass
        self._hashing.join()
        return f"{self._hasher.name}:{self._hasher.hexdigest()}"

    def read(self, size: int) -> bytes:
        while len(self._pending) - self._offset < size:
            chunk = self._chunk()
            if not chunk:
                raise EOFError("it ends in the middle")
            self._pending, self._offset = self._pending[self._offset :] + chunk, 0
        self._offset += size
        return self._pending[self._offset - size : self._offset]

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next so many bytes, without a copy."""
        while size:
            if self._offset == len(self._pending):
                self._pending, self._offset = self._chunk(), 0
                if not self._pending:
                    raise EOFError("it ends in the middle")
            piece = memoryview(self._pending)[self._offset : self._offset + size]
            self._offset += len(piece)
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        for _ in self.pieces(size):
            pass

    def at_end(self) -> bool:
        if self._offset == len(self._pending):
            self._pending, self._offset = self._chunk(), 0
        return not self._pending

    def _chunk(self) -> bytes:
        if self._ended:
            return b""
        chunk = self._chunks.get()
        self._ended = not chunk
        if self._failure is not None and self._ended:
            raise self._failure
        return chunk

    def _inflate(self) -> None:
        try:
            stream = PlainStream(self._blob)
            while not self._stop.is_set() and (chunk := stream.read()):
                self._unhashed.put(chunk)
                self._chunks.put(chunk)
        except BaseException as error:
            self._failure = error
        self._unhashed.put(b"")
        self._chunks.put(b"")

    def _hash(self) -> None:
        while chunk := self._unhashed.get():
            self._hasher.update(chunk)
