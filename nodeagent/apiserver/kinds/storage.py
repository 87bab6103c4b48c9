"""Storage kinds: PersistentVolume, PersistentVolumeClaim, their classes, CSIDriver, CSINode, VolumeAttachment."""

from collections.abc import Iterable
from typing import Any

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import deprecated
from nodeagent.apiserver.kinds.base import IMMUTABLE, Kind, immutable, name_of
from nodeagent.podspec.validation.resources import amount
from nodeagent.podspec.validation.rules import no_way_up, problems
from nodeagent.podspec.validation.scheduling import node_selector
from nodeagent.podspec.validation.volumes import ACCESS_MODES
from runtimes.kube import names, quantity
from runtimes.kube.canonical_quantity import canonical_map
from runtimes.kube.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from runtimes.kube.json_object import JsonObject

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
DEFAULT_CLASS_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
_MODES = ("Block", "Filesystem")
_RECLAIM = ("Delete", "Recycle", "Retain")
_BINDING = ("Immediate", "WaitForFirstConsumer")
_NOT_SOURCES = frozenset(
    {"accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy"}
    | {"storageClassName", "volumeAttributesClassName", "volumeMode"}
)
_OLD_ANNOTATIONS = {
    deprecated.BETA_STORAGE_CLASS: deprecated.STORAGE_CLASS_TEXT,
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}
_CLAIM_TEXT = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_CANNOT_GROW = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)
_MAX_PARAMETERS = 512
_MAX_PARAMETERS_BYTES = 256 * 1024
_CSI_DRIVER_DEFAULTS: JsonObject = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


class PersistentVolumeKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")
        canonical_map(spec.get("capacity"))

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        protect(obj, VOLUME_PROTECTION)
        obj["status"] = {"phase": "Pending"}

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj["spec"]
        errors = _access_modes("spec.accessModes", spec.get("accessModes") or [])
        capacity = spec.get("capacity") or {}
        if not capacity:
            errors.append(required("spec.capacity"))
        elif "storage" not in capacity or len(capacity) > 1:
            errors.append(not_supported("spec.capacity", sorted(capacity), ("storage",)))
        for name, text in capacity.items():
            errors += amount(f"spec.capacity[{name}]", name, text)
        if spec["persistentVolumeReclaimPolicy"] not in _RECLAIM:
            where = "spec.persistentVolumeReclaimPolicy"
            errors.append(not_supported(where, spec["persistentVolumeReclaimPolicy"], _RECLAIM))
        errors += _volume_mode(spec) + self._source(spec) + self._attributes_class(spec)
        affinity = (spec.get("nodeAffinity") or {}).get("required")
        if affinity is not None:
            errors += node_selector("spec.nodeAffinity.required", affinity)
        elif "local" in spec:
            errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        if volume_source(new["spec"]) != volume_source(old["spec"]):
            text = "spec.persistentvolumesource is immutable after creation"
            return [forbidden("spec.persistentvolumesource", text)]
        errors: list[FieldError] = []
        if _attributes_class(old["spec"]) is not None and _attributes_class(new["spec"]) is None:
            errors.append(forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden"))
        return errors + immutable("spec.volumeMode", new["spec"].get("volumeMode"), old["spec"].get("volumeMode"))

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        annotations, spec = obj["metadata"].get("annotations") or {}, obj["spec"]
        found = [f"metadata.annotations[{key}]: {text}" for key, text in _OLD_ANNOTATIONS.items() if key in annotations]
        if spec["persistentVolumeReclaimPolicy"] == "Recycle":
            why = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."
            found.append(f"spec.persistentVolumeReclaimPolicy: {why}")
        terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
        for index, term in enumerate(terms):
            found += deprecated.node_selector_term(f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]", term)
        return found + deprecated.volume_plugins("spec", spec)

    def _attributes_class(self, spec: JsonObject) -> list[FieldError]:
        name = _attributes_class(spec)
        if name is None:
            return []
        where = "spec.volumeAttributesClassName"
        errors = problems(where, name, names.dns1123_subdomain(name)) if name else []
        if not name:
            errors.append(required(where, "an empty string is disallowed"))
        if "csi" not in spec:
            errors.append(required("spec.csi", "has to be specified when using volumeAttributesClassName"))
        return errors

    def _source(self, spec: JsonObject) -> list[FieldError]:
        given = list(volume_source(spec))
        if not given:
            return [required("spec", "must specify a volume type")]
        errors: list[FieldError] = [
            forbidden(f"spec.{name}", "may not specify more than 1 volume type") for name in given[1:]
        ]
        if "hostPath" in spec:
            path = spec["hostPath"].get("path") or ""
            errors += [] if path else [required("spec.hostPath.path")]
            errors += no_way_up("spec.hostPath.path", path)
            if path == "/" and spec["persistentVolumeReclaimPolicy"] == "Recycle":
                where = "spec.persistentVolumeReclaimPolicy"
                errors.append(forbidden(where, "may not be 'recycle' for a hostPath mount of '/'"))
        if "local" in spec and not spec["local"].get("path"):
            errors.append(required("spec.local.path"))
        if "csi" in spec:
            errors += [required(f"spec.csi.{name}") for name in ("driver", "volumeHandle") if not spec["csi"].get(name)]
        if "nfs" in spec:
            errors += [required(f"spec.nfs.{name}") for name in ("server", "path") if not spec["nfs"].get(name)]
        return errors


class PersistentVolumeClaimKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("volumeMode", "Filesystem")
        resources = spec.get("resources") or {}
        canonical_map(resources.get("requests"))
        canonical_map(resources.get("limits"))
        canonical_map((obj.get("status") or {}).get("capacity"))

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        protect(obj, CLAIM_PROTECTION)
        obj["status"] = {"phase": "Pending"}
        if obj["spec"].get("storageClassName") is None:
            default = default_class(ctx.list("storageclasses.storage.k8s.io"))
            if default:
                obj["spec"]["storageClassName"] = default

    @override
    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: AdmissionContext, subresource: str | None) -> None:
        super().prepare_update(new, old, ctx, subresource)
        if subresource is None and _grows(new["spec"], old):
            storage_class = new["spec"].get("storageClassName") or ""
            found = ctx.get("storageclasses.storage.k8s.io", "", storage_class) if storage_class else None
            same = storage_class == (old["spec"].get("storageClassName") or "")
            if not same or not (found or {}).get("allowVolumeExpansion"):
                raise ApiError.forbidden("persistentvolumeclaims", ctx.name, _CANNOT_GROW)

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj["spec"]
        errors = _access_modes("spec.accessModes", spec.get("accessModes") or []) + _volume_mode(spec)
        storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        if storage is None:
            errors.append(required("spec.resources[storage]"))
        else:
            wrong = amount("spec.resources[storage]", "storage", storage)
            if not wrong and quantity.parse(storage) <= 0:
                wrong = [invalid("spec.resources[storage]", storage, "must be greater than zero")]
            errors += wrong
        attributes_class = _attributes_class(spec)
        if attributes_class:
            where = "spec.volumeAttributesClassName"
            errors += problems(where, attributes_class, names.dns1123_subdomain(attributes_class))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        now, before = new["spec"], old["spec"]
        errors: list[FieldError] = []
        bound = (old.get("status") or {}).get("phase") == "Bound"
        if _fixed_part(now, before, bound=bound) != _fixed_part(before, before, bound=bound):
            errors.append(forbidden("spec", _CLAIM_TEXT))
        wanted, had = _requested(now), _requested(before)
        if wanted is not None and had is not None and quantity.parse(wanted) < quantity.parse(had):
            # what was asked for and not given may be taken back, as far as what there is
            there = ((old.get("status") or {}).get("capacity") or {}).get("storage")
            if there is None or quantity.parse(wanted) <= quantity.parse(there):
                where = "spec.resources.requests.storage"
                errors.append(forbidden(where, "field can not be less than status.capacity"))
        return errors + _class_taken_away(now, before, old.get("status") or {})

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        key = deprecated.BETA_STORAGE_CLASS
        found = deprecated.claim_spec("spec", obj["spec"])
        if key in (obj["metadata"].get("annotations") or {}):
            return [f"metadata.annotations[{key}]: {deprecated.STORAGE_CLASS_TEXT}", *found]
        return found


class StorageClassKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        if not obj.get("reclaimPolicy"):
            obj["reclaimPolicy"] = "Delete"
        if not obj.get("volumeBindingMode"):
            obj["volumeBindingMode"] = "Immediate"

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        if not obj.get("provisioner"):
            errors.append(required("provisioner"))
        if obj["reclaimPolicy"] not in ("Delete", "Retain"):
            errors.append(not_supported("reclaimPolicy", obj["reclaimPolicy"], ("Delete", "Retain")))
        if obj["volumeBindingMode"] not in _BINDING:
            errors.append(not_supported("volumeBindingMode", obj["volumeBindingMode"], _BINDING))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = [
            forbidden(name, f"updates to {name} are forbidden.")
            for name in ("parameters", "provisioner", "reclaimPolicy")
            if (new.get(name) or None) != (old.get(name) or None)
        ]
        return errors + immutable("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        found: list[str] = []
        for index, topology in enumerate(obj.get("allowedTopologies") or ()):
            for position, expression in enumerate(topology.get("matchLabelExpressions") or ()):
                text = deprecated.node_label(expression.get("key") or "")
                if text:
                    found.append(f"allowedTopologies[{index}].matchLabelExpressions[{position}].key: {text}")
        return found


class VolumeAttributesClassKind(Kind):
    """What may be changed of a volume by naming another class; the class itself never changes."""

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = [] if obj.get("driverName") else [required("driverName")]
        parameters = obj.get("parameters") or {}
        if len(parameters) > _MAX_PARAMETERS:
            return [*errors, too_long("parameters", _MAX_PARAMETERS)]
        if "" in parameters:
            errors.append(invalid("parameters", "", "field can not be empty."))
        if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > _MAX_PARAMETERS_BYTES:
            errors.append(too_long("parameters", _MAX_PARAMETERS_BYTES))
        if not parameters:
            errors.append(required("parameters", "must contain at least one key/value pair"))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return [
            forbidden(name, f"updates to {name} are forbidden.")
            for name in ("driverName", "parameters")
            if (new.get(name) or None) != (old.get(name) or None)
        ]


class CSIDriverKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        spec = obj.setdefault("spec", {})
        for name, value in _CSI_DRIVER_DEFAULTS.items():
            spec.setdefault(name, value)
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        for index, mode in enumerate(obj["spec"]["volumeLifecycleModes"]):
            if mode not in ("Persistent", "Ephemeral"):
                where = f"spec.volumeLifecycleModes[{index}]"
                errors.append(not_supported(where, mode, ("Ephemeral", "Persistent")))
        seen: set[str] = set()
        for index, request in enumerate(obj["spec"].get("tokenRequests") or ()):
            where = f"spec.tokenRequests[{index}]"
            audience = request.get("audience") or ""
            if audience in seen:
                errors.append(duplicate(f"{where}.audience", audience))
            seen.add(audience)
            seconds = request.get("expirationSeconds")
            if seconds is not None and seconds < 600:
                text = "may not specify a duration less than 10 minutes"
                errors.append(invalid(f"{where}.expirationSeconds", seconds, text))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        now, before = new["spec"], old["spec"]
        fixed = ("attachRequired", "volumeLifecycleModes")
        return [error for name in fixed for error in immutable(f"spec.{name}", now.get(name), before.get(name))]


class CSINodeKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        obj.setdefault("spec", {}).setdefault("drivers", [])

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, driver in enumerate(obj["spec"]["drivers"]):
            where = f"spec.drivers[{index}]"
            errors += [required(f"{where}.{field}") for field in ("name", "nodeID") if not driver.get(field)]
            name = driver.get("name") or ""
            if name in seen:
                errors.append(duplicate(f"{where}.name", name))
            seen.add(name)
        return errors


class VolumeAttachmentKind(Kind):
    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        obj["status"] = {"attached": False}

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors: list[FieldError] = [required(f"spec.{name}") for name in ("attacher", "nodeName") if not spec.get(name)]
        source = spec.get("source") or {}
        given = [name for name in ("persistentVolumeName", "inlineVolumeSpec") if source.get(name)]
        if len(given) != 1:
            text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            errors.append(required("spec.source", text) if not given else forbidden("spec.source", text))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return [] if new.get("spec") == old.get("spec") else [invalid("spec", new.get("spec"), IMMUTABLE)]


def protect(obj: JsonObject, finalizer: str) -> None:
    """A delete waits until nobody uses the object: `controllers.protection` takes the finalizer off."""
    finalizers = obj["metadata"].get("finalizers") or []
    if finalizer not in finalizers:
        obj["metadata"]["finalizers"] = [*finalizers, finalizer]


def volume_source(spec: JsonObject) -> JsonObject:
    """The part of a PersistentVolumeSpec that says where the data is."""
    return {name: value for name, value in spec.items() if name not in _NOT_SOURCES}


def _access_modes(path: str, modes: list[Any]) -> list[FieldError]:
    if not modes:
        return [required(path, "at least 1 access mode is required")]
    errors: list[FieldError] = [not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def _volume_mode(spec: JsonObject) -> list[FieldError]:
    mode = spec.get("volumeMode")
    return [] if mode in _MODES else [not_supported("spec.volumeMode", mode, _MODES)]


def default_class(classes: Iterable[JsonObject]) -> str:
    """The newest storage class that is marked as the default one; empty: there is none."""
    marked = [
        item for item in classes if (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS_ANNOTATION) == "true"
    ]
    newest = max(marked, key=lambda item: str(item["metadata"].get("creationTimestamp", "")), default=None)
    return name_of(newest) if newest is not None else ""


def _fixed_part(spec: JsonObject, before: JsonObject, *, bound: bool) -> JsonObject:
    """A claim's spec without what may change: binding it, and for a bound one its size and attributes class."""
    fixed = {name: value for name, value in spec.items() if value not in (None, "", {}, [])}
    if not before.get("volumeName"):
        fixed.pop("volumeName", None)
    if bound:
        fixed.pop("resources", None)
        fixed.pop("volumeAttributesClassName", None)
    if not before.get("storageClassName"):
        fixed.pop("storageClassName", None)
    return fixed


def _attributes_class(spec: JsonObject) -> str | None:
    name: str | None = spec.get("volumeAttributesClassName")
    return name


def _class_taken_away(now: JsonObject, before: JsonObject, status: JsonObject) -> list[FieldError]:
    """A class may be taken back until the volume has it; after that it may only be changed."""
    changed = _attributes_class(now) != _attributes_class(before)
    if not changed or _attributes_class(now) or status.get("currentVolumeAttributesClassName") is None:
        return []
    to = "nil" if _attributes_class(now) is None else "empty string"
    text = f"update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil"
    return [forbidden("spec.volumeAttributesClassName", text)]


def _grows(spec: JsonObject, old: JsonObject) -> bool:
    """Whether a bound claim asks for more than it did; one that is not bound may change nothing of the kind anyway."""
    wanted, had = _requested(spec), _requested(old["spec"])
    bound = (old.get("status") or {}).get("phase") == "Bound"
    try:
        return bound and None not in (wanted, had) and quantity.parse(wanted) > quantity.parse(had)
    except quantity.InvalidQuantity:
        return False


def _requested(spec: JsonObject) -> Any:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage")
