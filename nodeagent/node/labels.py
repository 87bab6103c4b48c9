"""Labels, annotations and taints of the own Node, and which of them a node may set. Pure.

Source: docs/facts/node-resources.md 8.1, 1.3; docs/facts/api-client-and-server.md E.
"""

from collections.abc import Iterable, Mapping

from nodeagent.node.facts import Machine
from runtimes.kube import names

HOSTNAME = "kubernetes.io/hostname"
OS, ARCH = "kubernetes.io/os", "kubernetes.io/arch"
BETA_OS, BETA_ARCH = "beta.kubernetes.io/os", "beta.kubernetes.io/arch"
CONTROLLER_ATTACH = "volumes.kubernetes.io/controller-managed-attach-detach"
PROVIDED_NODE_IP = "alpha.kubernetes.io/provided-node-ip"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
UNINITIALIZED_TAINT = "node.cloudprovider.kubernetes.io/uninitialized"

WELL_KNOWN = (
    HOSTNAME,
    OS,
    ARCH,
    BETA_OS,
    BETA_ARCH,
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
)
OWN_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_PROTECTED = ("kubernetes.io", "k8s.io")


def default_labels(hostname: str, machine: Machine) -> dict[str, str]:
    """The labels that every node has."""
    return {
        HOSTNAME: hostname,
        OS: machine.operating_system,
        ARCH: machine.architecture,
        BETA_OS: machine.operating_system,
        BETA_ARCH: machine.architecture,
    }


def parsed(parts: Iterable[str]) -> dict[str, str]:
    """`a=b` each, blank ones left out. Raises ValueError, also for labels that no node may give itself."""
    labels: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in parts)):
        name, equals, value = part.partition("=")
        reasons = names.qualified_name(name) + names.label_value(value)
        if not equals or reasons:
            told = f": {'; '.join(reasons)}" if equals else ""
            raise ValueError(f"{part!r} is not a label such as disk=ssd{told}")
        labels[name] = value
    if unknown := forbidden(labels):
        raise ValueError(
            f"unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [{' '.join(unknown)}]; labels in the "
            f"'kubernetes.io' namespace must begin with an allowed prefix ({', '.join(OWN_PREFIXES)}) or be in the specifically "
            f"allowed set ({', '.join(sorted(WELL_KNOWN))})"
        )
    return labels


def forbidden(labels: Iterable[str]) -> list[str]:
    """Return the label keys that a node may not give itself, sorted."""
    return sorted(key for key in labels if not _allowed(key))


def reconciled(labels: Mapping[str, str]) -> dict[str, str]:
    """Return those labels that an agent puts right on a Node that exists already."""
    return {key: value for key, value in labels.items() if key in WELL_KNOWN}


def _allowed(key: str) -> bool:
    if key in WELL_KNOWN:
        return True
    domain, slash, _ = key.partition("/")
    if not slash or not any(domain == name or domain.endswith(f".{name}") for name in _PROTECTED):
        return True
    return any(domain == prefix or domain.endswith(f".{prefix}") for prefix in OWN_PREFIXES)
