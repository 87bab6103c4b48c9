"""How strategic merge patch treats lists: what the API types declare and the models do not carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """``key`` "" is a list of primitives that is merged as a set. ``retain_keys``: elements are unions."""

    key: str = ""
    retain_keys: bool = False

    @property
    def strategy(self) -> str:
        """As the OpenAPI extension ``x-kubernetes-patch-strategy`` says it."""
        return "merge,retainKeys" if self.retain_keys else "merge"


_NAME: Final = Merge(key="name")
_TYPE: Final = Merge(key="type")
_IP: Final = Merge(key="ip")
_UNION: Final = Merge(key="name", retain_keys=True)

MERGES: Final[dict[tuple[str, str], Merge]] = {
    ("ObjectMeta", "ownerReferences"): Merge(key="uid"),
    ("ObjectMeta", "finalizers"): Merge(),
    ("PodSpec", "containers"): _NAME,
    ("PodSpec", "initContainers"): _NAME,
    ("PodSpec", "ephemeralContainers"): _NAME,
    ("PodSpec", "volumes"): _UNION,
    ("PodSpec", "imagePullSecrets"): _NAME,
    ("PodSpec", "hostAliases"): _IP,
    ("PodSpec", "topologySpreadConstraints"): Merge(key="topologyKey"),
    ("PodSpec", "schedulingGates"): _NAME,
    ("PodSpec", "resourceClaims"): _UNION,
    **{
        (container, name): merge
        for container in ("Container", "EphemeralContainer")
        for name, merge in {
            "env": _NAME,
            "ports": Merge(key="containerPort"),
            "volumeMounts": Merge(key="mountPath"),
            "volumeDevices": Merge(key="devicePath"),
        }.items()
    },
    ("PodStatus", "conditions"): _TYPE,
    ("PodStatus", "podIPs"): _IP,
    ("PodStatus", "hostIPs"): _IP,
    ("PodStatus", "resourceClaimStatuses"): _UNION,
    ("ContainerStatus", "volumeMounts"): Merge(key="mountPath"),
    ("ContainerStatus", "allocatedResourcesStatus"): _NAME,
    ("NodeSpec", "podCIDRs"): Merge(),
    ("NodeStatus", "conditions"): _TYPE,
    ("NodeStatus", "addresses"): _TYPE,
    ("ServiceSpec", "ports"): Merge(key="port"),
    ("ServiceStatus", "conditions"): _TYPE,
    ("PersistentVolumeClaimStatus", "conditions"): _TYPE,
    ("NamespaceStatus", "conditions"): _TYPE,
    ("ServiceAccount", "secrets"): _NAME,
    ("CSINodeSpec", "drivers"): _NAME,
}
