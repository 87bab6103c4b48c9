"""Kinds with a handful of rules: ServiceAccount, Event, Lease, RuntimeClass, CertificateSigningRequest."""

import base64

from cryptography import x509
from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import deprecated, signers
from nodeagent.apiserver.kinds.base import IMMUTABLE, Kind, immutable, name_of, namespace_of
from nodeagent.apiserver.kinds.pods.mountable import ENFORCED
from nodeagent.podspec.validation.resources import overhead
from nodeagent.podspec.validation.rules import problems
from nodeagent.podspec.validation.scheduling import label_map, toleration_errors
from runtimes.kube import names
from runtimes.kube.canonical_quantity import canonical_map
from runtimes.kube.field_errors import FieldError, invalid, required
from runtimes.kube.json_object import JsonObject

_MINIMUM_CERTIFICATE_SECONDS = 600
_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"


class EventKind(Kind):
    @override
    def validate_create(self, obj: JsonObject) -> list[FieldError]:
        involved = (obj.get("involvedObject") or {}).get("namespace") or ""
        own = namespace_of(obj)
        if involved == own or (not involved and own == "default"):
            return []
        return [invalid("involvedObject.namespace", involved, "does not match event.namespace")]


class LeaseKind(Kind):
    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        seconds = spec.get("leaseDurationSeconds")
        if seconds is not None and seconds <= 0:
            errors.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        transitions = spec.get("leaseTransitions")
        if transitions is not None and transitions < 0:
            errors.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
        return errors


class RuntimeClassKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        canonical_map((obj.get("overhead") or {}).get("podFixed"))

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        handler = obj.get("handler") or ""
        errors = problems("handler", handler, names.dns1123_label(handler))
        fixed = (obj.get("overhead") or {}).get("podFixed")
        if fixed:
            errors += overhead("overhead.podFixed", fixed)
        scheduling = obj.get("scheduling") or {}
        errors += label_map("scheduling.nodeSelector", scheduling.get("nodeSelector") or {})
        for index, toleration in enumerate(scheduling.get("tolerations") or ()):
            errors += toleration_errors(f"scheduling.tolerations[{index}]", toleration)
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return immutable("handler", new.get("handler"), old.get("handler"))

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        selected = (obj.get("scheduling") or {}).get("nodeSelector") or {}
        texts = [deprecated.node_label(key) for key in selected]
        return [f"scheduling.nodeSelector: {text}" for text in texts if text]


class ServiceAccountKind(Kind):
    @override
    def warnings(self, new: JsonObject, old: JsonObject | None, subresource: str | None) -> list[str]:
        def limits(account: JsonObject) -> bool:
            return ENFORCED in (account["metadata"].get("annotations") or {})

        if not limits(new) or (old is not None and limits(old)):
            return []
        why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        return [f"metadata.annotations[{ENFORCED}]: {why}"]


class CertificateSigningRequestKind(Kind):
    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        """The server says who asked; whatever the body claims is dropped."""
        spec = obj.setdefault("spec", {})
        for name in ("username", "uid", "groups", "extra"):
            spec.pop(name, None)
        spec["username"] = ctx.user.name
        if ctx.user.uid:
            spec["uid"] = ctx.user.uid
        spec["groups"] = list(ctx.user.groups)
        if ctx.user.extra:
            spec["extra"] = {key: list(values) for key, values in ctx.user.extra.items()}
        obj["status"] = {}
        if spec.get("signerName") == signers.CLIENT and signers.MASTERS_GROUP in _organizations(spec):
            why = f"use of {signers.CLIENT} signer with {signers.MASTERS_GROUP} group is not allowed"
            raise ApiError.forbidden(ctx.resource, name_of(obj), why)

    @override
    def validate_create(self, obj: JsonObject) -> list[FieldError]:
        spec = obj["spec"]
        errors: list[FieldError] = []
        request = spec.get("request") or ""
        try:
            x509.load_pem_x509_csr(base64.b64decode(request))
        except ValueError:
            errors.append(invalid("spec.request", request, "PEM block type must be CERTIFICATE REQUEST"))
        if not spec.get("usages"):
            errors.append(required("spec.usages"))
        signer = spec.get("signerName") or ""
        if not signer:
            errors.append(required("spec.signerName"))
        elif signer == _LEGACY_SIGNER:
            text = "the legacy signerName is not allowed via this API version"
            errors.append(invalid("spec.signerName", signer, text))
        elif "/" not in signer:
            text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
            errors.append(invalid("spec.signerName", signer, text))
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < _MINIMUM_CERTIFICATE_SECONDS:
            text = "may not specify a duration less than 600 seconds (10 minutes)"
            errors.append(invalid("spec.expirationSeconds", seconds, text))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return [] if new.get("spec") == old.get("spec") else [invalid("spec", new.get("spec"), IMMUTABLE)]


def _organizations(spec: JsonObject) -> list[str]:
    """Of a request; none of one that cannot be read, which is refused as such."""
    try:
        return signers.organizations(x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "")))
    except ValueError:
        return []
