"""TLS bootstrap: with a bootstrap kubeconfig a node asks for its client certificate, and writes its own kubeconfig.

The key is kept until then, so that an agent that starts again finds its request. Source: docs/facts/api-client-and-server.md I.1.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nodeagent.api import kubeconfig
from nodeagent.api.certificate_requests import CLIENT_SIGNER, NotIssued, Wanted, issued, signing_request
from nodeagent.api.certificate_store import CLIENT, CertificateStore
from nodeagent.api.certificates import private_key_pem
from nodeagent.api.client import ApiClient
from nodeagent.api.credentials import CredentialsError
from nodeagent.api.errors import Forbidden
from nodeagent.errors import AgentStartError
from runtimes.linux.files import replace_file

log = logging.getLogger(__name__)

WAIT_SECONDS = 3600.0
KEY_NAME = "kubelet-client.key.tmp"


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
    store = CertificateStore(wanted.certificates, CLIENT)
    try:
        wanted.certificates.mkdir(mode=0o755, parents=True, exist_ok=True)
        key = _key(wanted.certificates / KEY_NAME)
        request = signing_request(Wanted(signer=CLIENT_SIGNER, node_name=wanted.node_name), key, named=True)
        async with ApiClient(connection, qps=5, burst=10) as client, asyncio.timeout(WAIT_SECONDS):
            log.info("asking for a client certificate: %s", request.metadata.name if request.metadata else "")
            certificate = await issued(client, request, sleep=sleep)
        store.keep(certificate, private_key_pem(key), datetime.now(UTC))
        wanted.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        replace_file(wanted.kubeconfig, written(wanted.bootstrap_kubeconfig, store.current).encode())
        (wanted.certificates / KEY_NAME).unlink(missing_ok=True)
    except TimeoutError as error:
        raise BootstrapError("the client certificate was not approved and issued within an hour") from error
    except Forbidden as error:
        raise BootstrapError(f"the bootstrap kubeconfig does not allow it: {error}") from error
    except NotIssued as error:
        raise BootstrapError(str(error)) from error
    except (OSError, ValueError) as error:
        raise BootstrapError(f"cannot keep the client certificate: {error}") from error
    log.info("client certificate and %s are there", wanted.kubeconfig)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The one of an earlier attempt, or a new one."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(found, ec.EllipticCurvePrivateKey):
            return found
    key = ec.generate_private_key(ec.SECP256R1())
    replace_file(path, private_key_pem(key))
    return key


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
