"""Certificates by CertificateSigningRequest: what a node asks of its two signers, and the wait for the answer.

    asked for ──> waiting ──Approved, certificate──> issued
                     └──Denied, Failed──> NotIssued

Source: docs/facts/api-client-and-server.md I.1.
"""

import asyncio
import base64
import contextlib
import hashlib
import ipaddress
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lightkube.models.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from lightkube.models.core_v1 import NodeAddress
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.certificates import common_names, public_der, subject_names
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import AlreadyExists, ApiError, Forbidden, NotFound
from nodeagent.api.wire import WatchEvent
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
USAGES = {
    CLIENT_SIGNER: ("digital signature", "client auth"),
    SERVING_SIGNER: ("digital signature", "server auth"),
}
ORGANIZATION = "system:nodes"
BACKOFF = RetryPolicy(first_seconds=1.0, factor=2.0, cap_seconds=30.0)
_HOST_TYPES = frozenset({"Hostname", "InternalDNS", "ExternalDNS"})
_IP_TYPES = frozenset({"InternalIP", "ExternalIP"})


class NotIssued(Exception):
    """There will be no certificate for this request; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A certificate of the node's identity. `names`: DNS names and IPs that a serving one is for."""

    signer: str
    node_name: str
    names: frozenset[str] = frozenset()

    @property
    def common_name(self) -> str:
        return f"system:node:{self.node_name}"


def serving_names(addresses: Iterable[NodeAddress]) -> frozenset[str]:
    """What a serving certificate is for; none while the node has no IP: no request is made then."""
    found = [each for each in addresses if each.type in _HOST_TYPES | _IP_TYPES]
    if not any(each.type in _IP_TYPES for each in found):
        return frozenset()
    return frozenset(each.address for each in found)


def fits(certificate: x509.Certificate, wanted: Wanted) -> bool:
    """Whether it is this node's, and for all the names."""
    return common_names(certificate) == [wanted.common_name] and set(map(_name, wanted.names)) <= _names_of(certificate)


def signing_request(wanted: Wanted, key: ec.EllipticCurvePrivateKey, *, named: bool) -> CertificateSigningRequest:
    """`named`: the name follows from the key, so that who asks again finds what was asked for; else the API makes one."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if wanted.names:
        names = x509.SubjectAlternativeName(subject_names(sorted(wanted.names)))
        builder = builder.add_extension(names, critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    usages = USAGES[wanted.signer]
    metadata = ObjectMeta(name=_name_by(key, wanted, usages)) if named else ObjectMeta(generateName="csr-")
    return CertificateSigningRequest(
        metadata=metadata,
        spec=CertificateSigningRequestSpec(
            request=base64.b64encode(pem).decode(), signerName=wanted.signer, usages=list(usages)
        ),
    )


def outcome(request: CertificateSigningRequest) -> bytes | None:
    """The certificate chain, PEM; None: not yet. Raises NotIssued where there will be none."""
    status = request.status
    conditions = {each.type: each for each in (status.conditions if status is not None else None) or ()}
    for refusal in ("Denied", "Failed"):
        if refusal in conditions:
            each = conditions[refusal]
            raise NotIssued(
                f"certificate signing request is {refusal.lower()}: {each.reason or 'no reason'}: {each.message or ''}"
            )
    if status is None or "Approved" not in conditions or not status.certificate:
        return None
    return base64.b64decode(status.certificate)


async def issued(
    client: ApiClient, request: CertificateSigningRequest, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> bytes:
    """Ask, and wait as long as it takes; an API that cannot be reached is asked again. Raises NotIssued, Forbidden."""
    backoff = Backoff(BACKOFF)
    name, told = "", False
    while True:
        try:
            found = await (client.get(CertificateSigningRequest, name) if name else _asked(client, request))
            if (certificate := outcome(found)) is not None:
                return certificate
            name, version = _identity(found)
            if not told:
                log.info("certificate signing request %s waits for its approval", name)
                told = True
            if (certificate := await _watched(client, name, version)) is not None:
                return certificate
            backoff = Backoff(BACKOFF)
        except Forbidden:
            raise
        except NotFound:  # taken away unanswered: asked again
            name = ""
        except ApiError as error:
            log.warning("a certificate cannot be asked for: %s", error)
        await sleep(backoff.next_delay())


async def _asked(client: ApiClient, request: CertificateSigningRequest) -> CertificateSigningRequest:
    """The request as it is in the API: made, or of an earlier attempt. Raises NotIssued for somebody else's of that name."""
    try:
        return await client.create(request)
    except AlreadyExists:
        name, _ = _identity(request)
        if not name:  # a name that the API made was taken: another one will do
            raise
    found = await client.get(CertificateSigningRequest, name)
    if found.spec.signerName != request.spec.signerName or _public(found) != _public(request):
        raise NotIssued(f"certificate signing request {name} is somebody else's: of another key or signer")
    return found


async def _watched(client: ApiClient, name: str, version: str) -> bytes | None:
    """The certificate, if it comes before the watch ends."""
    events = cast(
        "AsyncGenerator[WatchEvent[CertificateSigningRequest]]",
        client.watch(CertificateSigningRequest, field_selector=f"metadata.name={name}", resource_version=version),
    )
    async with contextlib.aclosing(events):
        async for event in events:
            if event.object is not None and (certificate := outcome(event.object)) is not None:
                return certificate
    return None


def _identity(request: CertificateSigningRequest) -> tuple[str, str]:
    """Name and version, empty where there are none."""
    metadata = request.metadata or ObjectMeta()
    return metadata.name or "", metadata.resourceVersion or ""


def _public(request: CertificateSigningRequest) -> bytes:
    """The key that is asked for; empty: the request cannot be read."""
    try:
        return public_der(x509.load_pem_x509_csr(base64.b64decode(request.spec.request or "")).public_key())
    except ValueError:
        return b""


def _name_by(key: ec.EllipticCurvePrivateKey, wanted: Wanted, usages: Iterable[str]) -> str:
    public = public_der(key.public_key())
    digest = hashlib.new("sha512_256")
    for part in (public, wanted.common_name.encode(), ORGANIZATION.encode(), *(usage.encode() for usage in usages)):
        digest.update(_base64(part) + b"|")
    return f"node-csr-{_base64(digest.digest()).decode()}"


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _names_of(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set()
    return {_name(str(each.value)) for each in found}


def _name(text: str) -> str:
    """In the one form in which names are compared."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower()
