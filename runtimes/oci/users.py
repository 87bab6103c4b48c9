"""Who a container runs as: the request's user, else the image's, looked up in the image's own passwd and group files.

The rules are those of the CRI's peers: a uid without a group gets the group of its passwd entry, else 0; group memberships
of the image are merged in unless the policy is Strict. The files belong to the image, so they are opened in such a way that no
link in them leads out of the root file system.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from cni import linux
from proto import cri_pb2 as cri
from runtimes import errors

_MAX_FILE_BYTES = 4 * 1024 * 1024
_MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """`groups`: all of them, the primary one first, each once. `home`: empty when the image does not know the user."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str = ""


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


def resolve_user(security: cri.LinuxContainerSecurityContext, image_user: str, rootfs: Path) -> User:
    """Raises InvalidArgument when the user or a group does not exist in the image. Blocks for two small reads."""
    name, group = _wanted(security, image_user)
    accounts = _passwd(_read(rootfs, "etc/passwd"))
    account = _find_account(name, accounts)
    uid = account.uid if account else _as_id(name)
    if uid is None:
        raise errors.InvalidArgument(f"unable to find user {name}: no matching entries in passwd file")
    groups_text = _read(rootfs, "etc/group")
    gid = account.gid if account else 0
    if group:
        gid = _find_group(group, groups_text)
    merged = list(security.supplemental_groups)
    if account is not None and security.supplemental_groups_policy == cri.SupplementalGroupsPolicy.Merge:
        merged += _memberships(account.name, groups_text)
    return User(
        uid=uid, gid=gid, groups=tuple(dict.fromkeys((gid, *merged))), home=account.home if account is not None else ""
    )


def _wanted(security: cri.LinuxContainerSecurityContext, image_user: str) -> tuple[str, str]:
    """(user, group) as text; the request's user replaces the image's whole user[:group]."""
    image_name, _, image_group = image_user.partition(":")
    group = str(security.run_as_group.value) if security.HasField("run_as_group") else ""
    if security.run_as_username:
        return security.run_as_username, group
    if security.HasField("run_as_user"):
        return str(security.run_as_user.value), group
    if group:
        if not image_user:
            raise errors.InvalidArgument(f"user group {group!r} is specified without user")
        return image_name, group
    return image_name or "0", image_group


def _find_account(name: str, accounts: list[_Account]) -> _Account | None:
    uid = _as_id(name)
    return next((entry for entry in accounts if entry.name == name), None) or next(
        (entry for entry in accounts if uid is not None and entry.uid == uid), None
    )


def _find_group(group: str, text: str) -> int:
    for fields in _fields(text, 3):
        if fields[0] == group and (gid := _as_id(fields[2])) is not None:
            return gid
    gid = _as_id(group)
    if gid is None:
        raise errors.InvalidArgument(f"unable to find group {group}: no matching entries in group file")
    return gid


def _memberships(name: str, text: str) -> list[int]:
    gids = (_as_id(fields[2]) for fields in _fields(text, 4) if name in fields[3].split(","))
    return [gid for gid in gids if gid is not None]


def _passwd(text: str) -> list[_Account]:
    accounts: list[_Account] = []
    for fields in _fields(text, 6):
        uid, gid = _as_id(fields[2]), _as_id(fields[3])
        if uid is not None and gid is not None:
            accounts.append(_Account(fields[0], uid, gid, fields[5]))
    return accounts


def _fields(text: str, least: int) -> list[list[str]]:
    rows = (line.split(":") for line in text.splitlines())
    return [row for row in rows if len(row) >= least]


def _as_id(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    value = int(text)
    if value > _MAX_ID:
        raise errors.InvalidArgument(f"uids and gids must be in range 0-{_MAX_ID}, not {value}")
    return value


def _read(rootfs: Path, name: str) -> str:
    """A text file of the image; absent, unreadable or odd ones are empty."""
    try:
        fd = open_in_root(rootfs, name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    with open(fd, "rb") as file:
        if not os.path.isfile(f"/proc/self/fd/{fd}"):  # noqa: PTH113 - a descriptor, not a path
            return ""
        return file.read(_MAX_FILE_BYTES).decode(errors="replace")


def open_in_root(root: Path, name: str, flags: int) -> int:
    """Open `name` as a process with root directory `root` would."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return linux.openat2(
            root_fd, name.lstrip("/") or ".", flags, resolve=linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS
        )
    finally:
        os.close(root_fd)
