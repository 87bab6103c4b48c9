"""What all kinds share: a hook class in which a kind says only its defaults, its rules and what may change."""

from typing import Any

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext, KindHooks
from nodeagent.apiserver.errors import ApiError
from runtimes.kube.field_errors import FieldError, invalid
from runtimes.kube.json_object import JsonObject

IMMUTABLE = "field is immutable"
NAMESPACES = "namespaces"
FINISHED = ("Succeeded", "Failed")  # phases of pods that never run again
BUILTIN_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


class Kind(KindHooks):
    """Hooks of a kind whose defaults and rules are the same for creates and updates."""

    def default(self, obj: JsonObject) -> None:
        """Fill in what the author left out; idempotent."""

    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        """Mutations that need the rest of the cluster; creates only. May raise ApiError."""

    def validate(self, obj: JsonObject) -> list[FieldError]:
        """Rules that hold for every stored object of the kind."""
        return []

    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        """Rules about what an update of the main resource may change."""
        return []

    def advise(self, obj: JsonObject) -> list[str]:
        """Warnings that creates and updates of the main resource share."""
        return []

    @override
    def defaults(self, obj: JsonObject) -> None:
        self.default(obj)

    @override
    def prepare_create(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        require_active(obj, ctx)
        self.default(obj)
        self.admit(obj, ctx)

    @override
    def validate_create(self, obj: JsonObject) -> list[FieldError]:
        return self.validate(obj)

    @override
    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: AdmissionContext, subresource: str | None) -> None:
        self.default(new)

    @override
    def validate_update(self, new: JsonObject, old: JsonObject, subresource: str | None) -> list[FieldError]:
        if subresource is not None:
            return []
        return self.validate(new) + self.changes(new, old)

    @override
    def warnings(self, new: JsonObject, old: JsonObject | None, subresource: str | None) -> list[str]:
        return self.advise(new) if subresource is None else []


def immutable(path: str, new: Any, old: Any) -> list[FieldError]:
    """One error if the value at `path` differs from the stored one (absent and empty are the same)."""
    return [] if (new or None) == (old or None) else [invalid(path, new, IMMUTABLE)]


def name_of(obj: JsonObject) -> str:
    return str(obj.get("metadata", {}).get("name", ""))


def namespace_of(obj: JsonObject) -> str:
    return str(obj.get("metadata", {}).get("namespace", ""))


def uid_of(obj: JsonObject) -> str:
    return str(obj.get("metadata", {}).get("uid", ""))


def require_active(obj: JsonObject, ctx: AdmissionContext) -> None:
    """Refuse to create a namespaced object where there is no namespace, or one that is going away."""
    if not ctx.namespace:
        return
    namespace = ctx.get(NAMESPACES, "", ctx.namespace)
    if namespace is None:
        if ctx.namespace in BUILTIN_NAMESPACES:
            return  # they exist from the first moment, even before the controller has written them
        raise ApiError.not_found(NAMESPACES, ctx.namespace)
    if namespace["metadata"].get("deletionTimestamp"):
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {ctx.namespace} is being terminated",
            "field": "metadata.namespace",
        }
        why = f"unable to create new content in namespace {ctx.namespace} because it is being terminated"
        raise ApiError.forbidden(ctx.resource, name_of(obj), why, causes=[cause])
