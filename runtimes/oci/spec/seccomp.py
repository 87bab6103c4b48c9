"""Seccomp profiles: from the format of the distribution's file to the bundle's linux.seccomp.

The file (containers-common's seccomp.json, also what Localhost profiles are written in) has conditions: rules for some
architectures, capabilities or kernels only. The bundle has none, so they are decided here; what has none passes through.
"""

import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.kube.json_errors import UNREADABLE
from runtimes.oci.hostfacts import HostFacts

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"),
    "aarch64": ("SCMP_ARCH_AARCH64", "arm64"),
    "armv7l": ("SCMP_ARCH_ARM", "arm"),
    "ppc64le": ("SCMP_ARCH_PPC64LE", "ppc64le"),
    "riscv64": ("SCMP_ARCH_RISCV64", "riscv64"),
    "s390x": ("SCMP_ARCH_S390X", "s390x"),
}


class _Condition(msgspec.Struct):
    arches: list[str] = []
    caps: list[str] = []
    minKernel: str = ""  # noqa: N815 - the file's own name


class _Rule(msgspec.Struct):
    action: str
    names: list[str] = []
    name: str = ""
    args: list[dict[str, Any]] | None = None
    errnoRet: int | None = None  # noqa: N815
    includes: _Condition = msgspec.field(default_factory=_Condition)
    excludes: _Condition = msgspec.field(default_factory=_Condition)


class _Architecture(msgspec.Struct):
    architecture: str
    subArchitectures: list[str] | None = None  # noqa: N815


class _Profile(msgspec.Struct):
    defaultAction: str  # noqa: N815
    defaultErrnoRet: int | None = None  # noqa: N815
    architectures: list[str] | None = None
    archMap: list[_Architecture] | None = None  # noqa: N815
    flags: list[str] | None = None
    listenerPath: str = ""  # noqa: N815
    listenerMetadata: str = ""  # noqa: N815
    syscalls: list[_Rule] | None = None


def container_seccomp(
    security: cri.LinuxContainerSecurityContext, capabilities: frozenset[str], default: Path, host: HostFacts
) -> msgspec.Raw | None:
    """The bundle's linux.seccomp, or None for unconfined. Raises InvalidArgument, NotSupported."""
    if security.privileged:
        return None
    path = _profile_path(security, default)
    if path is None:
        return None
    if not host.seccomp:
        raise errors.NotSupported("a seccomp profile was asked for, but this kernel has no seccomp")
    try:
        return _load(str(path), path.stat().st_mtime_ns, capabilities, host.kernel)
    except OSError as error:
        raise errors.InvalidArgument(f"cannot load seccomp profile {str(path)!r}: {error.strerror}") from error
    except UNREADABLE as error:
        raise errors.InvalidArgument(f"seccomp profile {str(path)!r} is not valid: {error}") from error
    except ValueError as error:  # a name that no file can have
        raise errors.InvalidArgument(f"cannot load seccomp profile {str(path)!r}: {error}") from error


def _profile_path(security: cri.LinuxContainerSecurityContext, default: Path) -> Path | None:
    if security.HasField("seccomp"):
        match security.seccomp.profile_type:
            case cri.SecurityProfile.Unconfined:
                return None
            case cri.SecurityProfile.Localhost:
                return _absolute(security.seccomp.localhost_ref.removeprefix("localhost/"))
            case _:
                return default
    match security.seccomp_profile_path:  # the older field, as text
        case "" | "unconfined":
            return None
        case "runtime/default" | "docker/default":
            return default
        case text if text.startswith("localhost/"):
            return _absolute(text.removeprefix("localhost/"))
        case text:
            raise errors.InvalidArgument(f"invalid seccomp profile {text!r}")


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise errors.InvalidArgument(f"seccomp profile {text!r} is not an absolute path")
    return path


@lru_cache(maxsize=32)
def _load(path: str, _modified_ns: int, capabilities: frozenset[str], kernel: tuple[int, int]) -> msgspec.Raw:
    profile = msgspec.json.decode(Path(path).read_bytes(), type=_Profile)
    return msgspec.Raw(msgspec.json.encode(resolve(profile, capabilities, kernel, platform.machine())))


def resolve(profile: _Profile, capabilities: frozenset[str], kernel: tuple[int, int], machine: str) -> dict[str, Any]:
    """Decide all conditions of a profile for one container on one machine."""
    native, short = _ARCHITECTURES.get(machine, ("", machine))
    architectures = profile.architectures or []
    for entry in profile.archMap or []:
        if entry.architecture == native:
            architectures = [native, *(entry.subArchitectures or [])]
    found: dict[str, Any] = {"defaultAction": profile.defaultAction}
    if profile.defaultErrnoRet is not None:
        found["defaultErrnoRet"] = profile.defaultErrnoRet
    if architectures:
        found["architectures"] = architectures
    for name in ("flags", "listenerPath", "listenerMetadata"):
        if value := getattr(profile, name):
            found[name] = value
    found["syscalls"] = [_rule(rule) for rule in profile.syscalls or [] if _applies(rule, capabilities, kernel, short)]
    return found


def _applies(rule: _Rule, capabilities: frozenset[str], kernel: tuple[int, int], arch: str) -> bool:
    wanted, unwanted = rule.includes, rule.excludes
    if (wanted.arches and arch not in wanted.arches) or arch in unwanted.arches:
        return False
    if not capabilities.issuperset(wanted.caps) or capabilities.intersection(unwanted.caps):
        return False
    if wanted.minKernel and kernel < _kernel(wanted.minKernel):
        return False
    return not (unwanted.minKernel and kernel >= _kernel(unwanted.minKernel))


def _kernel(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def _rule(rule: _Rule) -> dict[str, Any]:
    found: dict[str, Any] = {"names": rule.names or [rule.name], "action": rule.action}
    if rule.errnoRet is not None:
        found["errnoRet"] = rule.errnoRet
    if rule.args:
        found["args"] = rule.args
    return found
