"""What the server and the kinds say to each other.

The server (this folder) owns storage, HTTP, patches and watches; `nodeagent.apiserver.kinds` owns what a kind means:
defaults, admission, validation, and the controllers a cluster needs around the objects. Resources are named by
`plural` for the core group and `plural.group` otherwise: `pods`, `leases.coordination.k8s.io`. Objects are plain
dicts as decoded from JSON; times in them are RFC 3339 strings.

`nodeagent.apiserver.kinds` provides:

- `hooks_for(resource: str) -> KindHooks`: never None; `KindHooks()` itself for kinds without rules;
- `controllers(api: LocalApi) -> dict[str, Controller]`: what starts each long-running loop, awaited for the life of the
  server; one that raises is logged and started again after a back-off;
- `protobuf.decode(data: bytes) -> JsonObject`: a `k8s\\0` frame (magic included) as the JSON object it stands for,
  `apiVersion` and `kind` filled in; raises `ApiError` (400 broken, 415 a kind it cannot read);
- `tokens.Tokens` satisfying `TokenAuthority` below, constructed by the server as
  `Tokens(signing_key_pem: bytes, issuer: str, audiences: Sequence[str])`.
"""

import ipaddress
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from runtimes.kube.field_errors import FieldError
from runtimes.kube.json_object import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """Who asks. `extra` as in TokenReview: each key with its list of values."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNetwork:
    """The addresses and ports of a cluster's Services.

    ``ranges``: one of a family, or one of each; the first is of the family that Services have by default.
    """

    ranges: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (ipaddress.IPv4Network("10.96.0.0/12"),)
    node_ports: range = range(30000, 32768)

    @property
    def families(self) -> tuple[str, ...]:
        """IPv4 and IPv6, in the order of `ranges`: the first is the default of Services. Raises nothing."""
        return tuple(f"IPv{one.version}" for one in self.ranges)

    @property
    def api_addresses(self) -> tuple[str, ...]:
        """Of the API's own Service: the first of each range."""
        return tuple(str(one[1]) for one in self.ranges)


class StoreReader(Protocol):
    """Reads of the newest state, writes in flight included. Plain functions: no await, so no state change between.

    Every object returned is a fresh copy that the caller may change. No function raises, but `list` for a `field_selector` that
    is none: `ApiError` 400.
    """

    def get(self, resource: str, namespace: str, name: str) -> JsonObject | None:
        """The object of that name; None: there is none. `namespace` is "" for cluster-scoped kinds."""
        ...

    def list(
        self, resource: str, namespace: str = "", *, labels: Mapping[str, str] | None = None, field_selector: str = ""
    ) -> list[JsonObject]:
        """All objects ("" = of every namespace) with all these labels and fields, ordered by namespace and name."""
        ...


class AdmissionContext(StoreReader, Protocol):
    """One write request, as its hooks see it. Raises as `StoreReader`."""

    @property
    def resource(self) -> str:
        """What is written: `pods`, `leases.coordination.k8s.io`."""
        ...

    @property
    def namespace(self) -> str:
        """Of the object; empty for cluster-scoped kinds."""
        ...

    @property
    def name(self) -> str:
        """ "" on a create with generateName, until a name is made (before the hooks run, so hooks always see one)."""
        ...

    @property
    def user(self) -> UserInfo:
        """Who asks, after impersonation."""
        ...

    @property
    def dry_run(self) -> bool:
        """Nothing will be stored, whatever the hooks do."""
        ...

    @property
    def now(self) -> datetime:
        """The time of the request, timezone-aware UTC."""
        ...

    @property
    def node_name(self) -> str:
        """The node this server was started for."""
        ...

    @property
    def service_network(self) -> ServiceNetwork:
        """The addresses and node ports of this cluster's Services."""
        ...

    def warn(self, text: str) -> None:
        """Send a `Warning: 299` header with the answer."""
        ...


