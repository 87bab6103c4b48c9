"""Rows of volumes, claims, storage classes and the CSI kinds."""

from collections.abc import Iterable
from datetime import datetime

from nodeagent.apiserver.registry.table import AGE, NAME, Cell, TableView, age_of, column, name_of
from runtimes.kube.json_object import JsonObject

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
UNSET = "<unset>"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _modes(modes: Iterable[str]) -> str:
    found = set(modes)
    return ",".join(short for mode, short in _MODES.items() if mode in found)


def _claim(claim: JsonObject, now: datetime) -> list[Cell]:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        name_of(claim),
        "Terminating" if claim["metadata"].get("deletionTimestamp") else status.get("phase") or "",
        spec.get("volumeName") or "",
        (status.get("capacity") or {}).get("storage") or "" if bound else "",
        _modes(status.get("accessModes") or ()) if bound else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or UNSET,
        age_of(claim, now),
        spec.get("volumeMode") or UNSET,
    ]


CLAIMS = TableView(
    columns=(
        NAME,
        column("Status"),
        column("Volume"),
        column("Capacity"),
        column("Access Modes"),
        column("StorageClass"),
        column("VolumeAttributesClass"),
        AGE,
        column("VolumeMode", wide=True),
    ),
    cells=_claim,
)


def _volume(volume: JsonObject, now: datetime) -> list[Cell]:
    spec, status = volume.get("spec") or {}, volume.get("status") or {}
    claim = spec.get("claimRef") or {}
    return [
        name_of(volume),
        (spec.get("capacity") or {}).get("storage") or "",
        _modes(spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy") or "",
        "Terminating" if volume["metadata"].get("deletionTimestamp") else status.get("phase") or "",
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason") or "",
        age_of(volume, now),
        spec.get("volumeMode") or UNSET,
    ]


VOLUMES = TableView(
    columns=(
        NAME,
        column("Capacity"),
        column("Access Modes"),
        column("Reclaim Policy"),
        column("Status"),
        column("Claim"),
        column("StorageClass"),
        column("VolumeAttributesClass"),
        column("Reason"),
        AGE,
        column("VolumeMode", wide=True),
    ),
    cells=_volume,
)


def _class(obj: JsonObject, now: datetime) -> list[Cell]:
    default = (obj["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    return [
        name_of(obj) + (" (default)" if default else ""),
        obj.get("provisioner") or "",
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        "true" if obj.get("allowVolumeExpansion") else "false",
        age_of(obj, now),
    ]


STORAGE_CLASSES = TableView(
    columns=(
        NAME,
        column("Provisioner"),
        column("ReclaimPolicy"),
        column("VolumeBindingMode"),
        column("AllowVolumeExpansion"),
        AGE,
    ),
    cells=_class,
)


def _yes(value: object) -> str:
    return "true" if value else "false"


def _driver(obj: JsonObject, now: datetime) -> list[Cell]:
    spec = obj.get("spec") or {}
    return [
        name_of(obj),
        _yes(spec.get("attachRequired", True)),
        _yes(spec.get("podInfoOnMount")),
        _yes(spec.get("storageCapacity")),
        ",".join(t.get("audience", "") for t in spec.get("tokenRequests") or ()) or UNSET,
        _yes(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ("Persistent",)),
        age_of(obj, now),
    ]


CSI_DRIVERS = TableView(
    columns=(
        NAME,
        column("AttachRequired"),
        column("PodInfoOnMount"),
        column("StorageCapacity"),
        column("TokenRequests"),
        column("RequiresRepublish"),
        column("Modes"),
        AGE,
    ),
    cells=_driver,
)

CSI_NODES = TableView(
    columns=(NAME, column("Drivers", type="integer"), AGE),
    cells=lambda obj, now: [name_of(obj), len((obj.get("spec") or {}).get("drivers") or ()), age_of(obj, now)],
)


def _attachment(obj: JsonObject, now: datetime) -> list[Cell]:
    spec = obj.get("spec") or {}
    return [
        name_of(obj),
        spec.get("attacher") or "",
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName") or "",
        _yes((obj.get("status") or {}).get("attached")),
        age_of(obj, now),
    ]


ATTACHMENTS = TableView(
    columns=(NAME, column("Attacher"), column("PV"), column("Node"), column("Attached"), AGE),
    cells=_attachment,
)

ATTRIBUTES_CLASSES = TableView(
    columns=(NAME, column("DriverName"), AGE),
    cells=lambda obj, now: [name_of(obj), obj.get("driverName") or "", age_of(obj, now)],
)
