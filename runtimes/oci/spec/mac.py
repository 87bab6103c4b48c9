"""AppArmor profiles and SELinux labels, applied where the host has them.

Where it has not, a named AppArmor profile is refused and SELinux options mean nothing, as with every other runtime: charts
carry them for the hosts that have it.
"""

import logging
from functools import cache
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci.hostfacts import HostFacts

log = logging.getLogger(__name__)

_LOADED_PROFILES = Path("/sys/kernel/security/apparmor/profiles")


def apparmor_profile(security: cri.LinuxContainerSecurityContext, default: str, host: HostFacts) -> str:
    """The profile's name, or "" for none. Raises NotSupported, InvalidArgument."""
    if security.privileged:
        return ""
    wanted = _wanted_apparmor(security)
    if not host.apparmor:
        if wanted not in ("", "runtime/default", "unconfined"):
            raise errors.NotSupported(f"AppArmor profile {wanted!r} was asked for, but this host has no AppArmor")
        return ""
    match wanted:
        case "unconfined":
            return "unconfined"
        case "" | "runtime/default":
            return _default_apparmor(default)
        case _:
            name = wanted.removeprefix("localhost/")
            if not _is_loaded(name):
                raise errors.InvalidArgument(f"AppArmor profile {name!r} is not loaded")
            return name


def _wanted_apparmor(security: cri.LinuxContainerSecurityContext) -> str:
    if security.HasField("apparmor"):
        match security.apparmor.profile_type:
            case cri.SecurityProfile.Unconfined:
                return "unconfined"
            case cri.SecurityProfile.Localhost:
                return f"localhost/{security.apparmor.localhost_ref.removeprefix('localhost/')}"
            case _:
                return "runtime/default"
    return security.apparmor_profile


def _default_apparmor(default: str) -> str:
    if default and _is_loaded(default):
        return default
    _say_unconfined(default)
    return ""


@cache
def _say_unconfined(default: str) -> None:
    if default:
        log.warning("AppArmor profile %r is not loaded: containers run unconfined by AppArmor", default)
    else:
        log.warning("this host has AppArmor, but no default profile is configured: containers run unconfined by it")


def _is_loaded(name: str) -> bool:
    try:
        lines = _LOADED_PROFILES.read_text().splitlines()
    except OSError:
        return False
    return any(line.rpartition(" (")[0] == name for line in lines)


def selinux_label(security: cri.LinuxContainerSecurityContext, host: HostFacts) -> str:
    """ "user:role:type:level", or "" for none."""
    if not security.HasField("selinux_options"):
        return ""
    options = security.selinux_options
    if not any((options.user, options.role, options.type, options.level)):
        return ""
    if not host.selinux:
        _say_unlabelled()
        return ""
    if security.privileged:
        return ""
    return ":".join(
        (options.user or "system_u", options.role or "system_r", options.type or "container_t", options.level or "s0")
    )


def selinux_file_label(security: cri.LinuxContainerSecurityContext, host: HostFacts) -> str:
    """The label of files that a container with `selinux_label` may use, or "" for none: containers' files, at its level."""
    process = selinux_label(security, host)
    if not process:
        return ""
    user, _, _, level = process.split(":", 3)
    return f"{user}:object_r:container_file_t:{level}"


@cache
def _say_unlabelled() -> None:
    log.warning("SELinux options are ignored: this host has no SELinux")
