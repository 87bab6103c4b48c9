"""User namespaces of pods, and mounts that show a file's owner through one (id-mapped mounts, Linux 5.12, overlay 5.19).

The engine maps what it mounts by itself, so that a pod with its own users works on runtimes that cannot map mounts.
"""

import contextlib
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux import syscalls
from runtimes.linux.removal import remove_tree

_OVERLAY_KERNEL = (5, 19)

_HELPER = ("unshare", "--user", "--net", "--ipc", "--uts", "cat")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMapping:
    """How ids inside a pod are ids of the host."""

    uids: tuple[cri.IDMapping, ...]
    gids: tuple[cri.IDMapping, ...]

    @classmethod
    def of(cls, options: cri.NamespaceOption) -> "UserMapping | None":
        """None for the host's users. Raises InvalidArgument for a namespace without a mapping."""
        if not options.HasField("userns_options") or options.userns_options.mode == cri.NODE:
            return None
        wanted = options.userns_options
        if wanted.mode != cri.POD:
            raise errors.InvalidArgument(f"unsupported user namespace mode {cri.NamespaceMode.Name(wanted.mode)}")
        if not wanted.uids or not wanted.gids:
            raise errors.InvalidArgument("a user namespace needs a mapping of users and of groups")
        return cls(uids=tuple(wanted.uids), gids=tuple(wanted.gids))

    def host_uid(self, uid: int) -> int:
        return _to_host(self.uids, uid)

    def host_gid(self, gid: int) -> int:
        return _to_host(self.gids, gid)

    def oci(self) -> dict[str, list[dict[str, int]]]:
        """linux.uidMappings and gidMappings of a bundle."""
        return {
            name: [
                {"containerID": entry.container_id, "hostID": entry.host_id, "size": entry.length} for entry in entries
            ]
            for name, entries in (("uidMappings", self.uids), ("gidMappings", self.gids))
        }


def _to_host(entries: Sequence[cri.IDMapping], value: int) -> int:
    for entry in entries:
        if entry.container_id <= value < entry.container_id + entry.length:
            return entry.host_id + value - entry.container_id
    raise errors.InvalidArgument(f"id {value} is not mapped in the pod's user namespace")


def pin_owned_namespaces(mapping: UserMapping, paths: Mapping[str, Path]) -> None:
    """Make a user namespace and net, ipc and uts namespaces that belong to it, and pin those named in `paths`.

    A process of its own makes them, since a program with threads cannot have a new user namespace. Blocks for some
    milliseconds. On an error nothing stays.
    """
    helper = subprocess.Popen(_HELPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert helper.stdin is not None
    assert helper.stdout is not None
    try:
        helper.stdin.write(b"\n")
        helper.stdin.flush()
        if not helper.stdout.readline():  # cat answers from inside the namespaces, or nobody does
            raise errors.NotSupported("this host cannot make user namespaces")
        for name, entries in (("uid_map", mapping.uids), ("gid_map", mapping.gids)):
            text = "".join(f"{entry.container_id} {entry.host_id} {entry.length}\n" for entry in entries)
            Path(f"/proc/{helper.pid}/{name}").write_text(text)
        for kind, path in paths.items():
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
            syscalls.mount(f"/proc/{helper.pid}/ns/{kind}", path, flags=syscalls.MS_BIND)
    except OSError as error:
        for path in paths.values():
            syscalls.unpin_namespace(path)
        raise errors.InvalidArgument(f"cannot make the pod's user namespace: {error}") from error
    finally:
        helper.kill()
        helper.communicate()


def mount_mapped(source: Path, target: Path, user_namespace: Path) -> None:
    """Bind `source`, with what is mounted below it, on `target`, owners shown through the namespace. Raises OSError."""
    tree = syscalls.open_tree(source, syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE)
    try:
        with open(user_namespace, "rb") as namespace:
            syscalls.set_id_mapping(tree, namespace.fileno(), source)
        syscalls.move_mount(tree, target)
    finally:
        os.close(tree)


def mount_mapped_overlay(tree: Path, directory: Path, mapping: UserMapping, user_namespace: Path) -> Path:
    """A writable overlay on an image's tree whose owners are the pod's users: `directory`/merged. Blocks.

    `directory` is what the image store has prepared: its plain overlay is taken away, upper and work are used again.
    """
    merged, lower, upper, work = (directory / name for name in ("merged", "lower", "upper", "work"))
    syscalls.umount(merged)
    remove_tree(work)  # it remembers that it was used without syncing, and refuses to be used again
    work.mkdir()
    root = tree.stat()
    os.chown(upper, mapping.host_uid(root.st_uid), mapping.host_gid(root.st_gid))
    lower.mkdir(exist_ok=True)
    mount_mapped(tree, lower, user_namespace)
    try:
        options = (
            f"lowerdir={lower},upperdir={upper},workdir={work},index=off,metacopy=off,redirect_dir=nofollow,volatile"
        )
        syscalls.mount("overlay", merged, "overlay", 0, options)
    finally:
        syscalls.umount(lower, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)  # the overlay holds it
        lower.rmdir()
    return merged


def barred_by(directory: Path) -> Path | None:
    """The first folder on the way to `directory` that users of pods may not pass; their root filesystems are below it."""
    for folder in (*reversed(directory.parents), directory):
        with contextlib.suppress(FileNotFoundError):
            if not folder.stat().st_mode & 0o001:
                return folder
    return None


def supports_mapped_mounts(directory: Path, kernel: tuple[int, int]) -> bool:
    """Whether a pod can have its own users here: tried out in `directory`, on the file system of the containers. Blocks."""
    if kernel < _OVERLAY_KERNEL:
        return False
    if barred := barred_by(directory):
        log.warning("no pod can have its own users (hostUsers: false): others may not pass %s: chmod o+x it", barred)
        return False
    namespace, target = directory / "probe-user", directory / "probe-mount"
    mapping = UserMapping(uids=(_PROBE_RANGE,), gids=(_PROBE_RANGE,))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        target.mkdir(exist_ok=True)
        syscalls.unpin_namespace(namespace)
        pin_owned_namespaces(mapping, {"user": namespace})
        mount_mapped(target, target, namespace)
        # whoever looks through the tree just now keeps a mount busy
        syscalls.umount(target, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
    except (OSError, errors.RuntimeFault):
        return False
    finally:
        syscalls.unpin_namespace(namespace)
        with contextlib.suppress(OSError):
            target.rmdir()
    return True


_PROBE_RANGE = cri.IDMapping(container_id=0, host_id=65536, length=65536)
