"""The files of an image archive by name: of a folder, or of a tar, plain or compressed."""

import contextlib
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from runtimes.errors import InvalidArgument, NotFound
from runtimes.oci.images.decompression import MAGIC_BYTES, DamagedStream, PlainStream, compression_of


class Files(Protocol):
    def open(self, name: str) -> IO[bytes]:
        """The file of that name in the archive. Raises NotFound."""
        ...


@contextlib.contextmanager
def files_of(path: Path, work: Path) -> Iterator[Files]:
    """Open an archive; `work` is for what has to be decompressed. Blocks. Raises InvalidArgument, NotFound, OSError."""
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        plain = _plain(path, work)
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except DamagedStream as error:
        raise InvalidArgument(f"{path}: not a tar archive, or a damaged one: {error}") from None
    try:
        with tarfile.open(plain, "r:") as archive:
            yield _Tar(archive)
    except tarfile.TarError as error:
        raise InvalidArgument(f"{path}: not a tar archive, or a damaged one: {error}") from None


def has(files: Files, name: str) -> bool:
    try:
        files.open(name).close()
    except NotFound:
        return False
    return True


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, name: str) -> IO[bytes]:
        try:
            return (self._root / name).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"{name} is missing") from None


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members = {posixpath.normpath(member.name): member for member in archive}

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(posixpath.normpath(name))
        with contextlib.suppress(KeyError):  # a link to what is not there
            if member is not None and (file := self._archive.extractfile(member)) is not None:
                return file
        raise NotFound(f"{name} is missing")


def _plain(path: Path, work: Path) -> Path:
    """The archive itself, or its decompressed copy: members are read in the order in which images name them."""
    with path.open("rb") as file:
        if not compression_of(file.read(MAGIC_BYTES)):
            return path
    plain = work / "archive.tar"
    with plain.open("wb") as target, path.open("rb", buffering=0) as file:
        source = PlainStream(file)
        while chunk := source.read():
            target.write(chunk)
    return plain
