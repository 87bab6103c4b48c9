"""linux capabilities of a container: the common default set, or all or none of them, then those added, less those dropped."""

from collections.abc import Iterable

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci.hostfacts import CAPABILITIES, HostFacts

# what containerd, CRI-O and Docker grant to a container that asks for nothing
DEFAULT = frozenset(
    [
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ]
)
_ALL = "CAP_ALL"


def container_capabilities(
    security: cri.LinuxContainerSecurityContext, uid: int, host: HostFacts
) -> dict[str, list[str]]:
    """The bundle's process.capabilities. Raises InvalidArgument for a name that no kernel knows.

    A user other than root has only the ambient ones, as after any execve(2). Inheritable stays empty, but for ambient ones: a
    program with inheritable file capabilities would give such a user more than it was meant to have.
    """
    ambient = _names(security.capabilities.add_ambient_capabilities)
    bounding = host.clamp_capabilities(_bounding(security, host) | ambient)
    ambient &= bounding
    held = bounding if uid == 0 else ambient
    return {
        "bounding": sorted(bounding),
        "effective": sorted(held),
        "permitted": sorted(held),
        "inheritable": sorted(ambient),
        "ambient": sorted(ambient),
    }


def _bounding(security: cri.LinuxContainerSecurityContext, host: HostFacts) -> frozenset[str]:
    if security.privileged:
        return host.capabilities
    add, drop = _names(security.capabilities.add_capabilities), _names(security.capabilities.drop_capabilities)
    base = host.capabilities if _ALL in add else DEFAULT
    if _ALL in drop:
        base = frozenset()
    return (base | add) - drop - {_ALL}


def _names(values: Iterable[str]) -> frozenset[str]:
    names = frozenset(_normalise(value) for value in values)
    if unknown := names - frozenset(CAPABILITIES) - {_ALL}:
        raise errors.InvalidArgument(f"unknown capability {', '.join(sorted(unknown))}")
    return names


def _normalise(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"
