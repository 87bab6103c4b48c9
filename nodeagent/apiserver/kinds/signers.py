"""What each built-in signer puts its name to: subject, alternative names and usages, as upstream's signers do."""

from collections.abc import Collection, Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING)
NODES_GROUP = "system:nodes"
MASTERS_GROUP = "system:masters"
_NODE_PREFIX = "system:node:"
_COMMON = frozenset({"digital signature", "key encipherment"})
_KINDS = (
    (x509.RFC822Name, "Email"),
    (x509.UniformResourceIdentifier, "URI"),
    (x509.DNSName, "DNS"),
    (x509.IPAddress, "IP"),
)


def objection(signer: str, asked: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    """Why `signer` (one of `SIGNERS`) does not sign this; "" if it does."""
    if signer == CLIENT:
        return _client_usages(usages)
    main = "server auth" if signer == KUBELET_SERVING else "client auth"
    return _organizations(asked) or _names(signer, asked) or _node_name(asked) or _node_usages(usages, main)


def organizations(asked: x509.CertificateSigningRequest) -> list[str]:
    return _values(asked, NameOID.ORGANIZATION_NAME)


def common_names(asked: x509.CertificateSigningRequest) -> list[str]:
    return _values(asked, NameOID.COMMON_NAME)


def alternative_names(asked: x509.CertificateSigningRequest) -> Sequence[x509.GeneralName]:
    """Raises `ValueError` for an extension that cannot be read."""
    try:
        return list(asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _values(asked: x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(item.value) for item in asked.subject.get_attributes_for_oid(oid)]


def _client_usages(usages: Iterable[str]) -> str:
    for usage in usages:
        if usage not in _COMMON and usage != "client auth":
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _organizations(asked: x509.CertificateSigningRequest) -> str:
    return "" if organizations(asked) == [NODES_GROUP] else f"subject organization is not {NODES_GROUP}"


def _node_name(asked: x509.CertificateSigningRequest) -> str:
    names = common_names(asked)
    good = len(names) == 1 and names[0].startswith(_NODE_PREFIX)
    return "" if good else f"subject common name does not begin with {_NODE_PREFIX}"


def _names(signer: str, asked: x509.CertificateSigningRequest) -> str:
    """A serving certificate is for hosts and addresses, and for one of them at least; a client's has no such names."""
    found = alternative_names(asked)
    serving = signer == KUBELET_SERVING
    welcome = (x509.DNSName, x509.IPAddress) if serving else ()
    if serving and not any(isinstance(name, welcome) for name in found):
        return "DNS or IP subjectAltName is required"
    for name in found:
        if not isinstance(name, welcome):
            kind = next((text for found_as, text in _KINDS if isinstance(name, found_as)), "other")
            return f"{kind} subjectAltNames are not allowed"
    return ""


def _node_usages(usages: Collection[str], main: str) -> str:
    if set(usages) in ({"digital signature", main}, {*_COMMON, main}):
        return ""
    return f"usages did not match [{' '.join(sorted({*_COMMON, main}))}]"
