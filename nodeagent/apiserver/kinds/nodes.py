"""Nodes: what a registration gets, taints, and the resources that status reports."""

from typing import Any

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.kinds.base import Kind
from nodeagent.podspec.validation.resources import amount
from nodeagent.podspec.validation.rules import problems
from runtimes.kube import names
from runtimes.kube.canonical_quantity import canonical_map
from runtimes.kube.field_errors import ErrorType, FieldError, duplicate, forbidden, not_supported, required
from runtimes.kube.json_object import JsonObject

RESOURCE = "nodes"
NOT_READY_TAINT = "node.kubernetes.io/not-ready"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class NodeKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        status = obj.get("status") or {}
        canonical_map(status.get("capacity"))
        canonical_map(status.get("allocatable"))
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        spec = obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(taint.get("key") == NOT_READY_TAINT for taint in taints):
            # The node controller takes it off as soon as the node says that it is ready.
            spec["taints"] = [*taints, {"key": NOT_READY_TAINT, "effect": "NoSchedule"}]

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj.get("spec") or {}
        return taints("spec.taints", spec.get("taints") or []) + self._status(obj)

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        before, now = (old.get("spec") or {}).get("providerID"), (new.get("spec") or {}).get("providerID")
        if before and now != before:
            errors.append(
                forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
            )
        cidrs = (old.get("spec") or {}).get("podCIDRs")
        if cidrs and (new.get("spec") or {}).get("podCIDRs") != cidrs:
            text = 'node updates may not change podCIDR except from "" to valid'
            errors.append(forbidden("spec.podCIDRs", text))
        return errors

    @override
    def validate_update(self, new: JsonObject, old: JsonObject, subresource: str | None) -> list[FieldError]:
        return self._status(new) if subresource == "status" else super().validate_update(new, old, subresource)

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        spec = obj.get("spec") or {}
        found = ["spec.configSource: the feature is removed"] if spec.get("configSource") is not None else []
        if spec.get("externalID"):
            found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
        return found

    def _status(self, obj: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        status = obj.get("status") or {}
        for which in ("capacity", "allocatable"):
            for name, text in (status.get(which) or {}).items():
                errors += amount(f"status.{which}[{name}]", name, text)
        seen: set[tuple[Any, Any]] = set()
        for index, address in enumerate(status.get("addresses") or ()):
            key = (address.get("type"), address.get("address"))
            if key in seen:
                errors.append(duplicate(f"status.addresses[{index}]", address))
            seen.add(key)
        return errors


def taints(path: str, listed: list[JsonObject]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(listed):
        where = f"{path}[{index}]"
        key, effect, value = taint.get("key") or "", taint.get("effect") or "", taint.get("value") or ""
        errors += problems(f"{where}.key", key, names.qualified_name(key))
        errors += problems(f"{where}.value", value, names.label_value(value))
        if not effect:
            errors.append(required(f"{where}.effect"))
        elif effect not in _EFFECTS:
            errors.append(not_supported(f"{where}.effect", effect, _EFFECTS))
        if (key, effect) in seen:
            text = "taints must be unique by key and effect pair"
            errors.append(FieldError(type=ErrorType.DUPLICATE, field=where, value=taint, detail=text))
        seen.add((key, effect))
    return errors
