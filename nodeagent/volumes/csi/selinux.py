"""Mounting a volume with a pod's SELinux label, instead of relabelling all that is in it. Source: docs/facts/storage.md 7."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lightkube.models.core_v1 import SELinuxOptions

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.csi.driver_specs import DriverSpec
from nodeagent.volumes.csi.volume import CSIVolume
from runtimes.linux import mountinfo

_ONE_POD = ("ReadWriteOncePod",)
_NAME = re.compile(r'\s*(?:SELINUXTYPE|file)\s*=\s*"?([^"\s]+)"?\s*')


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """`label`: what the policy gives to files of containers, `user:role:type:level`; empty: the host has no SELinux."""

    label: str = ""


NO_SELINUX = Host()


def read_host(root: Path = Path("/")) -> Host:
    """Blocks. A host without SELinux, or without a policy for containers, labels nothing."""
    if not (root / "sys/fs/selinux/enforce").exists():
        return NO_SELINUX
    kind = _setting(root / "etc/selinux/config", "SELINUXTYPE") or "targeted"
    return Host(label=_setting(root / "etc/selinux" / kind / "contexts/lxc_contexts", "file"))


def _setting(path: Path, name: str) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    found = (_NAME.fullmatch(line) for line in lines if line.strip().startswith(name))
    return next((match[1] for match in found if match), "")


def context(host: Host, pod: AgentPod, name: str, volume: CSIVolume, spec: DriverSpec) -> str:
    """The label to mount with; empty: none, and the runtime relabels. `name`: of the volume in the pod.

    Raises VolumeError where containers want different ones.
    """
    security = pod.spec.securityContext
    policy = security.seLinuxChangePolicy if security is not None else None
    if not host.label or not spec.selinux or policy == "Recursive" or volume.access_modes != _ONE_POD or volume.block:
        return ""
    labels = {_label(host, options) for options in _options(pod, name)}
    if len(labels) > 1:
        raise VolumeError(f"conflicting SELinux labels of volume {name}: {' and '.join(sorted(labels))}")
    return labels.pop() if labels else ""


def flag(label: str) -> tuple[str, ...]:
    return (f'context="{label}"',) if label else ()


def relabels(path: Path) -> bool:
    """Whether files of the file system that is mounted there have labels of their own. Blocks."""
    return any(entry.point == str(path) and "seclabel" in entry.options for entry in mountinfo.read_mounts())


def _options(pod: AgentPod, name: str) -> Iterator[SELinuxOptions | None]:
    """Of the containers that mount the volume."""
    of_pod = pod.spec.securityContext.seLinuxOptions if pod.spec.securityContext is not None else None
    for container in (*(pod.spec.initContainers or ()), *pod.spec.containers, *(pod.spec.ephemeralContainers or ())):
        if any(mount.name == name for mount in container.volumeMounts or ()):
            own = container.securityContext.seLinuxOptions if container.securityContext is not None else None
            yield own or of_pod


def _label(host: Host, options: SELinuxOptions | None) -> str:
    """Without a level every container gets one of its own at its start, which nobody knows yet."""
    if options is None or not options.level:
        return ""
    user, role, kind, _ = host.label.split(":", 3)
    return f"{options.user or user}:{role}:{kind}:{options.level}"
