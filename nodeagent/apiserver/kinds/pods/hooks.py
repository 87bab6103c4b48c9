"""The hooks of pods: defaults, admission, validation, for the main resource and every subresource."""

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import Kind
from nodeagent.apiserver.kinds.pods import admission, subresources
from nodeagent.apiserver.kinds.pods.gates import gated_condition
from nodeagent.apiserver.kinds.pods.mountable import limit_ephemeral
from nodeagent.apiserver.kinds.pods.resize import REORDERED, check_node, reordered, validate_resize
from nodeagent.apiserver.kinds.pods.typed_spec import resources_spec
from nodeagent.apiserver.kinds.pods.update import validate_update
from nodeagent.apiserver.kinds.pods.warnings import pod_warnings
from nodeagent.podspec.defaults import default_pod
from nodeagent.podspec.qos import qos_class
from nodeagent.podspec.validation.pod import validate_create
from runtimes.kube.field_errors import FieldError, forbidden
from runtimes.kube.json_object import JsonObject


class PodKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        default_pod(obj)

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        admission.admit(obj, ctx)
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(resources_spec(obj["spec"]))}
        if conditions := gated_condition(obj, ctx):
            obj["status"]["conditions"] = conditions

    @override
    def validate_create(self, obj: JsonObject) -> list[FieldError]:
        return validate_create(obj)

    @override
    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: AdmissionContext, subresource: str | None) -> None:
        if subresource == "status":
            # The agent writes status all the time: only what a status can break is looked at.
            self._keep_qos_class(new, old)
            return
        if subresource == "resize" and reordered(new, old):
            raise ApiError.invalid("Pod", "", ctx.name, [forbidden("spec", REORDERED)])
        if subresource is not None:
            subresources.keep_only(new, old, subresource)
        self.default(new)
        if subresource == "ephemeralcontainers":
            limit_ephemeral(new, ctx)
        if subresource is None:
            admission.readmit(new, old)
        if subresource == "resize":
            check_node(new, old, ctx)
        if subresource == "binding" and new["spec"].get("nodeName"):
            admission.zone_labels(new, ctx, new["spec"]["nodeName"])

    @override
    def validate_update(self, new: JsonObject, old: JsonObject, subresource: str | None) -> list[FieldError]:
        if subresource == "status":
            return subresources.validate_status(new, old)
        if subresource == "ephemeralcontainers":
            return subresources.validate_ephemeral(new, old)
        if subresource == "resize":
            return validate_resize(new, old)
        if subresource is not None:
            return []
        return validate_update(new, old)

    @override
    def warnings(self, new: JsonObject, old: JsonObject | None, subresource: str | None) -> list[str]:
        if old is None:
            return pod_warnings(new)
        return subresources.status_warnings(new) if subresource == "status" else []

    def _keep_qos_class(self, new: JsonObject, old: JsonObject) -> None:
        stored = (old.get("status") or {}).get("qosClass")
        status = new.setdefault("status", {})
        if stored and not status.get("qosClass"):
            status["qosClass"] = stored
