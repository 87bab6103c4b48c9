"""A pod's spec converted for the rules of `podspec` that work on types: those about resources, nodes, claims.

Only the fields that these rules look at: objects come here before they were validated, and what does not matter to a rule
must not break it.
"""

from collections.abc import Iterable

import msgspec
from lightkube.models.core_v1 import EphemeralVolumeSource, PersistentVolumeClaimVolumeSource, PodSpec, Volume

from runtimes.kube.json_object import JsonObject

_RESOURCES = ("resources", "overhead")
_SCHEDULING = (*_RESOURCES, "nodeSelector", "affinity", "tolerations")
_CONTAINER = ("resources", "restartPolicy", "ports")


def resources_spec(spec: JsonObject) -> PodSpec:
    """Containers with their resources, pod level, overhead: for requests, limits, the QoS class."""
    return _convert(spec, _RESOURCES)


def scheduling_spec(spec: JsonObject) -> PodSpec:
    """The same with what decides on a node: selector, affinity, tolerations. Of a spec that was validated."""
    return _convert(spec, _SCHEDULING)


def volumes_with_claims(spec: JsonObject) -> list[Volume]:
    """The volumes that a claim stands behind, with nothing but that."""
    return [
        Volume(
            name=item.get("name") or "",
            persistentVolumeClaim=PersistentVolumeClaimVolumeSource(claimName=claim["claimName"]) if claim else None,
            ephemeral=EphemeralVolumeSource() if item.get("ephemeral") else None,
        )
        for item in spec.get("volumes") or ()
        if (claim := item.get("persistentVolumeClaim")) or item.get("ephemeral")
    ]


def _convert(spec: JsonObject, fields: Iterable[str]) -> PodSpec:
    parts = {name: spec[name] for name in fields if name in spec}
    for name in ("containers", "initContainers"):
        parts[name] = [_container(item) for item in spec.get(name) or ()]
    return msgspec.convert(parts, PodSpec)


def _container(container: JsonObject) -> JsonObject:
    return {"name": container.get("name") or "", **{name: container[name] for name in _CONTAINER if name in container}}
