"""env and envFrom of a container."""

import re

from nodeagent.podspec.validation.rules import file_path, label_name, needed, problems
from runtimes.kube import names
from runtimes.kube.canonical_quantity import is_quantity
from runtimes.kube.field_errors import FieldError, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

ENV_FIELDS = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
VOLUME_FIELDS = (*("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"),)
_KNOWN_FIELDS = (
    frozenset(ENV_FIELDS)
    | frozenset(VOLUME_FIELDS)
    | {
        *("spec.restartPolicy", "spec.schedulerName", "spec.host", "status.phase"),
    }
)
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
RESOURCES = (
    *("limits.cpu", "limits.ephemeral-storage", "limits.memory"),
    *("requests.cpu", "requests.ephemeral-storage", "requests.memory"),
)
_HUGEPAGES = re.compile(r"(limits|requests)\.hugepages-.+")


def environment(path: str, container: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(container.get("env") or ()):
        errors += _variable(f"{path}.env[{index}]", variable)
    for index, source in enumerate(container.get("envFrom") or ()):
        errors += _env_from(f"{path}.envFrom[{index}]", source)
    return errors


def _variable(path: str, variable: JsonObject) -> list[FieldError]:
    name = variable.get("name") or ""
    errors = needed(f"{path}.name", name) or problems(f"{path}.name", name, names.env_name(name))
    source = variable.get("valueFrom")
    return errors if source is None else errors + _value_from(f"{path}.valueFrom", variable, source)


def _value_from(path: str, variable: JsonObject, source: JsonObject) -> list[FieldError]:
    given = [name for name in _SOURCES if source.get(name) is not None]
    errors: list[FieldError] = []
    if not given:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(invalid(path, "", text))
    if len(given) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    if variable.get("value"):
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    if "fieldRef" in given:
        errors += field_ref(f"{path}.fieldRef", source["fieldRef"], ENV_FIELDS)
    if "resourceFieldRef" in given:
        errors += resource_field_ref(f"{path}.resourceFieldRef", source["resourceFieldRef"], in_volume=False)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in given:
            errors += key_selector(f"{path}.{name}", source[name])
    if "fileKeyRef" in given:
        reference, where = source["fileKeyRef"], f"{path}.fileKeyRef"
        errors += label_name(f"{where}.volumeName", reference.get("volumeName"))
        errors += file_path(f"{where}.path", reference.get("path"))
        key = reference.get("key") or ""
        errors += needed(f"{where}.key", key) or problems(f"{where}.key", key, names.env_name(key))
    return errors


def field_ref(path: str, reference: JsonObject, allowed: tuple[str, ...]) -> list[FieldError]:
    """A reference to a field of the pod itself. Labels and annotations may be subscripted."""
    if not reference.get("apiVersion"):
        return [required(f"{path}.apiVersion")]
    target = reference.get("fieldPath") or ""
    if not target:
        return [required(f"{path}.fieldPath")]
    subscript = _SUBSCRIPT.fullmatch(target)
    if subscript:
        key = subscript.group(2)
        return problems(f"{path}.fieldPath", target, names.qualified_name(key.lower()))
    if target not in _KNOWN_FIELDS:
        text = f"error converting fieldPath: field label not supported: {target}"
        return [invalid(f"{path}.fieldPath", target, text)]
    return [] if target in allowed else [not_supported(f"{path}.fieldPath", target, allowed)]


def resource_field_ref(path: str, reference: JsonObject, *, in_volume: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if in_volume:
        errors += needed(f"{path}.containerName", reference.get("containerName"))
    resource = reference.get("resource") or ""
    if not resource:
        errors.append(required(f"{path}.resource"))
    elif resource not in RESOURCES and not _HUGEPAGES.fullmatch(resource):
        errors.append(not_supported(f"{path}.resource", resource, RESOURCES))
    divisor = reference.get("divisor", "0")
    if not is_quantity(divisor):
        errors.append(invalid(f"{path}.divisor", divisor, "must be a quantity"))
    elif divisor not in _divisors(resource):
        kind = resource.partition(".")[2]
        if kind == "cpu":
            errors.append(
                invalid(
                    f"{path}.divisor", divisor, "only divisor's values 1m and 1 are supported with the cpu resource"
                )
            )
        elif kind in ("memory", "ephemeral-storage") or kind.startswith("hugepages-"):
            text = (
                "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the "
                f"{'local ephemeral storage' if kind == 'ephemeral-storage' else kind.partition('-')[0]} resource"
            )
            errors.append(invalid(f"{path}.divisor", divisor, text))
    return errors


def key_selector(path: str, reference: JsonObject) -> list[FieldError]:
    """One key of a ConfigMap or Secret."""
    name, key = reference.get("name") or "", reference.get("key") or ""
    errors = problems(f"{path}.name", name, names.dns1123_subdomain(name))
    return errors + (needed(f"{path}.key", key) or problems(f"{path}.key", key, names.config_key(key)))


def _divisors(resource: str) -> frozenset[str]:
    if resource.endswith(".cpu"):
        return frozenset({"0", "1m", "1"})
    units = ("", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
    return frozenset({"0", "1024", *(f"1{unit}" for unit in units)})


def _env_from(path: str, source: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    prefix = source.get("prefix")
    if prefix:
        errors += problems(f"{path}.prefix", prefix, names.env_name(prefix))
    given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
    for name in given:
        target = source[name].get("name") or ""
        errors += needed(f"{path}.{name}.name", target) or problems(
            f"{path}.{name}.name", target, names.dns1123_subdomain(target)
        )
    if not given:
        errors.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    return errors
