"""Kernel features, asked of the kernel itself where it can be asked."""

import errno
import os
from pathlib import Path

from nodeagent.cli.check.finding import Finding, absent, degraded, found, missing
from runtimes.linux import syscalls

_GROUP = "kernel"
_NAMESPACES = ("mnt", "net", "pid", "ipc", "uts")
PROC = Path("/proc")


def examine(proc: Path = PROC) -> list[Finding]:
    return [overlayfs(proc), *namespaces(proc), user_namespaces(proc), seccomp(proc), psi(proc), openat2()]


def overlayfs(proc: Path) -> Finding:
    names = {line.split()[-1] for line in _text(proc / "filesystems").splitlines() if line.strip()}
    if "overlay" in names:
        return found(_GROUP, "overlayfs")
    modules = Path("/lib/modules") / os.uname().release / "kernel/fs/overlayfs"
    if modules.is_dir():
        return missing(_GROUP, "overlayfs", "the module is not loaded", "modprobe overlay")
    return missing(_GROUP, "overlayfs", "not in this kernel", "boot a kernel with CONFIG_OVERLAY_FS")


def namespaces(proc: Path) -> list[Finding]:
    lacking = [name for name in _NAMESPACES if not _lexists(proc / "self/ns" / name)]
    if lacking:
        fix = "boot a kernel with CONFIG_NAMESPACES"
        return [missing(_GROUP, "namespaces", f"without {', '.join(lacking)}", fix)]
    return [found(_GROUP, "namespaces", ", ".join(_NAMESPACES))]


def user_namespaces(proc: Path) -> Finding:
    if not _lexists(proc / "self/ns/user"):
        fix = "boot a kernel with CONFIG_USER_NS"
        return degraded(_GROUP, "user namespaces", "not in this kernel: pods with hostUsers: false fail", fix)
    limit = _text(proc / "sys/user/max_user_namespaces").strip()
    if limit == "0":
        fix = "sysctl -w user.max_user_namespaces=15000"
        return degraded(_GROUP, "user namespaces", "forbidden: pods with hostUsers: false fail", fix)
    return found(_GROUP, "user namespaces", f"at most {limit}" if limit else "")


def seccomp(proc: Path) -> Finding:
    if any(line.startswith("Seccomp:") for line in _text(proc / "self/status").splitlines()):
        return found(_GROUP, "seccomp")
    return degraded(
        _GROUP, "seccomp", "not in this kernel: pods that ask for a profile fail", "boot with CONFIG_SECCOMP_FILTER"
    )


def psi(proc: Path) -> Finding:
    if _text(proc / "pressure/memory"):
        return found(_GROUP, "pressure stall information")
    return absent(_GROUP, "pressure stall information", "no pressure in statistics", "boot with psi=1")


def openat2() -> Finding:
    """Volumes with subPath are opened with it, so that no link in a pod's volume leads out of it."""
    try:
        os.close(syscalls.openat2(-100, ".", os.O_PATH, resolve=syscalls.RESOLVE_NO_MAGICLINKS))
    except OSError as error:
        reason = "not in this kernel" if error.errno == errno.ENOSYS else str(error)
        return degraded(_GROUP, "openat2", f"{reason}: volumes with a subPath fail", "boot Linux 5.6 or later")
    return found(_GROUP, "openat2", f"Linux {os.uname().release}")


def _lexists(path: Path) -> bool:
    return os.path.lexists(path)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
