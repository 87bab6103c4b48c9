"""The volumes of a pod: names, one source each, and the rules of every source that a node can mount."""

from collections.abc import Callable

from nodeagent.podspec.validation.environment import VOLUME_FIELDS, field_ref, resource_field_ref
from nodeagent.podspec.validation.rules import (
    file_path,
    label_name,
    mode,
    needed,
    no_way_up,
    problems,
    unique,
)
from runtimes.kube import names, quantity
from runtimes.kube.field_errors import FieldError, forbidden, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

HOST_PATH_TYPES = (
    *("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"),
)
_MEDIUMS = ("", "Memory", "HugePages")
ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_TOKEN_MINIMUM_SECONDS = 600
_TOKEN_MAXIMUM_SECONDS = 2**32
_ONE_SOURCE = "may not specify more than 1 volume type"
_REQUIRED_FIELDS: dict[str, tuple[str, ...]] = {
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "gitRepo": ("repository",),
    "iscsi": ("targetPortal", "iqn"),
    "glusterfs": ("endpoints", "path"),
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "flexVolume": ("driver",),
    "cinder": ("volumeID",),
    "azureFile": ("secretName", "shareName"),
    "azureDisk": ("diskName", "diskURI"),
    "vsphereVolume": ("volumePath",),
    "portworxVolume": ("volumeID",),
    "photonPersistentDisk": ("pdID",),
    "quobyte": ("registry", "volume"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "csi": ("driver",),
    "image": (),
    "fc": (),
    "flocker": (),
    "storageos": (),
}


def volumes(path: str, listed: list[JsonObject]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, volume in enumerate(listed):
        where = f"{path}[{index}]"
        name = volume.get("name")
        wrong = label_name(f"{where}.name", name)
        errors += wrong or unique(f"{where}.name", str(name), seen)
        errors += _source(where, volume)
    return errors


def _source(path: str, volume: JsonObject) -> list[FieldError]:
    """Exactly one source: the first in the order of the API's own type is the one that counts."""
    given = [name for name in _SOURCES if volume.get(name) is not None]
    if not given:
        return [required(path, "must specify a volume type")]
    errors = _SOURCES[given[0]](f"{path}.{given[0]}", volume[given[0]])
    return errors + [forbidden(f"{path}.{name}", _ONE_SOURCE) for name in given[1:]]


def _host_path(path: str, source: JsonObject) -> list[FieldError]:
    target = source.get("path") or ""
    if not target:
        return [required(f"{path}.path")]
    errors = no_way_up(f"{path}.path", target)
    if source.get("type", "") not in HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", source["type"], HOST_PATH_TYPES))
    return errors


def _empty_dir(path: str, source: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    limit = source.get("sizeLimit")
    if limit is not None:
        try:
            wrong = quantity.parse(limit) < 0
        except (quantity.InvalidQuantity, AttributeError):
            wrong = True
        if wrong:
            errors.append(forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))
    medium = source.get("medium", "")
    if medium not in _MEDIUMS and not medium.startswith("HugePages-"):
        errors.append(not_supported(f"{path}.medium", medium, _MEDIUMS))
    return errors


def _secret(path: str, source: JsonObject) -> list[FieldError]:
    errors = needed(f"{path}.secretName", source.get("secretName"))
    return errors + mode(f"{path}.defaultMode", source.get("defaultMode")) + _items(path, source)


def _config_map(path: str, source: JsonObject) -> list[FieldError]:
    errors = needed(f"{path}.name", source.get("name"))
    return errors + mode(f"{path}.defaultMode", source.get("defaultMode")) + _items(path, source)


def _items(path: str, source: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        errors += needed(f"{where}.key", item.get("key"))
        errors += file_path(f"{where}.path", item.get("path"))
        errors += mode(f"{where}.mode", item.get("mode"))
    return errors


def _downward(path: str, source: JsonObject) -> list[FieldError]:
    errors = mode(f"{path}.defaultMode", source.get("defaultMode"))
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        errors += file_path(f"{where}.path", item.get("path"))
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            errors += field_ref(f"{where}.fieldRef", field, VOLUME_FIELDS)
            if resource is not None:
                text = "fieldRef and resourceFieldRef can not be specified simultaneously"
                errors.append(invalid(f"{where}.resourceFieldRef", "resource", text))
        elif resource is not None:
            errors += resource_field_ref(f"{where}.resourceFieldRef", resource, in_volume=True)
        else:
            errors.append(required(f"{where}.fieldRef", "one of fieldRef and resourceFieldRef is required"))
        errors += mode(f"{where}.mode", item.get("mode"))
    return errors


def _projected(path: str, source: JsonObject) -> list[FieldError]:
    errors = mode(f"{path}.defaultMode", source.get("defaultMode"))
    taken: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        given = [name for name in _PROJECTIONS if part.get(name) is not None]
        if not given:
            errors.append(required(where, "must specify a projection source"))
            continue
        errors += [forbidden(f"{where}.{name}", _ONE_SOURCE + " per source") for name in given[1:]]
        errors += _PROJECTIONS[given[0]](f"{where}.{given[0]}", part[given[0]])
        # a token in another source's place is only warned of, with the other overlaps
        for target in () if given[0] == "serviceAccountToken" else _projected_paths(part[given[0]]):
            if target in taken:
                errors.append(invalid(f"{where}.{given[0]}", target, "conflicting duplicate paths"))
            taken.add(target)
    return errors


def _projected_paths(source: JsonObject) -> list[str]:
    paths = [item["path"] for item in source.get("items") or () if item.get("path")]
    return [*paths, source["path"]] if isinstance(source.get("path"), str) and source["path"] else paths


def _token(path: str, source: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    seconds = source.get("expirationSeconds", 3600)
    if seconds < _TOKEN_MINIMUM_SECONDS:
        errors.append(invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    elif seconds > _TOKEN_MAXIMUM_SECONDS:
        errors.append(
            invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
        )
    return errors + file_path(f"{path}.path", source.get("path"))


def _named(path: str, source: JsonObject) -> list[FieldError]:
    return needed(f"{path}.name", source.get("name")) + _items(path, source)


def _trust_bundle(path: str, source: JsonObject) -> list[FieldError]:
    if not source.get("name") and not source.get("signerName"):
        return [required(path, "either name or signerName must be specified")]
    return file_path(f"{path}.path", source.get("path"))


def _pod_certificate(path: str, source: JsonObject) -> list[FieldError]:
    return needed(f"{path}.signerName", source.get("signerName")) + needed(f"{path}.keyType", source.get("keyType"))


def _claim(path: str, source: JsonObject) -> list[FieldError]:
    return needed(f"{path}.claimName", source.get("claimName"))


def _nfs(path: str, source: JsonObject) -> list[FieldError]:
    errors = needed(f"{path}.server", source.get("server")) + needed(f"{path}.path", source.get("path"))
    if source.get("path") and not source["path"].startswith("/"):
        errors.append(invalid(f"{path}.path", source["path"], "must be an absolute path"))
    return errors


def _ephemeral(path: str, source: JsonObject) -> list[FieldError]:
    template = source.get("volumeClaimTemplate")
    where = f"{path}.volumeClaimTemplate"
    if template is None:
        return [required(where)]
    spec = template.get("spec") or {}
    errors: list[FieldError] = []
    if not spec.get("accessModes"):
        errors.append(required(f"{where}.spec.accessModes", "at least 1 access mode is required"))
    for index, access in enumerate(spec.get("accessModes") or ()):
        if access not in ACCESS_MODES:
            errors.append(not_supported(f"{where}.spec.accessModes[{index}]", access, ACCESS_MODES))
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        errors.append(required(f"{where}.spec.resources[storage]"))
    return errors


def _image(path: str, source: JsonObject) -> list[FieldError]:
    errors = needed(f"{path}.reference", source.get("reference"))
    policy = source.get("pullPolicy")
    supported = ("Always", "IfNotPresent", "Never")
    if policy and policy not in supported:
        errors.append(not_supported(f"{path}.pullPolicy", policy, supported))
    return errors


def _csi(path: str, source: JsonObject) -> list[FieldError]:
    driver = source.get("driver") or ""
    errors = needed(f"{path}.driver", driver)
    if driver:
        errors += problems(f"{path}.driver", driver, names.dns1123_subdomain(driver.lower()))
    if source.get("nodePublishSecretRef") is not None:
        reference = source["nodePublishSecretRef"]
        errors += needed(f"{path}.nodePublishSecretRef.name", reference.get("name"))
    return errors


def _just_fields(fields: tuple[str, ...]) -> Callable[[str, JsonObject], list[FieldError]]:
    def check(path: str, source: JsonObject) -> list[FieldError]:
        return [error for field in fields for error in needed(f"{path}.{field}", source.get(field))]

    return check


_PROJECTIONS: dict[str, Callable[[str, JsonObject], list[FieldError]]] = {
    "secret": _named,
    "configMap": _named,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _pod_certificate,
}
_SOURCES: dict[str, Callable[[str, JsonObject], list[FieldError]]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _secret,
    "nfs": _nfs,
    "persistentVolumeClaim": _claim,
    "configMap": _config_map,
    "projected": _projected,
    "downwardAPI": _downward,
    **{name: _just_fields(fields) for name, fields in _REQUIRED_FIELDS.items()},
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
