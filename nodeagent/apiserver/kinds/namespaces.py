"""Namespaces: their label, their finalizer, and which of them cannot be deleted."""

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import NAMESPACES, Kind, name_of
from nodeagent.podspec.validation.rules import problems
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError
from runtimes.kube.json_object import JsonObject

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"
_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        labels = obj["metadata"].get("labels") or {}
        obj["metadata"]["labels"] = {**labels, NAME_LABEL: name_of(obj)}

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        spec = obj.setdefault("spec", {})
        finalizers = spec.get("finalizers") or []
        if FINALIZER not in finalizers:
            spec["finalizers"] = [*finalizers, FINALIZER]
        obj["status"] = {"phase": "Active"}

    @override
    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: AdmissionContext, subresource: str | None) -> None:
        super().prepare_update(new, old, ctx, subresource)
        if subresource != "finalize" and "finalizers" in (old.get("spec") or {}):
            # Only the finalize subresource takes a finalizer off.
            new.setdefault("spec", {})["finalizers"] = list(old["spec"]["finalizers"])

    @override
    def prepare_delete(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        if name_of(obj) in _IMMORTAL:
            raise ApiError.forbidden(NAMESPACES, name_of(obj), "this namespace may not be deleted")
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}

    @override
    def validate_create(self, obj: JsonObject) -> list[FieldError]:
        name = name_of(obj)
        # A subdomain that is no label has dots, or is too long; other faults are reported with the object's metadata.
        if names.dns1123_subdomain(name):
            return []
        return problems("metadata.name", name, ["must not contain dots"] if "." in name else names.dns1123_label(name))
