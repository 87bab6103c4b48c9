"""Devices of a container: those asked for, or all of the host's for a privileged one, with the cgroup rules to use them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from proto import cri_pb2 as cri
from runtimes import errors

# made by the runtime itself in every container, or meaningless outside the host
_NOT_SHARED = frozenset(
    [
        "pts",
        "shm",
        "fd",
        "mqueue",
        "console",
        "core",
        "full",
        "null",
        "ptmx",
        "random",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
        ".lxc",
        ".udev",
        ".lxd-mounts",
    ]
)
DENY_ALL: dict[str, Any] = {"allow": False, "access": "rwm"}
ALLOW_ALL: dict[str, Any] = {"allow": True, "access": "rwm"}


def container_devices(
    wanted: list[cri.Device], *, privileged: bool, block_devices: bool = True
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(linux.devices, linux.resources.devices). `block_devices`: the runtime can give such to containers.

    Raises InvalidArgument for a device that does not exist, NotSupported for one of a kind that cannot be had. Blocks for stats.
    """
    nodes: dict[str, dict[str, Any]] = {}
    rules = [DENY_ALL]
    if privileged:
        nodes = {node["path"]: node for node in _all_host_devices(Path("/dev"))}
        rules = [ALLOW_ALL]
    for device in wanted:
        permissions = device.permissions or "rwm"
        if not set(permissions) <= set("rwm"):
            raise errors.InvalidArgument(
                f"device permissions {permissions!r} of {device.container_path} are not of rwm"
            )
        for node in _requested(Path(device.host_path), device.container_path):
            if node["type"] == "b" and not block_devices:
                raise errors.NotSupported(f"{device.container_path}: this runtime gives containers no block devices")
            nodes[node["path"]] = node
            rules.append(_rule(node, permissions))
    return list(nodes.values()), rules


def device_node(host_path: Path, container_path: str) -> dict[str, Any] | None:
    """The entry for one device file; None when the file is no device."""
    found = host_path.stat()
    if stat.S_ISBLK(found.st_mode):
        kind = "b"
    elif stat.S_ISCHR(found.st_mode):
        kind = "c"
    else:
        return None
    return {
        "path": container_path,
        "type": kind,
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def _rule(node: dict[str, Any], permissions: str) -> dict[str, Any]:
    return {
        "allow": True,
        "type": node["type"],
        "major": node["major"],
        "minor": node["minor"],
        "access": permissions,
    }


def _requested(host_path: Path, container_path: str) -> Iterator[dict[str, Any]]:
    """One device, or all below a directory at the same places below the container's path."""
    try:
        if host_path.is_dir():
            for below in sorted(host_path.rglob("*")):
                if node := device_node(below, f"{container_path.rstrip('/')}/{below.relative_to(host_path)}"):
                    yield node
        elif node := device_node(host_path, container_path):
            yield node
        else:
            raise errors.InvalidArgument(f"{host_path} is not a device")
    except OSError as error:
        raise errors.InvalidArgument(f"device {host_path}: {error.strerror}") from error


def _all_host_devices(directory: Path) -> Iterator[dict[str, Any]]:
    for entry in sorted(directory.iterdir()):
        if entry.name in _NOT_SHARED or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _all_host_devices(entry)
            continue
        try:
            node = device_node(entry, str(entry))
        except OSError:
            continue  # unplugged in the meantime
        if node is not None:
            yield node
