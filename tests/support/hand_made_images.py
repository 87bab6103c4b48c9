"""Images and layers made by hand, byte for byte as a test wants them."""

import io
import tarfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

KINDS = {
    "file": tarfile.REGTYPE,
    "symlink": tarfile.SYMTYPE,
    "link": tarfile.LNKTYPE,
    "dir": tarfile.DIRTYPE,
    "char": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}


# (kind, name, data of a file or target of a link, {mode, uid, gid, device, xattrs}), the last two optional
Entry = tuple[Any, ...]


def demo_image_builder() -> ModuleType:
    """hack/demo-image as a module: `build`, `write_archive`."""
    module = ModuleType("demo_image")
    SourceFileLoader("demo_image", str(Path(__file__).parents[2] / "hack" / "demo-image")).exec_module(module)
    return module


def make_layer(*entries: Entry) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind, name, *rest in entries:
            value = rest[0] if rest else ""
            more: dict[str, Any] = rest[1] if len(rest) > 1 else {}
            member = tarfile.TarInfo(name)
            member.type = KINDS[kind]
            member.mode = more.get("mode", 0o755 if kind == "dir" else 0o644)
            member.uid, member.gid = more.get("uid", 0), more.get("gid", 0)
            member.devmajor, member.devminor = more.get("device", (0, 0))
            member.pax_headers = {f"SCHILY.xattr.{key}": text for key, text in more.get("xattrs", {}).items()}
            if kind in ("symlink", "link"):
                member.linkname = value
            data = value.encode(errors="surrogateescape") if kind == "file" else b""
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()
