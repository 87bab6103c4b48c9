"""Mount options by name, as mount(8) takes them: as flags of mount(2), as attributes of a bind mount, and what is left."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from runtimes.linux import syscalls

_MS_SYNCHRONOUS: Final = 0x10
_MS_DIRSYNC: Final = 0x80
_MS_NOATIME: Final = 0x400
_MS_NODIRATIME: Final = 0x800
_MS_STRICTATIME: Final = 0x1000000
_MS_LAZYTIME: Final = 0x2000000

# name -> (flag of mount(2), attribute of a bind mount: 0, only a file system can have it)
_SET: Final = {
    "ro": (syscalls.MS_RDONLY, syscalls.MOUNT_ATTR_RDONLY),
    "nosuid": (syscalls.MS_NOSUID, syscalls.MOUNT_ATTR_NOSUID),
    "nodev": (syscalls.MS_NODEV, syscalls.MOUNT_ATTR_NODEV),
    "noexec": (syscalls.MS_NOEXEC, syscalls.MOUNT_ATTR_NOEXEC),
    "noatime": (_MS_NOATIME, syscalls.MOUNT_ATTR_NOATIME),
    "nodiratime": (_MS_NODIRATIME, syscalls.MOUNT_ATTR_NODIRATIME),
    "strictatime": (_MS_STRICTATIME, 0),
    "lazytime": (_MS_LAZYTIME, 0),
    "sync": (_MS_SYNCHRONOUS, 0),
    "dirsync": (_MS_DIRSYNC, 0),
}
# name -> what it takes back
_CLEARED: Final = {
    "rw": "ro",
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "atime": "noatime",
    "diratime": "nodiratime",
    "async": "sync",
    "nolazytime": "lazytime",
    "nostrictatime": "strictatime",
}
# what is so anyhow, or is for who reads /etc/fstab
_NOTHING: Final = frozenset({"defaults", "relatime", "bind", "auto", "noauto", "nofail", "user", "nouser", "_netdev"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """`flags`: of mount(2). `text`: its data argument, what only the file system itself knows. `attributes`: MOUNT_ATTR_* of a
    bind mount; `beyond_bind`: the options that no bind mount can have.
    """

    flags: int
    text: str
    attributes: int
    beyond_bind: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        return bool(self.flags & syscalls.MS_RDONLY)


def parse(options: Iterable[str]) -> MountOptions:
    """Later ones win; one may be several with commas between."""
    flags, attributes = 0, 0
    beyond, text = list[str](), list[str]()
    for option in (part for each in options for part in each.split(",") if part):
        if option in _SET:
            flag, attribute = _SET[option]
            flags, attributes = flags | flag, attributes | attribute
            if not attribute:
                beyond.append(option)
        elif option in _CLEARED:
            flag, attribute = _SET[_CLEARED[option]]
            flags, attributes = flags & ~flag, attributes & ~attribute
        elif option not in _NOTHING and not option.startswith("x-"):
            text.append(option)
    return MountOptions(flags=flags, text=",".join(text), attributes=attributes, beyond_bind=(*beyond, *text))
