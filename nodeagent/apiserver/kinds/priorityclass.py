"""PriorityClass: names for pod priorities, and the two that every cluster has."""

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import Kind, name_of
from runtimes.kube.field_errors import FieldError, forbidden, not_supported
from runtimes.kube.json_object import JsonObject

RESOURCE = "priorityclasses.scheduling.k8s.io"
HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_DESCRIPTIONS = {
    "system-cluster-critical": (
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
    ),
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}
_POLICIES = ("Never", "PreemptLowerPriority")


class PriorityClassKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        if not obj.get("preemptionPolicy"):
            obj["preemptionPolicy"] = "PreemptLowerPriority"
        obj.setdefault("value", 0)

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        self._only_one_default(obj, ctx)

    @override
    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: AdmissionContext, subresource: str | None) -> None:
        super().prepare_update(new, old, ctx, subresource)
        self._only_one_default(new, ctx)

    @override
    def prepare_delete(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        if name_of(obj) in SYSTEM_CLASSES:
            raise ApiError.forbidden(RESOURCE, name_of(obj), "this is a system priority class and cannot be deleted")

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        name = name_of(obj)
        if name.startswith("system-"):
            if SYSTEM_CLASSES.get(name) != obj["value"]:
                text = "priority class names with 'system-' prefix are reserved for system use only"
                errors.append(forbidden("metadata.name", text))
        elif obj["value"] > HIGHEST_USER_PRIORITY:
            text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
            errors.append(forbidden("value", text))
        if obj["preemptionPolicy"] not in _POLICIES:
            errors.append(not_supported("preemptionPolicy", obj["preemptionPolicy"], _POLICIES))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        errors = []
        if new["value"] != old.get("value"):
            errors.append(forbidden("value", "may not be changed in an update."))
        if new["preemptionPolicy"] != old.get("preemptionPolicy"):
            errors.append(forbidden("preemptionPolicy", "may not be changed in an update."))
        return errors

    def _only_one_default(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        if not obj.get("globalDefault"):
            return
        for other in ctx.list(RESOURCE):
            if other.get("globalDefault") and name_of(other) != name_of(obj):
                why = f"PriorityClass {name_of(other)} is already marked as default. Only one default can exist"
                raise ApiError.forbidden(RESOURCE, name_of(obj), why)


def builtin() -> list[JsonObject]:
    """The PriorityClass objects that exist from the start."""
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": _DESCRIPTIONS[name],
            "preemptionPolicy": "PreemptLowerPriority",
        }
        for name, value in SYSTEM_CLASSES.items()
    ]
