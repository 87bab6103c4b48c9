"""The /etc/hosts file that the agent keeps for a pod. Source: docs/facts/pod-lifecycle.md 12.3."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from lightkube.models.core_v1 import HostAlias

from runtimes.linux.removal import remove_tree

_LOCAL = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)
_FILE_MODE = 0o644


def hosts_content(pod_ips: Sequence[str], host: str, domain: str, aliases: Sequence[HostAlias]) -> str:
    """The file of a pod with a network of its own."""
    lines = ["# Kubernetes-managed hosts file.", *(f"{ip}\t{names}" for ip, names in _LOCAL)]
    names = f"{host}.{domain}\t{host}" if domain else host
    lines += [f"{ip}\t{names}" for ip in pod_ips]
    return "\n".join(lines) + "\n" + _alias_lines(aliases)


def host_network_content(node_hosts: str, aliases: Sequence[HostAlias]) -> str:
    """The file of a pod on the node's network: the node's own, marked."""
    return f"# Kubernetes-managed hosts file (host network).\n{node_hosts}" + _alias_lines(aliases)


def _alias_lines(aliases: Sequence[HostAlias]) -> str:
    if not aliases:
        return ""
    lines = ["", "# Entries added by HostAliases."]
    lines += ["\t".join((alias.ip, *(alias.hostnames or ()))) for alias in aliases]
    return "\n".join(lines) + "\n"


def write_hosts(path: Path, content: str) -> bool:
    """Make `content` that of the file, in place: containers hold a bind mount of this very inode.

    The file is never seen empty. Returns whether it was written. Blocks for microseconds. Raises OSError.
    """
    data = content.encode()
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = _open(path)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ELOOP):
            raise
        # a damaged disk's: what is there is no file of ours, and nothing is written through it
        remove_tree(path)
        descriptor = _open(path)
    try:
        if os.pread(descriptor, len(data) + 1, 0) == data:
            return False
        os.fchmod(descriptor, _FILE_MODE)
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
