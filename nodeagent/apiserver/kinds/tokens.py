"""Bearer tokens. Those of service accounts: issued on request, checked against what still exists (docs/facts/embedded-api.md 16).
Bootstrap tokens are read (`bootstrap_tokens`), and meant for this API alone."""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from nodeagent.apiserver.contract import AdmissionContext, StoreReader, UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import bootstrap_tokens
from nodeagent.apiserver.kinds.base import uid_of
from nodeagent.apiserver.kinds.jwt import BadToken, Signer
from nodeagent.apiserver.kinds.timestamps import epoch, rfc3339
from runtimes.kube.field_errors import FieldError, invalid
from runtimes.kube.json_object import JsonObject

DEFAULT_SECONDS = 3600
MINIMUM_SECONDS = 600
MAXIMUM_SECONDS = 2**32
# What the service account volume asks for: such a token lives on for a year, for clients that never reload it.
PROJECTED_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
# A pod that is being deleted may finish its work with its token.
DELETION_LEEWAY_SECONDS = 60
_PRIVATE = "kubernetes.io"
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class Tokens:
    """Implements `contract.TokenAuthority`."""

    def __init__(
        self,
        signing_key_pem: bytes,
        issuer: str,
        audiences: Sequence[str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._signer = Signer(signing_key_pem)
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._clock = clock

    def request_token(self, namespace: str, name: str, request: JsonObject, ctx: AdmissionContext) -> JsonObject:
        """Answer a TokenRequest. Raises ApiError: 404 no such account or object, 409 another uid, 422 a bad duration."""
        account = ctx.get("serviceaccounts", namespace, name)
        if account is None:
            raise ApiError.not_found("serviceaccounts", name)
        spec = request.setdefault("spec", {})
        audiences = list(spec.get("audiences") or self._audiences)
        seconds = int(spec.get("expirationSeconds") or DEFAULT_SECONDS)
        errors = _duration_errors(seconds)
        if errors:
            raise ApiError.invalid("TokenRequest", "authentication.k8s.io", "", errors)
        bound = self._bound(namespace, name, spec.get("boundObjectRef"), ctx)
        now = int(self._clock())
        private: JsonObject = {
            "namespace": namespace,
            **bound,
            "serviceaccount": {"name": name, "uid": uid_of(account)},
        }
        lifetime = seconds
        if seconds == PROJECTED_SECONDS and "pod" in bound and set(audiences) <= set(self._audiences):
            lifetime = EXTENDED_SECONDS
            private["warnafter"] = now + seconds
        claims = {
            "aud": audiences,
            "exp": now + lifetime,
            "iat": now,
            "iss": self._issuer,
            "jti": str(uuid.uuid4()),
            _PRIVATE: private,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return self._answer(request, account, claims, audiences, seconds)

    def authenticate(self, token: str, audiences: Sequence[str], store: StoreReader) -> UserInfo | None:
        """The user of a good token; None for any other."""
        wanted = set(audiences or self._audiences)
        if bootstrap_tokens.has_shape(token):
            return bootstrap_tokens.user_of(token, store, self._clock()) if wanted & set(self._audiences) else None
        try:
            claims = self._signer.verify(token)
        except BadToken:
            return None
        if claims.get("iss") != self._issuer or not wanted & set(_audiences_of(claims)):
            return None
        now = self._clock()
        if not _number(claims.get("nbf")) <= now < _number(claims.get("exp")):
            return None
        private = claims.get(_PRIVATE)
        if not isinstance(private, dict):
            return None
        return self._user(claims, private, store)

    def token_audiences(self, token: str) -> tuple[str, ...]:
        if bootstrap_tokens.has_shape(token):
            return self._audiences
        try:
            return _audiences_of(self._signer.verify(token))
        except BadToken:
            return ()

    def jwks(self) -> JsonObject:
        return {"keys": [self._signer.jwk()]}

    def _bound(self, namespace: str, account: str, reference: Any, ctx: AdmissionContext) -> JsonObject:
        """The claims about the object that the token dies with."""
        if not reference:
            return {}
        kind, name, uid = reference.get("kind") or "", reference.get("name") or "", reference.get("uid") or ""
        resource = _BINDABLE.get(kind)
        if resource is None or reference.get("apiVersion", "v1") != "v1":
            raise ApiError.bad_request(
                f"cannot bind token to object of type {reference.get('apiVersion', '')}, Kind={kind}"
            )
        found = ctx.get(resource, "" if kind == "Node" else namespace, name)
        if found is None:
            raise ApiError.not_found(resource, name)
        if uid and uid != uid_of(found):
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise ApiError.conflict(resource, name, why)
        claims: JsonObject = {kind.lower(): {"name": name, "uid": uid_of(found)}}
        if kind == "Pod":
            pod_spec = found.get("spec") or {}
            if pod_spec.get("serviceAccountName") != account:
                why = f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
                raise ApiError.bad_request(why)
            node_name = pod_spec.get("nodeName")
            if node_name:
                node = ctx.get("nodes", "", node_name)
                claims["node"] = {"name": node_name, **({"uid": uid_of(node)} if node else {})}
        return claims

    def _answer(
        self, request: JsonObject, account: JsonObject, claims: JsonObject, audiences: list[str], seconds: int
    ) -> JsonObject:
        spec: JsonObject = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": None}
        if request["spec"].get("boundObjectRef"):
            spec["boundObjectRef"] = request["spec"]["boundObjectRef"]
        metadata = account["metadata"]
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "creationTimestamp": rfc3339(claims["iat"]),
            },
            "spec": spec,
            "status": {"token": self._signer.sign(claims), "expirationTimestamp": rfc3339(claims["iat"] + seconds)},
        }

    def _user(self, claims: JsonObject, private: JsonObject, store: StoreReader) -> UserInfo | None:
        namespace = str(private.get("namespace") or "")
        account = private.get("serviceaccount") or {}
        name, uid = str(account.get("name") or ""), str(account.get("uid") or "")
        if claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            return None
        found = store.get("serviceaccounts", namespace, name)
        if found is None or uid_of(found) != uid:
            return None
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.get('jti', '')}",)}
        for kind, resource in _BINDABLE.items():
            bound = private.get(kind.lower())
            if bound is None:
                continue
            # A pod's token names its node for information; only a token bound to the node itself dies with it.
            must_exist = kind != "Node" or "pod" not in private
            if must_exist and not self._alive(store, resource, "" if kind == "Node" else namespace, bound):
                return None
            if kind in ("Pod", "Node"):
                prefix = f"authentication.kubernetes.io/{kind.lower()}"
                extra[f"{prefix}-name"] = (str(bound.get("name", "")),)
                extra[f"{prefix}-uid"] = (str(bound.get("uid", "")),)
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return UserInfo(name=str(claims["sub"]), uid=uid, groups=groups, extra=extra)

    def _alive(self, store: StoreReader, resource: str, namespace: str, bound: JsonObject) -> bool:
        found = store.get(resource, namespace, str(bound.get("name") or ""))
        if found is None or uid_of(found) != bound.get("uid"):
            return False
        deletion = found["metadata"].get("deletionTimestamp")
        return not deletion or epoch(deletion) + DELETION_LEEWAY_SECONDS > self._clock()


def _duration_errors(seconds: int) -> list[FieldError]:
    if seconds < MINIMUM_SECONDS:
        return [invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MAXIMUM_SECONDS:
        return [invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


def _audiences_of(claims: JsonObject) -> tuple[str, ...]:
    audience = claims.get("aud")
    return tuple(audience) if isinstance(audience, list) else (str(audience),)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
