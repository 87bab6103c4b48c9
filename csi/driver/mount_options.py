"""Mount flags of a request: as attributes of a bind mount, and as flags and text for mount(2)."""

from collections.abc import Iterable

from csi import errors
from runtimes.linux import syscalls
from runtimes.linux.mount_options import parse


def attributes(options: Iterable[str], *, readonly: bool) -> int:
    """Of a bind mount. Raises InvalidArgument for an option that only a file system can have."""
    found = parse(options)
    for option in found.beyond_bind:
        raise errors.InvalidArgument(f"mount_flags: {errors.presentable(option)[:64]!r} is no option of a bind mount")
    return found.attributes | (syscalls.MOUNT_ATTR_RDONLY if readonly else 0)


def flags(options: Iterable[str], *, readonly: bool) -> tuple[int, str]:
    """Of a file system: flags, and the text that it is to read itself."""
    found = parse(options)
    return found.flags | (syscalls.MS_RDONLY if readonly else 0), found.text


def of_the_mount(options: Iterable[str]) -> tuple[str, ...]:
    """Those that a bind mount of a staged file system can have too."""
    return tuple(option for option in options if not parse([option]).beyond_bind)
