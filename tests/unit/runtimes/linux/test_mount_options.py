"""Mount options by name."""

import pytest

from runtimes.linux import syscalls
from runtimes.linux.mount_options import parse

RO, NODEV = (
    (syscalls.MS_RDONLY, syscalls.MOUNT_ATTR_RDONLY),
    (syscalls.MS_NODEV, syscalls.MOUNT_ATTR_NODEV),
)


@pytest.mark.parametrize(
    ("options", "flags", "attributes", "text", "beyond_bind"),
    [
        ([], 0, 0, "", ()),
        (["ro", "nodev"], RO[0] | NODEV[0], RO[1] | NODEV[1], "", ()),
        (["ro,nodev"], RO[0] | NODEV[0], RO[1] | NODEV[1], "", ()),
        (["ro", "rw"], 0, 0, "", ()),
        (["rw", "ro"], *RO, "", ()),
        (["defaults", "relatime", "nofail", "_netdev", "x-systemd.automount"], 0, 0, "", ()),
        (["discard", "data=ordered"], 0, 0, "discard,data=ordered", ("discard", "data=ordered")),
        (["sync"], 0x10, 0, "", ("sync",)),
        (["noatime", "atime"], 0, 0, "", ()),
    ],
)
def test_options(options: list[str], flags: int, attributes: int, text: str, beyond_bind: tuple[str, ...]) -> None:
    """Flags and attributes of those that the kernel knows, later ones first; the rest is the file system's, in its order."""
    found = parse(options)
    assert (found.flags, found.attributes, found.text, found.beyond_bind) == (flags, attributes, text, beyond_bind)
    assert found.read_only == bool(flags & syscalls.MS_RDONLY)
