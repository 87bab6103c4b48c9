"""Certificates that the API issues to the node, and their renewal."""

import logging
from dataclasses import replace

from cryptography import x509
from prometheus_client import CollectorRegistry

from nodeagent.api.certificate_requests import CLIENT_SIGNER, SERVING_SIGNER, Wanted, fits, serving_names
from nodeagent.api.certificate_rotation import Rotation, end_when_expired
from nodeagent.api.certificate_store import CLIENT, SERVING, CertificateStore
from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster
from nodeagent.api.credentials import Anonymous, CertificateFiles
from nodeagent.api.errors import ApiError, Unavailable
from nodeagent.api.kubeconfig import Connection
from nodeagent.api.renewed_credentials import RenewedCredentials
from nodeagent.assembly.running import Scope
from nodeagent.folders import Folders
from nodeagent.metrics.certificates import of_client, of_serving

log = logging.getLogger(__name__)

CLIENT_CERTIFICATE, SERVING_CERTIFICATE = "client certificate", "serving certificate"


def renewable(connection: Connection, folders: Folders) -> Connection:
    """The connection that uses renewed client certificates as soon as they are there."""
    current = str(CertificateStore(folders.certificates, CLIENT).current)
    return replace(
        connection, credentials=RenewedCredentials(connection.credentials, CertificateFiles(current, current))
    )


async def keep_client_certificate(
    scope: Scope,
    connection: Connection,
    client: ApiClient,
    folders: Folders,
    node_name: str,
    registry: CollectorRegistry,
) -> None:
    """Renew it in time. `connection` is of `renewable`. An identity that is not this node's is its owner's to renew."""
    credentials = connection.credentials
    assert isinstance(credentials, RenewedCredentials)
    wanted = Wanted(signer=CLIENT_SIGNER, node_name=node_name)
    current = await credentials.in_use()
    if current is None or not fits(current, wanted):
        log.warning(
            "rotateCertificates: the kubeconfig has no client certificate of %s; it is not renewed", wanted.common_name
        )
        return
    store = CertificateStore(folders.certificates, CLIENT)
    metrics = of_client(credentials.last, registry)
    rotation = Rotation(CLIENT_CERTIFICATE, client, store, lambda: wanted, credentials.in_use, failed=metrics.failed)
    # what it has proves nothing once it has expired: whether the API is there is asked without
    stranger = await scope.stack.enter_async_context(ApiClient(replace(connection, credentials=Anonymous())))

    async def reachable() -> bool:
        try:
            await stranger.request("GET", "/healthz")
        except ApiError as error:
            return not isinstance(error, Unavailable)
        return True

    async def watch() -> None:
        await end_when_expired(credentials.in_use, reachable)

    scope.loop(rotation.run, CLIENT_CERTIFICATE)
    scope.loop(watch, "identity")


def keep_serving_certificate(
    scope: Scope,
    client: ApiClient,
    cluster: InformedCluster,
    folders: Folders,
    node_name: str,
    registry: CollectorRegistry,
) -> None:
    """Ask for it as soon as the Node has an address, renew it in time and when the addresses change."""
    store = CertificateStore(folders.certificates, SERVING)

    def wanted() -> Wanted | None:
        node = cluster.own_node()
        names = serving_names((node.status.addresses if node is not None and node.status is not None else None) or ())
        return Wanted(signer=SERVING_SIGNER, node_name=node_name, names=names) if names else None

    async def current() -> x509.Certificate | None:
        return store.certificate()

    metrics = of_serving(store.certificate, registry)
    rotation = Rotation(SERVING_CERTIFICATE, client, store, wanted, current, failed=metrics.failed)
    scope.loop(rotation.run, SERVING_CERTIFICATE)
