"""The program that unpacks an image: `python -m runtimes.oci.images.unpacker`, one process an image.

A process of its own because it makes the tree's root its root: then the kernel keeps every path inside. And because what a
hostile layer makes it do (much work, much memory, a bug in a decompressor) is no work of the agent's, and ends with it.

Its folder has `rootfs`, empty. stdin: a JSON Request. stdout: a JSON Answer; what ends it otherwise is on stderr.
"""

import contextlib
import errno
import os
import resource
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from json import dumps, loads
from pathlib import Path
from typing import Any

from runtimes.errors import InvalidArgument
from runtimes.linux import syscalls
from runtimes.oci.images.audit import Refused, show
from runtimes.oci.images.layer_entries import LayerEntries, Usage
from runtimes.oci.images.plain_layer import PlainLayer
from runtimes.oci.images.tree_writer import TreeWriter

_MEMORY_BYTES = 2 * 1024**3  # of addresses; two of zstd's largest windows and the names of millions of files fit
# An entry that no file system takes, whatever it is.
_UNUSABLE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EFBIG, errno.EINVAL, errno.ENOENT, errno.EMLINK)
_WORTH_A_LOOK_BYTES = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """`digest` of its blob, `diff_id` of its plain tar."""

    digest: str
    diff_id: str


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    syscalls.die_with_parent()  # an agent that starts again sweeps away what is half made
    request = loads(sys.stdin.buffer.read())
    blobs = os.open(request["blobs"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.umask(0)
    os.chown("rootfs", 0, 0)  # whatever the folder above hands down
    Path("rootfs").chmod(0o755)
    os.chroot("rootfs")
    os.chdir("/")
    sys.meta_path.clear()  # from here on the paths of modules are the image's
    print(dumps(_answer([Layer(digest=digest, diff_id=diff_id) for digest, diff_id in request["layers"]], blobs)))
    return 0


def _answer(layers: Sequence[Layer], blobs: int) -> dict[str, Any]:
    """{"bytes": …, "inodes": …} of Usage, or {"invalid": why}, {"full": why}."""
    try:
        return asdict(unpack_layers(layers, blobs))
    except InvalidArgument as error:
        return {"invalid": error.message}
    except MemoryError:
        return {"invalid": f"the image takes more than {_MEMORY_BYTES} bytes of memory to unpack"}
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return {"full": error.strerror}


def unpack_layers(layers: Sequence[Layer], blobs: int) -> Usage:
    """Make the layers' tree in the current directory, lowest first; `blobs` is their open folder.

    Raises InvalidArgument, MemoryError, OSError.
    """
    usages = []
    tree = TreeWriter()
    with contextlib.closing(_one_ahead(layers, blobs)) as opened:
        for layer, plain in zip(layers, opened, strict=True):
            usages.append(_unpack_layer(layer, plain, tree))
            tree.next_layer()
    tree.finish()
    return Usage(bytes=sum(usage.bytes for usage in usages), inodes=sum(usage.inodes for usage in usages))


def _unpack_layer(layer: Layer, plain: PlainLayer, tree: TreeWriter) -> Usage:
    entries = LayerEntries(plain, digest=layer.digest, diff_id=layer.diff_id)
    for entry, data in entries:
        _check_space(layer, entry.size)
        try:
            tree.put(entry, data)
        except Refused as error:
            raise InvalidArgument(f"layer {layer.digest} is refused: {error}") from None
        except OSError as error:
            if error.errno not in _UNUSABLE:
                raise
            what = f"entry {show(b'/'.join(entry.parts))}: {error.strerror}"
            raise InvalidArgument(f"layer {layer.digest} is refused: {what}") from None
    return entries.usage


def _one_ahead(layers: Sequence[Layer], blobs: int) -> Generator[PlainLayer, None, None]:
    """Each layer opened, while the one after it is inflated already as far as memory is given to that."""
    upcoming: PlainLayer | None = None
    try:
        for layer, following in zip_longest(layers, layers[1:]):
            with contextlib.closing(upcoming or _opened(layer, blobs)) as plain:
                upcoming = None if following is None else _opened(following, blobs)
                yield plain
    finally:
        if upcoming is not None:
            upcoming.close()


def _opened(layer: Layer, blobs: int) -> PlainLayer:
    algorithm, _, value = layer.digest.partition(":")
    try:
        fd = os.open(f"{algorithm}/{value}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=blobs)
    except FileNotFoundError:
        raise InvalidArgument(f"layer {layer.digest} is missing") from None
    return PlainLayer(os.fdopen(fd, "rb", buffering=0), layer.diff_id.partition(":")[0])


def _check_space(layer: Layer, size: int) -> None:
    """What cannot fit is not written to find that out."""
    if size > _WORTH_A_LOOK_BYTES:
        disk = os.statvfs(".")
        free_bytes = disk.f_bavail * disk.f_frsize
        if size > free_bytes:
            why = f"layer {layer.digest} needs more than the {free_bytes} bytes that are free: no space left on device"
            raise OSError(errno.ENOSPC, why)


if __name__ == "__main__":
    sys.exit(main())
