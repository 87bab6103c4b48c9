"""Kinds of dynamic resource allocation: ResourceClaim, ResourceClaimTemplate, DeviceClass, ResourceSlice."""

from collections.abc import Iterable, Iterator
from typing import Any

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import NAMESPACES, Kind, immutable
from nodeagent.apiserver.kinds.scheduling.device_selectors import MAX_EXPRESSION, SelectorError, compiled
from nodeagent.podspec.validation.resources import amount
from nodeagent.podspec.validation.rules import problems
from runtimes.kube import names
from runtimes.kube.canonical_quantity import canonical_map
from runtimes.kube.field_errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    too_long,
    too_many,
)
from runtimes.kube.json_object import JsonObject

ADMIN_LABEL = "resource.kubernetes.io/admin-access"  # of namespaces
EXACT, ALL = "ExactCount", "All"
_EFFECTS = ("NoExecute", "NoSchedule", "None")
_MAX_REQUESTS = _MAX_SELECTORS = _MAX_CONSTRAINTS = _MAX_CONFIGS = 32
_NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_MAX_ALTERNATIVES = 8
_MAX_CONSUMERS = 256
_MAX_DEVICES = 128
_ATTRIBUTE_FORMS = ("bool", "bools", "int", "ints", "string", "strings", "version", "versions")


class ResourceClaimKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        _default_claim(obj["spec"])

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        obj.pop("status", None)

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        return _claim("spec.devices", obj["spec"].get("devices") or {})

    @override
    def prepare_create(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        super().prepare_create(obj, ctx)
        _require_admin(obj, obj["spec"], ctx)

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return immutable("spec", new["spec"], old["spec"])

    @override
    def validate_update(self, new: JsonObject, old: JsonObject, subresource: str | None) -> list[FieldError]:
        if subresource == "status":
            return _status(new.get("status") or {}, old.get("status") or {})
        return super().validate_update(new, old, subresource)


class ResourceClaimTemplateKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        _default_claim(obj["spec"].setdefault("spec", {}))

    @override
    def prepare_create(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        super().prepare_create(obj, ctx)
        _require_admin(obj, obj["spec"]["spec"], ctx)

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        return _claim("spec.spec.devices", obj["spec"]["spec"].get("devices") or {})

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return immutable("spec", new["spec"], old["spec"])


class DeviceClassKind(Kind):
    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj["spec"]
        errors = _selectors("spec.selectors", spec.get("selectors") or ())
        errors += _configs("spec.config", spec.get("config") or (), None)
        if name := spec.get("extendedResourceName"):
            errors += problems("spec.extendedResourceName", name, names.qualified_name(name))
        return errors


class ResourceSliceKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        for device in obj["spec"].get("devices") or ():
            for capacity in (device.get("capacity") or {}).values():
                canonical_map(capacity)

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj["spec"]
        errors = problems("spec.driver", spec["driver"], names.dns1123_subdomain(spec["driver"]))
        errors += _pool(spec["pool"])
        given = [name for name in ("allNodes", "nodeName", "nodeSelector", "perDeviceNodeSelection") if spec.get(name)]
        if len(given) != 1:
            text = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
            errors.append(invalid("spec", f"{{{', '.join(given)}}}", text) if given else required("spec", text))
        devices = spec.get("devices") or []
        if len(devices) > _MAX_DEVICES:
            errors.append(too_many("spec.devices", len(devices), _MAX_DEVICES))
        errors += _unique("spec.devices", devices)
        for index, device in enumerate(devices):
            errors += _device(f"spec.devices[{index}]", device)
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        after, before = new["spec"], old["spec"]
        return [
            *immutable("spec.nodeName", after.get("nodeName"), before.get("nodeName")),
            *immutable("spec.driver", after["driver"], before["driver"]),
            *immutable("spec.pool.name", after["pool"]["name"], before["pool"]["name"]),
        ]


def _default_claim(spec: JsonObject) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        for asked in _asked_for(request):
            if asked.setdefault("allocationMode", EXACT) == EXACT:
                asked.setdefault("count", 1)
            for toleration in asked.get("tolerations") or ():
                toleration.setdefault("operator", "Equal")
            canonical_map((asked.get("capacity") or {}).get("requests"))


def _asked_for(request: JsonObject) -> Iterator[JsonObject]:
    if request.get("exactly"):
        yield request["exactly"]
    yield from request.get("firstAvailable") or ()


def _require_admin(obj: JsonObject, spec: JsonObject, ctx: AdmissionContext) -> None:
    """Raises ApiError where access for administration is asked for outside the namespaces that are for it."""
    requests = (spec.get("devices") or {}).get("requests") or ()
    if not any(asked.get("adminAccess") for request in requests for asked in _asked_for(request)):
        return
    namespace = ctx.get(NAMESPACES, "", ctx.namespace) or {"metadata": {}}
    if (namespace["metadata"].get("labels") or {}).get(ADMIN_LABEL) != "true":
        why = f"admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace"
        raise ApiError.forbidden(ctx.resource, obj["metadata"]["name"], why)


def _claim(where: str, devices: JsonObject) -> list[FieldError]:
    requests = devices.get("requests") or []
    errors = _unique(f"{where}.requests", requests)
    if len(requests) > _MAX_REQUESTS:
        errors.append(too_many(f"{where}.requests", len(requests), _MAX_REQUESTS))
    for index, request in enumerate(requests):
        errors += _request(f"{where}.requests[{index}]", request)
    known = {each.get("name", "") for each in requests}
    known |= {f"{one.get('name')}/{sub.get('name')}" for one in requests for sub in one.get("firstAvailable") or ()}
    constraints = devices.get("constraints") or []
    if len(constraints) > _MAX_CONSTRAINTS:
        errors.append(too_many(f"{where}.constraints", len(constraints), _MAX_CONSTRAINTS))
    for index, constraint in enumerate(constraints):
        errors += _constraint(f"{where}.constraints[{index}]", constraint, known)
    return errors + _configs(f"{where}.config", devices.get("config") or (), known)


def _request(where: str, request: JsonObject) -> list[FieldError]:
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    if bool(exactly) == bool(alternatives):
        text = "exactly one of `exactly` or `firstAvailable` is required"
        return [invalid(where, request.get("name", ""), text) if exactly else required(where, text)]
    if exactly:
        return _asked(f"{where}.exactly", exactly)
    errors = _unique(f"{where}.firstAvailable", alternatives)
    if len(alternatives) > _MAX_ALTERNATIVES:
        errors.append(too_many(f"{where}.firstAvailable", len(alternatives), _MAX_ALTERNATIVES))
    for index, each in enumerate(alternatives):
        errors += _asked(f"{where}.firstAvailable[{index}]", each)
    return errors


def _asked(where: str, asked: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    if name := asked.get("deviceClassName"):
        errors += problems(f"{where}.deviceClassName", name, names.dns1123_subdomain(name))
    else:
        errors.append(required(f"{where}.deviceClassName"))
    mode, count = asked.get("allocationMode"), asked.get("count")
    if mode not in (ALL, EXACT):
        errors.append(not_supported(f"{where}.allocationMode", mode, (ALL, EXACT)))
    elif mode == EXACT and (count or 0) <= 0:
        errors.append(invalid(f"{where}.count", count, "must be greater than zero"))
    elif mode == ALL and count:
        errors.append(invalid(f"{where}.count", count, 'must not be specified when allocationMode is "All"'))
    for key, text in ((asked.get("capacity") or {}).get("requests") or {}).items():
        errors += amount(f"{where}.capacity.requests[{key}]", "storage", text)
    return errors + _selectors(f"{where}.selectors", asked.get("selectors") or ())


def _selectors(where: str, selectors: Iterable[JsonObject]) -> list[FieldError]:
    listed = list(selectors)
    errors = [too_many(where, len(listed), _MAX_SELECTORS)] if len(listed) > _MAX_SELECTORS else []
    for index, each in enumerate(listed):
        path = f"{where}[{index}].cel.expression"
        expression = (each.get("cel") or {}).get("expression")
        if not expression:
            errors.append(required(path))
        elif len(expression.encode()) > MAX_EXPRESSION:
            errors.append(too_long(path, MAX_EXPRESSION))
        else:
            try:
                compiled(expression)
            except SelectorError as error:
                errors.append(invalid(path, expression, f"compilation failed: {error}"))
    return errors


def _constraint(where: str, constraint: JsonObject, known: set[str]) -> list[FieldError]:
    errors = [
        invalid(f"{where}.requests[{index}]", name, _NO_REQUEST)
        for index, name in enumerate(constraint.get("requests") or ())
        if name not in known
    ]
    given = [name for name in ("matchAttribute", "distinctAttribute") if constraint.get(name)]
    if len(given) != 1:
        return [*errors, required(where, "exactly one of matchAttribute and distinctAttribute is required")]
    path, name = f"{where}.{given[0]}", constraint[given[0]]
    if "/" not in name:
        return [*errors, invalid(path, name, "must include a domain")]
    return errors + problems(path, name, names.qualified_name(name))


def _configs(where: str, configs: Iterable[JsonObject], known: set[str] | None) -> list[FieldError]:
    """`known` None: of a class, which names no requests."""
    listed = list(configs)
    errors = [too_many(where, len(listed), _MAX_CONFIGS)] if len(listed) > _MAX_CONFIGS else []
    for index, config in enumerate(listed):
        opaque = config.get("opaque")
        if not opaque:
            errors.append(required(f"{where}[{index}].opaque"))
            continue
        driver = opaque.get("driver", "")
        errors += problems(f"{where}[{index}].opaque.driver", driver, names.dns1123_subdomain(driver))
        if known is not None:
            requests = config.get("requests") or ()
            errors += [
                not_found(f"{where}[{index}].requests[{n}]", name)
                for n, name in enumerate(requests)
                if name not in known
            ]
    return errors


def _status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    reserved = new.get("reservedFor") or []
    if old.get("allocation") and new.get("allocation"):
        errors += immutable("status.allocation", new["allocation"], old["allocation"])
    if len(reserved) > _MAX_CONSUMERS:
        errors.append(too_many("status.reservedFor", len(reserved), _MAX_CONSUMERS))
    if reserved and not new.get("allocation"):
        errors.append(forbidden("status.reservedFor", "may not be specified when `allocated` is not set"))
    seen: set[str] = set()
    for index, consumer in enumerate(reserved):
        path = f"status.reservedFor[{index}]"
        errors += [required(f"{path}.{name}") for name in ("name", "resource", "uid") if not consumer.get(name)]
        if consumer.get("uid") in seen:
            errors.append(duplicate(f"{path}.uid", consumer["uid"]))
        seen.add(consumer.get("uid") or "")
    return errors


def _pool(pool: JsonObject) -> list[FieldError]:
    name = pool.get("name") or ""
    errors = [] if name else [required("spec.pool.name")]
    for part in name.split("/") if name else ():
        errors += problems("spec.pool.name", part, names.dns1123_subdomain(part))
    if pool["resourceSliceCount"] <= 0:
        errors.append(invalid("spec.pool.resourceSliceCount", pool["resourceSliceCount"], "must be greater than zero"))
    if pool["generation"] < 0:
        errors.append(invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero"))
    return errors


def _device(where: str, device: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, told in (device.get("attributes") or {}).items():
        given = [form for form in _ATTRIBUTE_FORMS if told.get(form) is not None]
        if len(given) != 1:
            errors.append(required(f"{where}.attributes[{name}]", "exactly one value must be specified"))
    for name, capacity in (device.get("capacity") or {}).items():
        errors += amount(f"{where}.capacity[{name}].value", "storage", capacity.get("value"))
    for index, taint in enumerate(device.get("taints") or ()):
        if taint.get("effect") not in _EFFECTS:
            errors.append(not_supported(f"{where}.taints[{index}].effect", taint.get("effect"), _EFFECTS))
    return errors


def _unique(where: str, named: Iterable[Any]) -> list[FieldError]:
    """Names of a list: DNS labels, each once."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, each in enumerate(named):
        name = each.get("name") or ""
        path = f"{where}[{index}].name"
        errors += problems(path, name, names.dns1123_label(name)) if name else [required(path)]
        if name and name in seen:
            errors.append(duplicate(path, name))
        seen.add(name)
    return errors
