"""What a request body says that its kind does not: unknown fields, and values of the wrong type.

The known fields are those of the lightkube models. One walk answers both questions; the caller joins the unknown fields into
a warning (`fieldValidation=Warn`) or a strict decoding error (`Strict`), and turns a type error into 400 in any case.
"""

import base64
import importlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from nodeagent.apiserver.kinds.timestamps import epoch
from nodeagent.resources import quantity

Json = dict[str, Any]
Model = type[msgspec.Struct]
Check = Callable[[Any, str, str, "Inspection"], None]

_MODULES: Final = {
    "v1": "core_v1",
    "apps/v1": "apps_v1",
    "authentication.k8s.io/v1": "authentication_v1",
    "authorization.k8s.io/v1": "authorization_v1",
    "autoscaling/v1": "autoscaling_v1",
    "batch/v1": "batch_v1",
    "certificates.k8s.io/v1": "certificates_v1",
    "coordination.k8s.io/v1": "coordination_v1",
    "discovery.k8s.io/v1": "discovery_v1",
    "events.k8s.io/v1": "events_v1",
    "networking.k8s.io/v1": "networking_v1",
    "node.k8s.io/v1": "node_v1",
    "policy/v1": "policy_v1",
    "rbac.authorization.k8s.io/v1": "rbac_v1",
    "scheduling.k8s.io/v1": "scheduling_v1",
    "storage.k8s.io/v1": "storage_v1",
}
_META_KINDS: Final = frozenset({"DeleteOptions", "CreateOptions", "PatchOptions", "UpdateOptions"})
# Maps are plain dicts in the models; what their values must be is known by name.
_QUANTITY_MAPS: Final = frozenset(
    {"limits", "requests", "capacity", "allocatable", "overhead", "podFixed", "hard", "used", "allocatedResources"}
    | {"default", "defaultRequest", "max", "min", "maxLimitRequestRatio"}
)
_STRING_MAPS: Final = frozenset(
    {"labels", "annotations", "nodeSelector", "matchLabels", "stringData", "parameters", "volumeAttributes", "options"}
    | {"attachmentMetadata", "selector", "userAnnotations", "allocatedResourceStatuses"}
)
_INT64: Final = frozenset(
    {"activeDeadlineSeconds", "deletionGracePeriodSeconds", "gracePeriodSeconds", "terminationGracePeriodSeconds"}
    | {
        "tolerationSeconds",
        "runAsUser",
        "runAsGroup",
        "fsGroup",
        "generation",
        "observedGeneration",
        "expirationSeconds",
    }
    | {"seconds", "sizeBytes", "gid", "uid", "supplementalGroups", "startingDeadlineSeconds"}
)
_JSON_NAMES: Final = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


@dataclass(slots=True, kw_only=True)
class Inspection:
    """`unknown`: dotted paths of fields that the kind lacks. `error`: the first type mismatch, in the words of a JSON decoder."""

    unknown: list[str] = field(default_factory=list)
    error: str | None = None

    def fail(self, text: str) -> None:
        if self.error is None:
            self.error = text


def model_for(api_version: str, kind: str) -> Model | None:
    """The model of a kind, None when there is none to check against."""
    module = "meta_v1" if kind in _META_KINDS else _MODULES.get(api_version)
    if module is None:
        return None
    found = getattr(importlib.import_module(f"lightkube.models.{module}"), kind, None)
    return found if isinstance(found, type) and issubclass(found, msgspec.Struct) else None


def inspect(obj: Json, model: Model) -> Inspection:
    """Compare one decoded body with its model."""
    result = Inspection()
    _struct(model, obj, "", model.__name__, result)
    return result


def unknown_fields(obj: Json, model: Model) -> list[str]:
    """Messages such as `unknown field "spec.containers[0].foo"`, in the order of the body."""
    return [f'unknown field "{path}"' for path in inspect(obj, model).unknown]


def type_error(obj: Json, model: Model) -> str | None:
    """The first value of a wrong type, such as
    `json: cannot unmarshal string into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64`."""
    return inspect(obj, model).error


def _struct(model: Model, value: Any, path: str, where: str, result: Inspection) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        result.fail(_mismatch(value, where, f"v1.{model.__name__}"))
        return
    table = _checks(model)
    prefix = path + "." if path else ""
    go_prefix = f"{model.__name__}.{_plain(path)}" if path else f"{model.__name__}."
    for key, item in value.items():
        check = table.get(key)
        if check is None:
            result.unknown.append(prefix + key)
        elif item is not None:
            check(item, prefix + key, f"{go_prefix}{'.' if path else ''}{key}", result)


