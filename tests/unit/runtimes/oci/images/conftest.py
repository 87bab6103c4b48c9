"""Tars and images made by hand."""

import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtimes.oci.images.layout import Layout
from runtimes.testing import images

KINDS = {
    "file": tarfile.REGTYPE,
    "symlink": tarfile.SYMTYPE,
    "link": tarfile.LNKTYPE,
    "dir": tarfile.DIRTYPE,
    "char": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}

# (kind, name, data of a file or target of a link, pax headers)
Entry = tuple[str, str, str, dict[str, str]] | tuple[str, str, str] | tuple[str, str]


def make_tar(entries: Sequence[Entry], format: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for kind, name, *rest in entries:
            member = tarfile.TarInfo(name)
            member.type = KINDS[kind]
            value: Any = rest[0] if rest else ""
            member.pax_headers = rest[1] if len(rest) > 1 else {}  # type: ignore[assignment]
            if kind in ("symlink", "link"):
                member.linkname = value
            data = value.encode() if kind == "file" else b""
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


@pytest.fixture
def tar() -> Callable[..., bytes]:
    return make_tar


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """`build`, `write_archive`."""
    return images


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "store")
    layout.create()
    return layout
