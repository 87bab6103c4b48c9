"""Certificate requests: those of nodes are approved, those that are approved are signed.

There is no controller manager beside this API. Client certificates are approved as upstream's approver does where kubeadm has
set it up: a node's for itself, and any node's by who may bootstrap nodes. Serving certificates wait for a person (`kubectl
certificate approve`), as upstream; but not those of the server's own node for names and addresses that are its own, never for
a name of the API inside the cluster, or the loopback.
"""

import base64
import ipaddress
import logging
import time
from collections.abc import Collection

from cryptography import x509

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of
from nodeagent.apiserver.kinds.bootstrap_tokens import KUBEADM_GROUP
from nodeagent.apiserver.kinds.controllers.follow import Watch, follow, forever
from nodeagent.apiserver.kinds.signers import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    MASTERS_GROUP,
    NODES_GROUP,
    SIGNERS,
    alternative_names,
    common_names,
    objection,
)
from nodeagent.apiserver.kinds.timestamps import rfc3339
from runtimes.kube.json_object import JsonObject

__all__ = ["CLIENT", "KUBELET_CLIENT", "KUBELET_SERVING", "RESOURCE", "CertificateController", "approval"]

log = logging.getLogger(__name__)

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
LIFETIME_SECONDS = 365 * 24 * 3600
_SERVICE_NAMES = ("localhost", "kubernetes")
_BOOTSTRAPPERS = frozenset({MASTERS_GROUP, KUBEADM_GROUP})


class CertificateController:
    def __init__(self, api: LocalApi) -> None:
        self._api = api

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        async with follow(self._api, [Watch(resource=RESOURCE)]) as feed:
            while True:
                for change in await feed.batch():
                    if change.type in ("ADDED", "MODIFIED"):
                        await self._handle(change.object)

    async def _handle(self, request: JsonObject) -> None:
        status = request.get("status") or {}
        decided = {item.get("type") for item in status.get("conditions") or ()}
        try:
            if not decided:
                if why := approval(request, self._api.node_name, await self._own_names()):
                    await self._approve(request, why)
            elif "Approved" in decided and not decided & {"Denied", "Failed"} and not status.get("certificate"):
                await self._sign(request)
        except ApiError as error:
            # Decided by somebody else, or gone: the watch tells.
            if error.code not in (404, 409):
                raise

    async def _own_names(self) -> frozenset[str]:
        """The names and addresses of the node, as its Node says."""
        try:
            node = await self._api.get("nodes", "", self._api.node_name)
        except ApiError as error:
            if error.code != 404:
                raise
            return frozenset({self._api.node_name})
        addresses = (node.get("status") or {}).get("addresses") or ()
        return frozenset({self._api.node_name, *(str(item.get("address") or "") for item in addresses)})

    async def _approve(self, request: JsonObject, why: str) -> None:
        request["status"] = {
            **(request.get("status") or {}),
            "conditions": [_condition("Approved", "AutoApproved", why)],
        }
        await self._api.update(RESOURCE, request, subresource="approval")

    async def _sign(self, request: JsonObject) -> None:
        spec = request["spec"]
        if spec.get("signerName") not in SIGNERS:
            return
        seconds = min(int(spec.get("expirationSeconds") or LIFETIME_SECONDS), LIFETIME_SECONDS)
        usages = spec.get("usages") or []
        try:
            pem = base64.b64decode(spec["request"])
            why = objection(spec["signerName"], x509.load_pem_x509_csr(pem), usages)
            certificate = b"" if why else self._api.sign_certificate(pem, usages=usages, lifetime_seconds=seconds)
        except ValueError as error:
            why = str(error)
        if why:
            log.warning("certificate request %s cannot be signed: %s", name_of(request), why)
            conditions = (request.get("status") or {}).get("conditions") or []
            failed = _condition("Failed", "SignerValidationFailure", why)
            status: JsonObject = {"conditions": [*conditions, failed]}
        else:
            status = {"certificate": base64.b64encode(certificate).decode("ascii")}
        await self._api.patch(
            RESOURCE, "", name_of(request), {"status": status}, subresource="status", patch_type="merge"
        )


def _condition(kind: str, reason: str, message: str) -> JsonObject:
    moment = rfc3339(time.time())
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
    }


def approval(request: JsonObject, node_name: str, own_names: Collection[str]) -> str:
    """Why a request needs no person to decide on it; empty: it does.

    `own_names`: DNS names and addresses that a serving certificate of `node_name`, the server's own node, may be for.
    """
    spec = request.get("spec") or {}
    signer, user, groups = str(spec.get("signerName")), str(spec.get("username")), set(spec.get("groups") or ())
    if signer not in (KUBELET_CLIENT, KUBELET_SERVING):
        return ""
    try:
        asked = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
        if not asked.is_signature_valid or objection(signer, asked, spec.get("usages") or ()):
            return ""
        names = alternative_names(asked)
    except ValueError:
        return ""
    itself = common_names(asked) == [user] and NODES_GROUP in groups
    if signer == KUBELET_CLIENT:
        if itself:
            return "Auto approving self kubelet client certificate after SubjectAccessReview."
        return "Auto approving kubelet client certificate after SubjectAccessReview." if groups & _BOOTSTRAPPERS else ""
    of_own_node = common_names(asked) == [f"system:node:{node_name}"] and (itself or MASTERS_GROUP in groups)
    good = of_own_node and all(_is_own(name, own_names) for name in names)
    return "Auto approving kubelet serving certificate of this server's own node." if good else ""


def _is_own(name: x509.GeneralName, own_names: Collection[str]) -> bool:
    """The node writes its own addresses: one that is everybody's, or the API's, is not its to claim."""
    if isinstance(name, x509.DNSName):
        lower = name.value.lower()
        return lower.split(".")[0] not in _SERVICE_NAMES and lower in {own.lower() for own in own_names}
    address = name.value
    if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    return str(address) in own_names
