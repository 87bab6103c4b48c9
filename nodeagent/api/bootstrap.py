"""TLS bootstrap: with a bootstrap kubeconfig a node asks for its client certificate, and writes its own kubeconfig.

    key kept ──request──> waiting ──Approved, certificate──> kubelet-client-current.pem, kubeconfig
                             └──Denied, Failed──> BootstrapError

Source: docs/facts/api-client-and-server.md I.1.
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lightkube.models.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api import kubeconfig
from nodeagent.api.certificates import private_key_pem
from nodeagent.api.client import ApiClient
from nodeagent.api.credentials import CredentialsError
from nodeagent.api.errors import AlreadyExists, ApiError, Forbidden, NotFound
from nodeagent.api.wire import WatchEvent
from nodeagent.errors import AgentStartError
from runtimes.linux.files import replace_file
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
USAGES = ("digital signature", "client auth")
ORGANIZATION = "system:nodes"
WAIT_SECONDS = 3600.0
BACKOFF = RetryPolicy(first_seconds=1.0, factor=2.0, cap_seconds=30.0)
KEY_NAME = "kubelet-client.key.tmp"
CURRENT_NAME = "kubelet-client-current.pem"


class BootstrapError(AgentStartError):
    """No client certificate is to be had with the bootstrap kubeconfig."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """What is needed for it. `kubeconfig` is written at the end, `certificates` is where the key and the certificate are kept."""

    kubeconfig: Path
    bootstrap_kubeconfig: Path
    certificates: Path
    node_name: str


async def usable(path: Path, now: datetime) -> bool:
    """Whether a kubeconfig is there and its client certificate, if it has one, is in force."""
    try:
        certificate = await kubeconfig.load(path).credentials.certificate()
        if certificate is None:
            return True
        found = x509.load_pem_x509_certificate(certificate.certificate_pem)
    except (kubeconfig.KubeconfigError, CredentialsError, ValueError) as error:
        log.info("%s cannot be used: %s", path, error)
        return False
    return found.not_valid_before_utc <= now < found.not_valid_after_utc


async def bootstrap(wanted: Bootstrap, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Make the kubeconfig, unless there is one that can be used. Waits for the approval, at most an hour.

    Raises BootstrapError, KubeconfigError for the bootstrap kubeconfig.
    """
    if await usable(wanted.kubeconfig, datetime.now(UTC)):
        return
    connection = kubeconfig.load(wanted.bootstrap_kubeconfig)
    try:
        wanted.certificates.mkdir(mode=0o755, parents=True, exist_ok=True)
        key = _key(wanted.certificates / KEY_NAME)
        request = signing_request(key, wanted.node_name)
        async with ApiClient(connection, qps=5, burst=10) as client, asyncio.timeout(WAIT_SECONDS):
            log.info("asking for a client certificate: %s", request.metadata.name if request.metadata else "")
            certificate = await _issued(client, request, sleep)
        _keep(wanted, certificate, private_key_pem(key))
    except TimeoutError as error:
        raise BootstrapError("the client certificate was not approved and issued within an hour") from error
    except OSError as error:
        raise BootstrapError(f"cannot keep the client certificate: {error}") from error
    log.info("client certificate and %s are there", wanted.kubeconfig)


def signing_request(key: ec.EllipticCurvePrivateKey, node_name: str) -> CertificateSigningRequest:
    """For the node's own identity; its name follows from the key, so that who asks again finds what was asked for."""
    common_name = f"system:node:{node_name}"
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.new("sha512_256")
    for part in (public, common_name.encode(), ORGANIZATION.encode(), *(usage.encode() for usage in USAGES)):
        digest.update(_base64(part) + b"|")
    pem = request.public_bytes(serialization.Encoding.PEM)
    return CertificateSigningRequest(
        metadata=ObjectMeta(name=f"node-csr-{_base64(digest.digest()).decode()}"),
        spec=CertificateSigningRequestSpec(
            request=base64.b64encode(pem).decode(), signerName=SIGNER, usages=list(USAGES)
        ),
    )


