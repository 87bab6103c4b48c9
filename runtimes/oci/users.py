"""Who a container runs as: the request's user, else the image's, looked up in the image's own passwd and group files.

The rules are those of the CRI's peers: a uid without a group gets the group of its passwd entry, else 0; group memberships
of the image are merged in unless the policy is Strict. The files belong to the image, so they are opened in such a way that no
link in them leads out of the root file system.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux import syscalls
from runtimes.oci import ids

_MAX_FILE_BYTES = 4 * 1024 * 1024
_IN_ROOT = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


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
    """Raises InvalidArgument when the user or a group does not exist in the image. Blocks for two small reads.

    A number, of the request or of the image, is that id: the image's files only add to it. Looked up as a name, a passwd line
    `1000:x:0:0` would make root of `runAsUser: 1000`.
    """
    user, group = _wanted(security, image_user)
    accounts = _passwd(_read(rootfs, "etc/passwd"))
    if isinstance(user, int):
        account = next((entry for entry in accounts if entry.uid == user), None)
        uid = user
    else:
        account = next((entry for entry in accounts if entry.name == user), None)
        if account is None:
            raise errors.InvalidArgument(f"unable to find user {user}: no matching entries in passwd file")
        uid = account.uid
    groups_text = _read(rootfs, "etc/group")
    gid = account.gid if account else 0
    if group is not None:
        gid = group if isinstance(group, int) else _find_group(group, groups_text)
    merged = [ids.checked(number) for number in security.supplemental_groups]
    if account is not None and security.supplemental_groups_policy == cri.SupplementalGroupsPolicy.Merge:
        merged += _memberships(account.name, groups_text)
    return User(
        uid=uid, gid=gid, groups=tuple(dict.fromkeys((gid, *merged))), home=account.home if account is not None else ""
    )


def verify_group_names(user: User, rootfs: Path) -> None:
    """For a runtime that looks groups up by name again. Raises InvalidArgument where the image would make another group of one.

    With `1001:x:0:` in the image's group file, runc puts a process of supplemental group 1001 into group 0.
    """
    wanted = {str(gid) for gid in user.groups}
    for fields in _fields(_read(rootfs, "etc/group"), 3):
        # its fields are trimmed, and what is no number counts as 0 there
        name, number = fields[0].strip(), fields[2].strip()
        if name in wanted and ids.of_file(number) != int(name):
            raise errors.InvalidArgument(f"the image has a group named {name} whose id is {number[:40]}: refused")


def _wanted(security: cri.LinuxContainerSecurityContext, image_user: str) -> tuple[int | str, int | str | None]:
    """(user, group), ids or names; the request's user replaces the image's whole user[:group]. None: the user's own group."""
    image_name, _, image_group = image_user.partition(":")
    group = ids.checked(security.run_as_group.value) if security.HasField("run_as_group") else None
    if security.run_as_username:
        return _meant(security.run_as_username), group
    if security.HasField("run_as_user"):
        return ids.checked(security.run_as_user.value), group
    if group is not None:
        if not image_user:
            raise errors.InvalidArgument(f"user group '{group}' is specified without user")
        return _meant(image_name or "0"), group
    return _meant(image_name or "0"), _meant(image_group) if image_group else None


def _meant(text: str) -> int | str:
    number = ids.as_id(text)
    return text if number is None else number


def _find_group(name: str, text: str) -> int:
    for fields in _fields(text, 3):
        if fields[0] == name and (gid := ids.of_file(fields[2])) is not None:
            return gid
    raise errors.InvalidArgument(f"unable to find group {name}: no matching entries in group file")


def _memberships(name: str, text: str) -> list[int]:
    gids = (ids.of_file(fields[2]) for fields in _fields(text, 4) if name in fields[3].split(","))
    return [gid for gid in gids if gid is not None]


def _passwd(text: str) -> list[_Account]:
    accounts: list[_Account] = []
    for fields in _fields(text, 6):
        uid, gid = ids.of_file(fields[2]), ids.of_file(fields[3])
        if uid is not None and gid is not None:
            accounts.append(_Account(fields[0], uid, gid, fields[5]))
    return accounts


def _fields(text: str, least: int) -> list[list[str]]:
    rows = (line.split(":") for line in text.splitlines())
    return [row for row in rows if len(row) >= least]


def _read(rootfs: Path, name: str) -> str:
    """A text file of the image; absent, unreadable or odd ones are empty."""
    try:
        root_fd = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = syscalls.open_regular(root_fd, name, resolve=_IN_ROOT)
        finally:
            os.close(root_fd)
    except OSError:
        return ""
    with open(fd, "rb") as file:
        return file.read(_MAX_FILE_BYTES).decode(errors="replace")


def open_in_root(root: Path, name: str, flags: int) -> int:
    """Open `name` as a process with root directory `root` would."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscalls.openat2(root_fd, name.lstrip("/") or ".", flags, resolve=_IN_ROOT)
    finally:
        os.close(root_fd)
