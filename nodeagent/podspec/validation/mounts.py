"""volumeMounts and volumeDevices of a container."""

from nodeagent.podspec.validation.rules import needed, no_way_up, relative_path
from runtimes.kube.field_errors import FieldError, forbidden, invalid, not_found, not_supported, required
from runtimes.kube.json_object import JsonObject

_PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def mounts(path: str, container: JsonObject, volumes: dict[str, JsonObject]) -> list[FieldError]:
    """`volumes`: the pod's volumes by name."""
    errors: list[FieldError] = []
    paths: set[str] = set()
    device_paths = {device.get("devicePath") for device in container.get("volumeDevices") or ()}
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        errors += _volume(f"{where}.name", mount.get("name"), volumes)
        target = mount.get("mountPath") or ""
        errors += needed(f"{where}.mountPath", target)
        if target in paths:
            errors.append(invalid(f"{where}.mountPath", target, "must be unique"))
        paths.add(target)
        if target and target in device_paths:
            errors.append(invalid(f"{where}.mountPath", target, "must not already exist in volumeDevices"))
        errors += _sub_path(where, mount)
        errors += _propagation(where, mount, container)
        errors += _recursive_read_only(f"{where}.recursiveReadOnly", mount)
    return errors + _devices(path, container, volumes)


def _devices(path: str, container: JsonObject, volumes: dict[str, JsonObject]) -> list[FieldError]:
    errors: list[FieldError] = []
    paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        where = f"{path}.volumeDevices[{index}]"
        name, target = device.get("name"), device.get("devicePath") or ""
        errors += _volume(f"{where}.name", name, volumes)
        if name in volumes and not {"persistentVolumeClaim", "ephemeral"} & set(volumes[name]):
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(invalid(f"{where}.name", name, text))
        if not target:
            errors.append(required(f"{where}.devicePath"))
        elif target in paths:
            errors.append(invalid(f"{where}.devicePath", target, "must be unique"))
        else:
            errors += no_way_up(f"{where}.devicePath", target)
        paths.add(target)
    return errors


def _volume(path: str, name: str | None, volumes: dict[str, JsonObject]) -> list[FieldError]:
    if not name:
        return [required(path)]
    return [] if name in volumes else [not_found(path, name)]


def _sub_path(path: str, mount: JsonObject) -> list[FieldError]:
    plain, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    errors = relative_path(f"{path}.subPath", plain) if plain else []
    if expression:
        if plain:
            text = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid(f"{path}.subPathExpr", expression, text))
        errors += relative_path(f"{path}.subPathExpr", expression)
    return errors


def _propagation(path: str, mount: JsonObject, container: JsonObject) -> list[FieldError]:
    value = mount.get("mountPropagation")
    if value is None:
        return []
    where = f"{path}.mountPropagation"
    if value not in _PROPAGATION:
        return [not_supported(where, value, _PROPAGATION)]
    privileged = (container.get("securityContext") or {}).get("privileged")
    if value == "Bidirectional" and not privileged:
        return [forbidden(where, "Bidirectional mount propagation is available only to privileged containers")]
    return []


def _recursive_read_only(path: str, mount: JsonObject) -> list[FieldError]:
    value = mount.get("recursiveReadOnly")
    if value is None:
        return []
    if value not in _RECURSIVE:
        return [not_supported(path, value, _RECURSIVE)]
    errors: list[FieldError] = []
    if value != "Disabled":
        if not mount.get("readOnly"):
            errors.append(forbidden(path, "may only be specified when readOnly is true"))
        if mount.get("mountPropagation", "None") != "None":
            errors.append(forbidden(path, "may only be specified when mountPropagation is None or not specified"))
    return errors
