"""What projected volumes take from certificates.k8s.io: ClusterTrustBundle and PodCertificateRequest.

Requests wait for a signer of their own, as with a cluster's API: none is built in.
"""

import base64

from cryptography import x509
from typing_extensions import override

from nodeagent.apiserver.kinds.base import IMMUTABLE, Kind, immutable, name_of
from nodeagent.podspec.validation.rules import problems
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, invalid, required
from runtimes.kube.json_object import JsonObject

DEFAULT_SECONDS = 24 * 3600
_MINIMUM_SECONDS, _MAXIMUM_SECONDS = 3600, 91 * 24 * 3600
_MAX_BUNDLE_BYTES = 1024 * 1024
_BEGIN = "-----BEGIN "


class ClusterTrustBundleKind(Kind):
    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj.get("spec") or {}
        signer, name = spec.get("signerName") or "", name_of(obj)
        errors: list[FieldError] = []
        prefix = f"{signer.replace('/', ':')}:" if signer else ""
        if signer and not name.startswith(prefix):
            text = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
            errors.append(invalid("metadata.name", name, text))
        elif not signer and ":" in name:
            text = 'ClusterTrustBundle without signer name must not have ":" in its name'
            errors.append(invalid("metadata.name", name, text))
        else:
            errors += problems("metadata.name", name, names.dns1123_subdomain(name.removeprefix(prefix)))
        if why := _bundle(spec.get("trustBundle") or ""):
            errors.append(invalid("spec.trustBundle", "<value omitted>", why))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        before = (old.get("spec") or {}).get("signerName")
        return immutable("spec.signerName", (new.get("spec") or {}).get("signerName"), before)


class PodCertificateRequestKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        obj.setdefault("spec", {}).setdefault("maxExpirationSeconds", DEFAULT_SECONDS)

    @override
    def validate_create(self, obj: JsonObject) -> list[FieldError]:
        spec = obj["spec"]
        errors: list[FieldError] = []
        if "/" not in (spec.get("signerName") or ""):
            text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
            errors.append(invalid("spec.signerName", spec.get("signerName") or "", text))
        fields = ("nodeName", "nodeUID", "podName", "podUID", "serviceAccountName", "serviceAccountUID")
        errors += [required(f"spec.{name}") for name in fields if not spec.get(name)]
        seconds = spec["maxExpirationSeconds"]
        if not _MINIMUM_SECONDS <= seconds <= _MAXIMUM_SECONDS:
            text = f"must be in the range [{_MINIMUM_SECONDS}, {_MAXIMUM_SECONDS}]"
            errors.append(invalid("spec.maxExpirationSeconds", seconds, text))
        request = spec.get("stubPKCS10Request") or ""
        if not _is_signed(request):
            errors.append(invalid("spec.stubPKCS10Request", request, "must be a PKCS#10 request signed by its own key"))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return [] if new.get("spec") == old.get("spec") else [invalid("spec", new.get("spec"), IMMUTABLE)]


def _bundle(text: str) -> str:
    """What is wrong with a bundle of trust anchors; empty: nothing."""
    if len(text) > _MAX_BUNDLE_BYTES:
        return f"must be no longer than {_MAX_BUNDLE_BYTES} bytes"
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return "at least one trust anchor must be provided, and nothing but PEM certificates"
    if text.count(_BEGIN) != len(found):
        return "entries must be of type CERTIFICATE"
    if len(set(found)) != len(found):
        return "contains duplicate trust anchors"
    return "" if all(_is_authority(each) for each in found) else "every certificate must have the CA bit set"


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _is_signed(request: str) -> bool:
    try:
        return x509.load_der_x509_csr(base64.b64decode(request)).is_signature_valid
    except Exception:  # what cryptography makes of bytes that are no request, or of a key that it does not know
        return False
