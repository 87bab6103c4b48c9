"""The controls of the level restricted, beyond baseline's: what a hardened workload does without."""

from typing import Any

from nodeagent.isolation.standards.baseline import PROFILES, added, in_contexts, proc_mount, unconfined
from nodeagent.isolation.standards.control import (
    Control,
    Found,
    Level,
    Place,
    PodView,
    containers_of,
    distinct,
    mapping,
    plural,
    quoted,
    setters,
    values,
)

_VOLUMES = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
    }
)  # fmt: skip
_RESTRICTED_VOLUMES = frozenset(
    {
        "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "fc", "flexVolume", "flocker",
        "gcePersistentDisk", "gitRepo", "glusterfs", "hostPath", "iscsi", "nfs", "photonPersistentDisk", "portworxVolume",
        "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
    }
)  # fmt: skip


def _escalation(view: PodView) -> Found | None:
    if view.is_windows:
        return None
    places = tuple(
        Place(f"{each.path}.securityContext.allowPrivilegeEscalation", each.name)
        for each in view.containers()
        if each.context.get("allowPrivilegeEscalation") is not False
    )
    if not places:
        return None
    detail = f"{containers_of(places)} must set securityContext.allowPrivilegeEscalation=false"
    return "allowPrivilegeEscalation != false", detail, places


def _capabilities(view: PodView) -> Found | None:
    if view.is_windows:
        return None
    kept = tuple(
        Place(f"{each.path}.securityContext.capabilities.drop", each.name)
        for each in view.containers()
        if "ALL" not in values(mapping(each.context.get("capabilities")).get("drop"))
    )
    more = added(view, frozenset({"NET_BIND_SERVICE"}))
    said = [f'{containers_of(kept)} must set securityContext.capabilities.drop=["ALL"]'] if kept else []
    if more:
        names = quoted(distinct(more))
        said.append(f"{containers_of(more)} must not include {names} in securityContext.capabilities.add")
    return ("unrestricted capabilities", "; ".join(said), (*kept, *more)) if said else None


def _volumes(view: PodView) -> Found | None:
    found: list[tuple[Place, str]] = []
    for at, entry in enumerate(values(view.spec.get("volumes"))):
        volume = mapping(entry)
        kinds = [kind for kind, value in volume.items() if value is not None]
        if _VOLUMES.isdisjoint(kinds):
            kind = next((kind for kind in kinds if kind in _RESTRICTED_VOLUMES), "unknown")
            found.append((Place(f"spec.volumes[{at}].{kind}", value=kind), str(volume.get("name", ""))))
    if not found:
        return None
    places, names = tuple(place for place, _ in found), [name for _, name in found]
    kinds = distinct(places)
    detail = (
        f"{plural('volume', len(names))} {quoted(names)} {plural('uses', len(names), 'use')} "
        f"{plural('restricted volume type', len(kinds))} {quoted(kinds)}"
    )
    return "restricted volume types", detail, places


def _run_as_non_root(view: PodView) -> Found | None:
    if view.has_own_users:
        return None
    reason = "runAsNonRoot != true"
    refused = in_contexts(view, "runAsNonRoot", bad=lambda value: value is False)
    if refused:
        return reason, f"{setters(refused)} must not set securityContext.runAsNonRoot=false", refused
    if view.context.get("runAsNonRoot") is True:
        return None
    places = _unset(view, "runAsNonRoot", "runAsNonRoot")
    if not places:
        return None
    return reason, f"pod or {containers_of(places)} must set securityContext.runAsNonRoot=true", places


def _run_as_user(view: PodView) -> Found | None:
    if view.has_own_users:
        return None
    places = in_contexts(view, "runAsUser", bad=_is_root)
    return ("runAsUser=0", f"{setters(places)} must not set runAsUser=0", places) if places else None


def _is_root(value: Any) -> bool:
    return value == 0 and not isinstance(value, bool)


def _seccomp(view: PodView) -> Found | None:
    if view.is_windows:
        return None
    refused = unconfined(in_contexts(view, "seccompProfile", "type", bad=lambda value: value not in PROFILES))
    if refused is not None:
        return refused
    if mapping(view.context.get("seccompProfile")).get("type") in PROFILES:
        return None
    places = _unset(view, "seccompProfile", "seccompProfile.type")
    if not places:
        return None
    detail = f'pod or {containers_of(places)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", detail, places


def _unset(view: PodView, name: str, path: str) -> tuple[Place, ...]:
    """Containers that say nothing of it, where the pod does not say it for them."""
    return tuple(
        Place(f"{each.path}.securityContext.{path}", each.name)
        for each in view.containers()
        if each.context.get(name) is None
    )


CONTROLS = (
    Control("allowPrivilegeEscalation", Level.RESTRICTED, _escalation, since=(1, 8)),
    Control("capabilities_restricted", Level.RESTRICTED, _capabilities, since=(1, 22)),
    Control("restrictedVolumes", Level.RESTRICTED, _volumes),
    Control("runAsNonRoot", Level.RESTRICTED, _run_as_non_root),
    Control("runAsUser", Level.RESTRICTED, _run_as_user, since=(1, 23)),
    Control("seccompProfile_restricted", Level.RESTRICTED, _seccomp, since=(1, 19)),
    Control("procMount_restricted", Level.RESTRICTED, proc_mount, since=(1, 35)),
)
