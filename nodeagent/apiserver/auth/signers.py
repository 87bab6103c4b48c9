"""Who may decide on, and sign, certificate requests: verbs `approve` and `sign` on the signer, besides the right to write the
subresource (the admission plugins CertificateApproval and CertificateSigning)."""

from collections.abc import Callable

from nodeagent.apiserver.auth.attributes import Attributes, Decision
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.context import Context
from runtimes.kube.json_object import JsonObject

RESOURCE = "certificatesigningrequests.certificates.k8s.io"


class SignerRestriction:
    """Implements `objects.engine.Restriction`."""

    def __init__(self, authorize: Callable[[Attributes], Decision]) -> None:
        self._authorize = authorize

    def check(
        self, ctx: Context, operation: str, subresource: str | None, new: JsonObject | None, old: JsonObject | None
    ) -> None:
        if ctx.resource != RESOURCE or operation != "update" or new is None or old is None:
            return
        signer = str((old.get("spec") or {}).get("signerName") or "")
        match subresource:
            case "approval" if not self._may(ctx, "approve", signer):
                why = f'user not permitted to approve requests with signerName "{signer}"'
            case "status" if _decided(new) != _decided(old) and not self._may(ctx, "sign", signer):
                why = f'user not permitted to sign requests with signerName "{signer}"'
            case _:
                return
        raise ApiError.forbidden(ctx.resource, ctx.name, why)

    def _may(self, ctx: Context, verb: str, signer: str) -> bool:
        """For this signer, or for all of its domain."""
        domain = signer.partition("/")[0]
        return any(
            self._authorize(
                Attributes(user=ctx.user, verb=verb, group="certificates.k8s.io", resource="signers", name=name)
            ).allowed
            for name in (signer, f"{domain}/*")
        )


def _decided(request: JsonObject) -> tuple[object, object]:
    status = request.get("status") or {}
    return status.get("certificate") or "", status.get("conditions") or []