@lru_cache(maxsize=1024)
def _checks(model: Model) -> dict[str, Check]:
    annotations = {**model.__annotations__}
    return {
        item.encode_name: _check_for(model, item.encode_name, item.type, str(annotations.get(item.name, "")))
        for item in msgspec.structs.fields(model)
    }


def _check_for(model: Model, name: str, kind: Any, annotation: str) -> Check:
    kind = _without_none(kind)
    origin = typing.get_origin(kind)
    if "Quantity" in annotation:
        return _quantity
    if kind is dict or origin is dict:
        return _map_check(model, name)
    if origin is list:
        return _list_check(_check_for(model, name, typing.get_args(kind)[0], ""))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return lambda value, path, where, result: _struct(kind, value, path, where, result)
    if kind is datetime:
        return _time
    if kind is bool:
        return _bool
    if kind is int:
        return _int64 if name in _INT64 else _int32
    if kind is str:
        return _string
    return _anything if kind is Any else _int_or_string


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [item for item in typing.get_args(kind) if item is not type(None)]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _map_check(model: Model, name: str) -> Check:
    if name in _QUANTITY_MAPS:
        return _values_check(_quantity)
    if name == "binaryData" or (name == "data" and model.__name__ == "Secret"):
        return _values_check(_base64)
    if name in _STRING_MAPS or (name == "data" and model.__name__ == "ConfigMap"):
        return _values_check(_string)
    return _anything


def _values_check(inner: Check) -> Check:
    def check(value: Any, path: str, where: str, result: Inspection) -> None:
        if not isinstance(value, dict):
            result.fail(_mismatch(value, where, "map[string]string"))
            return
        for item in value.values():
            if item is not None:
                inner(item, path, where, result)

    return check


def _list_check(inner: Check) -> Check:
    def check(value: Any, path: str, where: str, result: Inspection) -> None:
        if not isinstance(value, list):
            result.fail(_mismatch(value, where, "[]" + where.rsplit(".", 1)[-1]))
            return
        for index, item in enumerate(value):
            if item is None:
                result.fail(f"json: cannot unmarshal null into an element of Go struct field {where}")
            else:
                inner(item, f"{path}[{index}]", where, result)

    return check


def _string(value: Any, path: str, where: str, result: Inspection) -> None:
    if not isinstance(value, str):
        result.fail(_mismatch(value, where, "string"))


def _bool(value: Any, path: str, where: str, result: Inspection) -> None:
    if not isinstance(value, bool):
        result.fail(_mismatch(value, where, "bool"))


def _int32(value: Any, path: str, where: str, result: Inspection) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
        result.fail(_mismatch(value, where, "int32"))


def _int64(value: Any, path: str, where: str, result: Inspection) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        result.fail(_mismatch(value, where, "int64"))


def _int_or_string(value: Any, path: str, where: str, result: Inspection) -> None:
    if not isinstance(value, int | str) or isinstance(value, bool):
        result.fail(_mismatch(value, where, "intstr.IntOrString"))


def _quantity(value: Any, path: str, where: str, result: Inspection) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        result.fail(_mismatch(value, where, "resource.Quantity"))
        return
    try:
        quantity.parse(value)
    except quantity.InvalidQuantity as error:
        result.fail(str(error))


def _time(value: Any, path: str, where: str, result: Inspection) -> None:
    if not isinstance(value, str):
        result.fail(_mismatch(value, where, "string"))
        return
    try:
        epoch(value)
    except ValueError:
        result.fail(f'parsing time "\\"{value}\\"" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}"')


def _base64(value: Any, path: str, where: str, result: Inspection) -> None:
    if not isinstance(value, str):
        result.fail(_mismatch(value, where, "[]uint8"))
        return
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        result.fail(f"illegal base64 data at input byte {_first_bad_base64(value)}")


def _anything(value: Any, path: str, where: str, result: Inspection) -> None:
    """A map whose values are not the API's business."""


def _first_bad_base64(text: str) -> int:
    alphabet = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    return next((index for index, letter in enumerate(text) if letter not in alphabet), len(text))


def _mismatch(value: Any, where: str, expected: str) -> str:
    name = _JSON_NAMES.get(type(value), "value")
    if name == "number" and (isinstance(value, float) or expected.startswith("int")):
        name = f"number {value}"
    return f"json: cannot unmarshal {name} into Go struct field {where} of type {expected}"


def _plain(path: str) -> str:
    """A path without list indexes: `spec.containers[0].ports` -> `spec.containers.ports`."""
    return "".join(part.split("]")[-1] for part in path.split("["))