def outcome(request: CertificateSigningRequest) -> bytes | None:
    """The certificate chain, PEM; None: not yet. Raises BootstrapError where there will be none."""
    status = request.status
    conditions = {each.type: each for each in (status.conditions if status is not None else None) or ()}
    for refusal in ("Denied", "Failed"):
        if refusal in conditions:
            each = conditions[refusal]
            raise BootstrapError(
                f"certificate signing request is {refusal.lower()}: {each.reason or 'no reason'}: {each.message or ''}"
            )
    if status is None or "Approved" not in conditions or not status.certificate:
        return None
    return base64.b64decode(status.certificate)


async def _issued(
    client: ApiClient, request: CertificateSigningRequest, sleep: Callable[[float], Awaitable[None]]
) -> bytes:
    """Asks, and waits; an API that cannot be reached is asked again. Raises BootstrapError."""
    backoff = Backoff(BACKOFF)
    name = request.metadata.name if request.metadata is not None and request.metadata.name else ""
    while True:
        try:
            with contextlib.suppress(AlreadyExists):
                await client.create(request)
            found = await client.get(CertificateSigningRequest, name)
            if found.spec.signerName != SIGNER:
                raise BootstrapError(f"certificate signing request {name} is somebody else's: {found.spec.signerName}")
            if (certificate := outcome(found)) is not None:
                return certificate
            version = (found.metadata.resourceVersion if found.metadata else None) or ""
            if (certificate := await _watched(client, name, version)) is not None:
                return certificate
            backoff = Backoff(BACKOFF)
        except Forbidden as error:
            raise BootstrapError(f"the bootstrap kubeconfig does not allow it: {error}") from error
        except NotFound:  # taken away unanswered: asked again
            pass
        except (ApiError, CredentialsError) as error:
            log.warning("the client certificate cannot be asked for: %s", error)
        await sleep(backoff.next_delay())


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


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The one of an earlier attempt, or a new one."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(found, ec.EllipticCurvePrivateKey):
            return found
    key = ec.generate_private_key(ec.SECP256R1())
    replace_file(path, private_key_pem(key))
    return key


def _keep(wanted: Bootstrap, certificate: bytes, key_pem: bytes) -> None:
    """The pair under the name of its time, the link to the current one, and the kubeconfig; then the key of before goes."""
    pair = wanted.certificates / f"kubelet-client-{datetime.now(UTC):%Y-%m-%d-%H-%M-%S}.pem"
    replace_file(pair, certificate.rstrip() + b"\n" + key_pem)
    current = wanted.certificates / CURRENT_NAME
    fresh = current.with_name(f".{CURRENT_NAME}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(pair)
    fresh.replace(current)
    wanted.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    replace_file(wanted.kubeconfig, written(wanted.bootstrap_kubeconfig, current).encode())
    (wanted.certificates / KEY_NAME).unlink(missing_ok=True)


def written(bootstrap_kubeconfig: Path, pair: Path) -> str:
    """The kubeconfig to the same cluster with the certificate of `pair` instead."""
    found = yaml.safe_load(bootstrap_kubeconfig.read_text(encoding="utf-8"))
    context = next(each["context"] for each in found["contexts"] if each["name"] == found["current-context"])
    cluster = next(each["cluster"] for each in found["clusters"] if each["name"] == context["cluster"])
    if authority := cluster.get("certificate-authority"):
        cluster["certificate-authority"] = str(bootstrap_kubeconfig.absolute().parent / authority)
    user = {"client-certificate": str(pair), "client-key": str(pair)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "default-cluster", "cluster": cluster}],
            "users": [{"name": "default-auth", "user": user}],
            "contexts": [
                {
                    "name": "default-context",
                    "context": {
                        "cluster": "default-cluster",
                        "namespace": context.get("namespace") or "default",
                        "user": "default-auth",
                    },
                }
            ],
            "current-context": "default-context",
        }
    )


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
