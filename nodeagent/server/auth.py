"""Who is asking, and may they: client certificates, bearer tokens, access reviews (docs/facts/api-client-and-server.md J.2)."""

import asyncio
import hashlib
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from aiohttp import web

from nodeagent.api.errors import ApiError, Fault, Unavailable
from nodeagent.api.outage import Outage
from nodeagent.api.wire import decode_any
from runtimes.linux.retry import Backoff, RetryPolicy

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# path -> subresources of `nodes` that allow it, tried in order
_SUBRESOURCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("/stats", ("stats",)),
    ("/metrics", ("metrics",)),
    ("/logs", ("log",)),
    ("/checkpoint", ("checkpoint",)),
    ("/statusz", ("statusz",)),
    ("/flagz", ("configz",)),
    ("/pods", ("pods", "proxy")),
    ("/runningpods", ("pods", "proxy")),
    ("/healthz", ("healthz", "proxy")),
    ("/configz", ("configz", "proxy")),
)
_MAX_CACHED = 4096
AUTHENTICATED = "system:authenticated"
# of a review (docs/facts/api-client-and-server.md J.2)
_RETRY, _ATTEMPTS = RetryPolicy(first_seconds=0.5, factor=1.5, jitter=0.2), 5


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Reviews(Protocol):
    """The API's part: reviews of tokens and of access."""

    async def request(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> bytes: ...


class Denied(Exception):
    """The request is refused; `status` and the plain text body say how."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Guard:
    """Authenticates and authorizes every request of the HTTPS endpoint. Nobody gets in without a name.

    `reviews` None: no API to ask; then only client certificates count, and only with mode AlwaysAllow. `anonymous`: whoever
    shows nothing is `system:anonymous`, which authorization still judges.
    """

    def __init__(
        self,
        reviews: Reviews | None,
        *,
        node_name: str,
        always_allow: bool,
        webhook_authentication: bool = True,
        token_seconds: float = 120.0,
        allowed_seconds: float = 300.0,
        denied_seconds: float = 30.0,
        anonymous: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._reviews = reviews
        self._node_name = node_name
        self._always_allow = always_allow
        self._webhook_authentication = webhook_authentication
        self._token_seconds = token_seconds
        self._allowed_seconds = allowed_seconds
        self._denied_seconds = denied_seconds
        self._anonymous = User(name="system:anonymous", groups=("system:unauthenticated",)) if anonymous else None
        self._sleep = sleep
        self._tokens: dict[str, tuple[float, User | None]] = {}
        self._access: dict[tuple[object, ...], tuple[float, bool]] = {}
        self._asking = Outage("asking the API who may use the node's endpoint")

    async def check(self, request: web.BaseRequest) -> User:
        """The user that the request comes from, if it may. Raises Denied."""
        user = _certificate_user(request) or await self._token_user(request)
        if user is None and not request.headers.get("Authorization"):
            user = self._anonymous  # a bad token is refused, not forgotten
        if user is None:
            raise Denied(401, "Unauthorized")
        if self._always_allow:
            return user
        verb = _VERBS.get(request.method, "")
        subresources = subresources_of(request.path)
        for subresource in subresources:
            if await self._may(user, verb, subresource):
                return user
        shown = " ".join(subresources)
        raise Denied(403, f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{shown}])\n")

    async def _token_user(self, request: web.BaseRequest) -> User | None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token or self._reviews is None or not self._webhook_authentication:
            return None
        key = hashlib.sha256(token.encode()).hexdigest()  # the token itself is not kept
        now = time.monotonic()
        known = self._tokens.get(key)
        if known is not None and known[0] > now:
            return known[1]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            answer = await self._review("/apis/authentication.k8s.io/v1/tokenreviews", body)
        except ApiError as error:
            self._asking.failed(f"review of a token: {error}")
            raise Denied(401, "Unauthorized") from error
        self._asking.works()
        found = _user_of(answer)
        _remember(self._tokens, key, (now + self._token_seconds, found))
        return found

    async def _may(self, user: User, verb: str, subresource: str) -> bool:
        extra = {key: list(values) for key, values in user.extra.items()}
        key = (user.name, user.uid, user.groups, str(sorted(extra.items())), verb, subresource)
        now = time.monotonic()
        known = self._access.get(key)
        if known is not None and known[0] > now:
            return known[1]
        attributes = {
            "verb": verb,
            "version": "v1",
            "resource": "nodes",
            "subresource": subresource,
            "name": self._node_name,
        }
        spec: dict[str, Any] = {"user": user.name, "groups": list(user.groups), "uid": user.uid, "extra": extra}
        spec["resourceAttributes"] = attributes
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        text = f"(user={user.name}, verb={verb}, resource=nodes, subresource={subresource})"
        if self._reviews is None:
            raise Denied(500, f"Authorization error {text}")
        try:
            answer = await self._review("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        except ApiError as error:
            self._asking.failed(f"review of access: {error}")
            raise Denied(500, f"Authorization error {text}") from error
        self._asking.works()
        allowed = bool(answer.get("status", {}).get("allowed"))
        seconds = self._allowed_seconds if allowed else self._denied_seconds
        _remember(self._access, key, (now + seconds, allowed))
        return allowed

    async def _review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Asks again when the API cannot answer right now. Raises ApiError."""
        assert self._reviews is not None
        backoff = Backoff(_RETRY)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = await self._reviews.request("POST", path, msgspec.json.encode(body))
                break
            except ApiError as error:
                passing = isinstance(error, Unavailable) or error.status == 429 or error.status >= 500
                if attempt == _ATTEMPTS or not passing:
                    raise
            await self._sleep(backoff.next_delay())
        review = decode_any(answer)
        if not isinstance(review.get("status"), dict):
            raise Unavailable("the answer to a review has no status", Fault.MALFORMED)
        return review


def subresources_of(path: str) -> tuple[str, ...]:
    for prefix, subresources in _SUBRESOURCES:
        if path == prefix or path.startswith(f"{prefix}/"):
            return subresources
    return ("proxy",)


def _certificate_user(request: web.BaseRequest) -> User | None:
    """The subject of a client certificate that the TLS layer has verified: CN the name, O the groups."""
    tls = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        return None
    subject: Any = (tls.getpeercert() or {}).get("subject", ())
    pairs: list[tuple[str, str]] = [pair for part in subject for pair in part]
    name = next((value for key, value in pairs if key == "commonName"), "")
    if not name:
        return None
    return User(name=name, groups=(*(value for key, value in pairs if key == "organizationName"), AUTHENTICATED))


def _user_of(review: dict[str, Any]) -> User | None:
    status = review.get("status") or {}
    if not status.get("authenticated"):
        return None
    user = status.get("user")
    if not isinstance(user, dict):
        return None
    groups = tuple(dict.fromkeys([*(user.get("groups") or ()), AUTHENTICATED]))
    return User(
        name=user.get("username") or "", groups=groups, uid=user.get("uid") or "", extra=user.get("extra") or {}
    )


def _remember(cache: dict[Any, Any], key: object, value: object) -> None:
    """The oldest goes first: a flood of unknown clients must not grow the agent."""
    if len(cache) >= _MAX_CACHED:
        cache.pop(next(iter(cache)))
    cache[key] = value
