"""What the agent may do on this machine, and how much room there is."""

import os
from pathlib import Path

import psutil

from nodeagent.cli.check.finding import Finding, degraded, found, missing
from nodeagent.cli.output import human_bytes
from nodeagent.config import Config
from runtimes.oci.hostfacts import read_host_facts

_NEEDED = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETPCAP", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT"),
)
_EVICTION_PERCENT = 15  # imagefs.available of the default thresholds
_SMALLEST_BYTES = 100 * 2**20


def examine_capabilities() -> list[Finding]:
    group = "privileges"
    if os.geteuid() != 0:
        return [missing(group, "root", f"running as user {os.geteuid()}", "run nodeagent as root")]
    have = read_host_facts().capabilities
    findings = [found(group, "root")]
    lacking = [name for name in _NEEDED if name not in have]
    if lacking:
        fix = "grant them to the agent's service or container"
        findings.append(missing(group, "capabilities", f"without {', '.join(lacking)}", fix))
    else:
        findings.append(found(group, "capabilities"))
    if "CAP_SYS_RESOURCE" in have:
        findings.append(found(group, "CAP_SYS_RESOURCE"))
    else:
        detail = "oom_score_adj and hard resource limits are clamped to the agent's own"
        findings.append(degraded(group, "CAP_SYS_RESOURCE", detail, "grant it to the agent's service or container"))
    return findings


def examine_resources(config: Config) -> list[Finding]:
    return [swap(config, psutil.swap_memory().total), *disks(config)]


def swap(config: Config, total_bytes: int) -> Finding:
    group, name = "resources", "swap"
    if total_bytes == 0:
        return found(group, name, "none")
    size = human_bytes(total_bytes)
    if config.kubelet.failSwapOn:
        return missing(group, name, f"{size} are on, and failSwapOn is set", "swapoff -a, or failSwapOn: false")
    return found(group, name, f"{size}, allowed")


def disks(config: Config) -> list[Finding]:
    findings = []
    seen: set[int] = set()
    for path in (config.options.state_dir, config.options.root_dir):
        folder = _existing(path)
        if not folder.is_dir():
            findings.append(missing("resources", f"disk of {path}", f"{folder} is not a folder", "choose another path"))
            continue
        device = folder.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = psutil.disk_usage(str(folder))
        detail = f"{human_bytes(usage.free)} free of {human_bytes(usage.total)} at {folder}"
        name = f"disk of {path}"
        if usage.free < _SMALLEST_BYTES:
            findings.append(missing("resources", name, detail, "make room"))
        elif usage.free * 100 < usage.total * _EVICTION_PERCENT:
            text = f"{detail}: below the eviction threshold of {_EVICTION_PERCENT} %"
            findings.append(degraded("resources", name, text, "make room"))
        else:
            findings.append(found("resources", name, detail))
    return findings


def _existing(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
