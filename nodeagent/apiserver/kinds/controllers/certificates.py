"""Certificate requests: those of the server's own node are approved and signed, those that an admin approves are signed."""

import base64
import logging
import time
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from nodeagent.apiserver.contract import LocalApi, Object
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of
from nodeagent.apiserver.kinds.controllers.follow import Watch, follow, forever
from nodeagent.apiserver.kinds.timestamps import rfc3339

log = logging.getLogger(__name__)

RESOURCE: Final = "certificatesigningrequests.certificates.k8s.io"
CLIENT: Final = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
SIGNERS: Final = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING)
NODES_GROUP: Final = "system:nodes"
MASTERS_GROUP: Final = "system:masters"
LIFETIME_SECONDS: Final = 365 * 24 * 3600
_USAGES: Final = {
    KUBELET_CLIENT: frozenset({"digital signature", "key encipherment", "client auth"}),
    KUBELET_SERVING: frozenset({"digital signature", "key encipherment", "server auth"}),
}
_NEEDED_USAGE: Final = {KUBELET_CLIENT: "client auth", KUBELET_SERVING: "server auth"}


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

    async def _handle(self, request: Object) -> None:
        status = request.get("status") or {}
        decided = {item.get("type") for item in status.get("conditions") or ()}
        try:
            if not decided and should_approve(request, self._api.node_name):
                await self._approve(request)
            elif "Approved" in decided and not decided & {"Denied", "Failed"} and not status.get("certificate"):
                await self._sign(request)
        except ApiError as error:
            # Decided by somebody else, or gone: the watch tells.
            if error.code not in (404, 409):
                raise

    async def _approve(self, request: Object) -> None:
        moment = rfc3339(time.time())
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": "Auto approving kubelet certificate of this server's own node.",
            "lastUpdateTime": moment,
            "lastTransitionTime": moment,
        }
        request["status"] = {**(request.get("status") or {}), "conditions": [condition]}
        await self._api.update(RESOURCE, request, subresource="approval")

    async def _sign(self, request: Object) -> None:
        spec = request["spec"]
        if spec.get("signerName") not in SIGNERS:
            return
        pem = base64.b64decode(spec["request"])
        seconds = min(int(spec.get("expirationSeconds") or LIFETIME_SECONDS), LIFETIME_SECONDS)
        try:
            certificate = self._api.sign_certificate(pem, usages=spec.get("usages") or [], lifetime_seconds=seconds)
        except ValueError as error:
            log.warning("certificate request %s cannot be signed: %s", name_of(request), error)
            return
        patch = {"status": {"certificate": base64.b64encode(certificate).decode("ascii")}}
        await self._api.patch(RESOURCE, "", name_of(request), patch, subresource="status", patch_type="merge")


def should_approve(request: Object, node_name: str) -> bool:
    """Whether a request is a kubelet certificate of `node_name`, asked for by the node itself or by an admin."""
    spec = request.get("spec") or {}
    signer, usages = spec.get("signerName"), set(spec.get("usages") or ())
    if signer not in _USAGES or not usages <= _USAGES[signer] or _NEEDED_USAGE[signer] not in usages:
        return False
    user = f"system:node:{node_name}"
    if spec.get("username") != user and MASTERS_GROUP not in (spec.get("groups") or ()):
        return False
    try:
        asked = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
    except ValueError:
        return False
    return asked.is_signature_valid and _is_node(asked, user) and _fitting_names(asked, str(signer))


def _is_node(asked: x509.CertificateSigningRequest, user: str) -> bool:
    names = [item.value for item in asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [item.value for item in asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return names == [user] and groups == [NODES_GROUP]


def _fitting_names(asked: x509.CertificateSigningRequest, signer: str) -> bool:
    """A client certificate has no alternative names; a serving one has at least one, DNS names and addresses only."""
    try:
        names = list(asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    if signer == KUBELET_CLIENT:
        return not names
    return bool(names) and all(isinstance(name, x509.DNSName | x509.IPAddress) for name in names)
