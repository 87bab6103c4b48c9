"""Mount options by name: as attributes of a bind mount, and as flags and text for mount(2)."""

from collections.abc import Iterable
from typing import Final

from csi import errors
from runtimes.linux import syscalls

_MS_NOATIME: Final = 0x400
_MS_NODIRATIME: Final = 0x800

# name -> (flag of mount(2), attribute of a bind mount)
_OPTIONS: Final = {
    "ro": (syscalls.MS_RDONLY, syscalls.MOUNT_ATTR_RDONLY),
    "nosuid": (syscalls.MS_NOSUID, syscalls.MOUNT_ATTR_NOSUID),
    "nodev": (syscalls.MS_NODEV, syscalls.MOUNT_ATTR_NODEV),
    "noexec": (syscalls.MS_NOEXEC, syscalls.MOUNT_ATTR_NOEXEC),
    "noatime": (_MS_NOATIME, syscalls.MOUNT_ATTR_NOATIME),
    "nodiratime": (_MS_NODIRATIME, syscalls.MOUNT_ATTR_NODIRATIME),
    # what is so anyhow
    **dict.fromkeys(("rw", "suid", "dev", "exec", "defaults", "relatime", "bind"), (0, 0)),
}


def attributes(options: Iterable[str], *, readonly: bool) -> int:
    """Of a bind mount. Raises InvalidArgument for an option that only a file system can have."""
    found = syscalls.MOUNT_ATTR_RDONLY if readonly else 0
    for option in options:
        if option not in _OPTIONS:
            raise errors.InvalidArgument(
                f"mount_flags: {errors.presentable(option)[:64]!r} is no option of a bind mount"
            )
        found |= _OPTIONS[option][1]
    return found


def flags(options: Iterable[str], *, readonly: bool) -> tuple[int, str]:
    """Of a file system: flags, and the text that it is to read itself."""
    found, text = syscalls.MS_RDONLY if readonly else 0, []
    for option in options:
        if option in _OPTIONS:
            found |= _OPTIONS[option][0]
        else:
            text.append(option)
    return found, ",".join(text)


def of_the_mount(options: Iterable[str]) -> tuple[str, ...]:
    """Those that a bind mount of a staged file system can have too."""
    return tuple(option for option in options if option in _OPTIONS)