class KindHooks:
    """The rules of one kind. All are plain functions and must not block: they run between the read and the write of one
    transaction. Called for every write, dry runs included, on copies; an exception leaves nothing behind. `prepare_…` raise
    `ApiError` to refuse; the others return what they find, and raise nothing.

    Order of a create: metadata filled (name, namespace, uid, creationTimestamp, generation), unknown fields dropped,
    `status` removed for kinds with a status subresource, `prepare_create`, generic metadata validation,
    `validate_create`, `warnings`. Of an update: patch applied, immutable metadata restored from `old`, the part that the
    request may not touch restored (status on the main resource, all but status and metadata on `status`),
    `prepare_update`, generic metadata validation, `validate_update`, `warnings`; then, if anything changed, generation (for
    kinds that count it) and resourceVersion move.
    """

    def defaults(self, obj: JsonObject) -> None:
        """Fill in what the author left out. Before it is known who owns what: defaults are the author's, what the hooks
        below add is nobody's. Idempotent."""

    def prepare_create(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        """Defaults and admission: change `obj` in place, or raise `ApiError`."""

    def validate_create(self, obj: JsonObject) -> list[FieldError]:
        """Every reason to refuse; empty when fine. Name syntax other than a DNS subdomain is checked here."""
        return []

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: AdmissionContext, subresource: str | None) -> None:
        """As `prepare_create`. `subresource`: None, `status`, `resize`, `ephemeralcontainers`, `binding`,
        `finalize`, `approval`."""

    def validate_update(self, new: JsonObject, old: JsonObject, subresource: str | None) -> list[FieldError]:
        """As `validate_create`, with what may not change from `old` to `new`."""
        return []

    def warnings(self, new: JsonObject, old: JsonObject | None, subresource: str | None) -> list[str]:
        """What a person should know about an object that is valid all the same: texts of `Warning` headers, in order.
        `old` is None for a create. Asked after validation."""
        return []

    def prepare_delete(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        """Before a delete of a stored object: raise `ApiError` to refuse. Changes to `obj` are kept when the object
        stays for now (finalizers or a grace period), e.g. phase Terminating of a namespace."""


class TokenAuthority(Protocol):
    """Makes and reads service-account tokens, and reads bootstrap tokens (docs/facts/api-client-and-server.md G, I.1).

    Functions raise nothing that they do not name.
    """

    def authenticate(self, token: str, audiences: Sequence[str], store: StoreReader) -> UserInfo | None:
        """The user of a good token meant for one of `audiences` (empty: the server's own); None for any other.

        Checks signature, times, and that the service account (and the bound pod, secret or node) still exists with its
        uid, in `store`; of a bootstrap token, that its Secret is there and allows it.
        """
        ...

    def token_audiences(self, token: str) -> tuple[str, ...]:
        """`aud` of a token that `authenticate` accepted, for TokenReview."""
        ...

    def request_token(self, namespace: str, name: str, request: JsonObject, ctx: AdmissionContext) -> JsonObject:
        """Answer of POST serviceaccounts/NAME/token: the TokenRequest with its status. Raises `ApiError` (404, 422…)."""
        ...

    def jwks(self) -> JsonObject:
        """The JSON Web Key Set of /openid/v1/jwks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """One change. `object` of a DELETED is the last state with the deletion's resourceVersion.

    `SYNCED` comes once after the ADDED of everything that existed when the watch began (its object is empty).
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "SYNCED"]
    object: JsonObject


class LocalApi(Protocol):
    """The API for controllers inside the server: same path as HTTP (defaults, admission, validation, conflicts), with
    user `system:apiserver` (group `system:masters`), answers after the commit. All raise `ApiError`."""

    @property
    def node_name(self) -> str:
        """The node this server was started for."""
        ...

    @property
    def service_network(self) -> ServiceNetwork:
        """The addresses and node ports of this cluster's Services."""
        ...

    @property
    def ca_pem(self) -> bytes:
        """Certificate of the CA that signs the server's and the clients' certificates (for kube-root-ca.crt)."""
        ...

    def sign_certificate(self, request_pem: bytes, *, usages: Sequence[str], lifetime_seconds: int) -> bytes:
        """Sign a PKCS#10 request with the cluster CA, subject and SANs as asked. Returns PEM.

        `usages` are those of CSR objects: `client auth`, `server auth`, `digital signature`,
        `key encipherment`. The caller has decided that the request may be granted.
        """
        ...

    async def get(self, resource: str, namespace: str, name: str) -> JsonObject:
        """The object of that name. Raises `ApiError` 404. `namespace` is "" for cluster-scoped kinds, here and below."""
        ...

    async def list(
        self, resource: str, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> list[JsonObject]:
        """All objects ("" = of every namespace) that both selectors choose, ordered by namespace and name. Raises `ApiError`
        400.
        """
        ...

    def watch(
        self, resource: str, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """ADDED for everything there is, SYNCED, then every change for as long as it is iterated. Raises `ApiError`
        410 when the reader fell too far behind: start again. Only committed state is seen."""
        ...

    async def create(self, resource: str, obj: JsonObject) -> JsonObject:
        """Namespace from `obj.metadata`. generateName works."""
        ...

    async def update(self, resource: str, obj: JsonObject, *, subresource: str | None = None) -> JsonObject:
        """Replace; with a resourceVersion in `obj` only if it is current (409 otherwise)."""
        ...

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: JsonObject | Sequence[JsonObject],
        *,
        subresource: str | None = None,
        patch_type: Literal["merge", "strategic", "json"] = "strategic",
    ) -> JsonObject:
        """Apply a patch and return the object. `patch`: operations for `json` (RFC 6902), else what is merged (RFC 7386,
        strategic merge patch). Raises `ApiError` 404, 409, 422.
        """
        ...

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> None:
        """`uid` is a precondition when set. NotFound is raised, as over HTTP."""
        ...

    async def bind(self, namespace: str, pod: str, node: str, *, uid: str = "") -> None:
        """POST pods/POD/binding."""
        ...
