"""The files that every container of a sandbox sees: resolv.conf, hostname, hosts."""

import os
from collections.abc import Mapping
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.oci.spec.mounts import SandboxFiles

_HOST_RESOLV_CONF = Path("/etc/resolv.conf")
_HOST_HOSTS = Path("/etc/hosts")


def write(directory: Path, config: cri.PodSandboxConfig, hostname: str) -> None:
    """Blocks for three small files. World-readable: every user of the container reads them."""
    files = {"resolv.conf": resolv_conf(config), "hostname": f"{hostname}\n", "hosts": _read(_HOST_HOSTS)}
    for name, text in files.items():
        path = directory / name
        path.write_text(text)
        path.chmod(0o644)


def resolv_conf(config: cri.PodSandboxConfig) -> str:
    """resolv.conf(5) from the DNS configuration; the host's own when the request has none."""
    if not config.HasField("dns_config"):
        return _read(_HOST_RESOLV_CONF)
    dns = config.dns_config
    lines = [f"search {' '.join(dns.searches)}"] if dns.searches else []
    lines += [f"nameserver {server}" for server in dns.servers]
    lines += [f"options {' '.join(dns.options)}"] if dns.options else []
    return "".join(f"{line}\n" for line in lines)


def sandbox_files(directory: Path, shm: Path) -> SandboxFiles:
    """Where they are on the host."""
    files: Mapping[str, Path] = {f"/etc/{name}": directory / name for name in ("resolv.conf", "hostname", "hosts")}
    return SandboxFiles(files=files, shm=shm)


def hostname(config: cri.PodSandboxConfig) -> str:
    """The pod's host name; the host's own for pods on its network."""
    return config.hostname or os.uname().nodename


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
