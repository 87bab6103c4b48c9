"""Certificates of pods: a key made here, a PodCertificateRequest for it, and what its signer answers.

    nothing ──request──> pending ──Issued──> issued ──beginRefreshAt──> issued, and pending
                            └──Denied, Failed──> refused, for good

All of it is in memory: an agent that starts again asks for new ones. Source: docs/facts/storage.md 4.6.
"""

import asyncio
import base64
import contextlib
import logging
import random
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from lightkube.models import certificates_v1
from lightkube.models.core_v1 import Node, PodCertificateProjection, ServiceAccount
from lightkube.models.meta_v1 import Condition, ObjectMeta, OwnerReference
from typing_extensions import override

from nodeagent.api.certificate_kinds import CERTIFICATE_REQUESTS, PodCertificateRequest, served
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError, Fault, Unavailable
from nodeagent.api.events import WARNING, Events
from nodeagent.api.informer import Informer
from nodeagent.api.pod_keys import PodKey, make_key
from nodeagent.podspec.pod import AgentPod
from runtimes.linux.tasks import end_tasks, run_blocking

log = logging.getLogger(__name__)

PLURAL = "podcertificaterequests"
FIRST_WAIT_SECONDS = 5.0
JITTER_SECONDS = 300.0
OVERDUE = timedelta(minutes=10)
VANISHED = timedelta(minutes=10)


class NotIssued(Exception):
    """There is no certificate: not yet, or the signer will not give one. The text is for the pod's owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateKey:
    """One podCertificate source of one pod's volume."""

    pod_uid: str
    volume: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCertificate:
    """`key_pem`: PKCS#8. `chain`: as the signer gave it, PEM."""

    key_pem: bytes
    chain: str
    refresh_at: datetime
    not_after: datetime


class PodCertificates(Protocol):
    """Certificates for projected volumes."""

    async def get(self, key: CertificateKey, pod: AgentPod, wanted: PodCertificateProjection) -> PodCertificate:
        """The newest one; another is asked for when it is time, and the pod told when that is there.

        Raises NotIssued, ApiError.
        """
        ...

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        ...


class NoPodCertificates(PodCertificates):
    """For an agent without an API."""

    @override
    async def get(self, key: CertificateKey, pod: AgentPod, wanted: PodCertificateProjection) -> PodCertificate:
        raise Unavailable("pod certificates are not supported in static kubelet mode", Fault.CLOSED)

    @override
    def forget(self, pod_uid: str) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    key: PodKey
    namespace: str
    name: str
    since: datetime


@dataclass(slots=True)
class _Record:
    """What is known of one source. `told`: reasons of events that were sent about the certificate in use."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    issued: PodCertificate | None = None
    pending: _Pending | None = None
    refused: str = ""
    told: set[str] = field(default_factory=set)


class PodCertificateIssuer(PodCertificates):
    """The real one. `changed(uid)`: something about a pod's requests is new. `close()` ends the watch."""

    def __init__(
        self,
        client: ApiClient,
        own_node: Callable[[], Node | None],
        events: Events,
        changed: Callable[[str], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        self._client = client
        self._own_node = own_node
        self._events = events
        self._changed = changed
        self._now = now
        self._chance = chance
        self._first_wait_seconds = first_wait_seconds
        self._records: dict[CertificateKey, _Record] = {}
        self._starting = asyncio.Lock()
        self._kind: type[PodCertificateRequest] | None = None
        self._informer: Informer[PodCertificateRequest] | None = None
        self._task: asyncio.Task[None] | None = None

    @override
    async def get(self, key: CertificateKey, pod: AgentPod, wanted: PodCertificateProjection) -> PodCertificate:
        record = self._records.setdefault(key, _Record())
        async with record.lock:
            if record.issued is None and record.pending is None and not record.refused:
                record.pending = await self._request(pod, wanted)
                await self._first_answer(record)
            self._look(record, pod)
            if record.refused:
                raise NotIssued(record.refused)
            if record.issued is None:
                name = f"{pod.namespace}/{record.pending.name}" if record.pending is not None else ""
                raise NotIssued(f"PodCertificateRequest {name} is not issued yet")
            await self._renew(record, record.issued, pod, wanted)
            return record.issued

    @override
    def forget(self, pod_uid: str) -> None:
        for key in [key for key in self._records if key.pod_uid == pod_uid]:
            del self._records[key]

    async def close(self) -> None:
        if self._task is not None:
            await end_tasks(self._task)

    async def _first_answer(self, record: _Record) -> None:
        """A signer takes a moment: better waited for than told as a failure, and tried again later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._first_wait_seconds):
                while record.pending is not None and not _decided(self._found(record.pending)):
                    record.changed.clear()
                    await record.changed.wait()

    def _look(self, record: _Record, pod: AgentPod) -> None:
        """Take over what the signer has decided."""
        if (pending := record.pending) is None:
            return
        request = self._found(pending)
        if request is None:
            if self._now() > pending.since + VANISHED + self._jitter():
                record.pending = None
            return
        decision = _decided(request)
        if decision is None:
            return
        record.pending = None
        if decision.type == "Issued":
            record.issued, record.told = self._certificate(pending.key, request), set()
            return
        how = "was denied" if decision.type == "Denied" else "failed"
        place = f"PodCertificateRequest {pending.namespace}/{pending.name}"
        record.refused = f'{place} {how}, reason="{decision.reason}", message="{decision.message}"'
        self._events.event(pod, WARNING, decision.type, record.refused)

    async def _renew(
        self, record: _Record, issued: PodCertificate, pod: AgentPod, wanted: PodCertificateProjection
    ) -> None:
        now = self._now()
        if now < issued.refresh_at:
            return
        for reason, text, at in (
            ("CertificateOverdueForRefresh", "PodCertificate refresh overdue", issued.refresh_at + OVERDUE),
            ("CertificateExpired", "PodCertificate expired", issued.not_after),
        ):
            if now > at and reason not in record.told:
                record.told.add(reason)
                self._events.event(pod, WARNING, reason, text)
        if record.pending is None:
            try:
                record.pending = await self._request(pod, wanted)
            except ApiError as error:
                log.warning("pod %s: its certificate cannot be renewed: %s; using the older one", pod.describe(), error)

    def _certificate(self, key: PodKey, request: PodCertificateRequest) -> PodCertificate:
        status = request.status
        assert status is not None
        not_after = status.notAfter or self._now()
        return PodCertificate(
            key_pem=key.pem,
            chain=status.certificateChain or "",
            refresh_at=(status.beginRefreshAt or not_after) + self._jitter(),
            not_after=not_after,
        )

    async def _request(self, pod: AgentPod, wanted: PodCertificateProjection) -> _Pending:
        """Raises ApiError; NotIssued for a type of keys that is not known."""
        node = self._own_node()
        if node is None or node.metadata is None:
            raise Unavailable("the Node is not known yet", Fault.TIMEOUT)
        kind = await self._running(node.metadata.name or "")
        account_name = pod.spec.serviceAccountName or "default"
        account = await self._client.get(ServiceAccount, account_name, pod.namespace)
        try:
            key = await run_blocking(make_key, wanted.keyType)
        except ValueError as error:
            raise NotIssued(str(error)) from error
        spec = certificates_v1.PodCertificateRequestSpec(
            nodeName=node.metadata.name or "",
            nodeUID=node.metadata.uid or "",
            podName=pod.name,
            podUID=pod.uid,
            serviceAccountName=account_name,
            serviceAccountUID=(account.metadata.uid if account.metadata is not None else None) or "",
            signerName=wanted.signerName,
            stubPKCS10Request=base64.b64encode(key.request_der).decode(),
            maxExpirationSeconds=wanted.maxExpirationSeconds,
            unverifiedUserAnnotations=wanted.userAnnotations,
        )
        owner = OwnerReference(apiVersion="v1", kind="Pod", name=pod.name, uid=pod.uid)
        metadata = ObjectMeta(generateName="req-", namespace=pod.namespace, ownerReferences=[owner])
        made = await self._client.create(kind(spec=spec, metadata=metadata), pod.namespace)  # type: ignore[arg-type]
        name = (made.metadata.name if made.metadata is not None else None) or ""
        return _Pending(key=key, namespace=pod.namespace, name=name, since=self._now())

    def _found(self, pending: _Pending) -> PodCertificateRequest | None:
        return self._informer.get(pending.namespace, pending.name) if self._informer is not None else None

    async def _running(self, node_name: str) -> type[PodCertificateRequest]:
        """The kind that the API has, watched from now on, as far as it is this node's. Raises ApiError."""
        async with self._starting:
            if self._kind is None:
                kind = await served(self._client, CERTIFICATE_REQUESTS)
                if kind is None:
                    raise Unavailable("this cluster's API has no PodCertificateRequests", Fault.CLOSED)
                self._informer = Informer(self._client, kind, field_selector=f"spec.nodeName={node_name}")
                self._informer.subscribe(self._tell)
                self._task = asyncio.create_task(self._informer.run(), name=PLURAL, context=Context())
                self._kind = kind
        return self._kind

    def _tell(self, _: object, old: PodCertificateRequest | None, new: PodCertificateRequest | None) -> None:
        if (request := new or old) is None:
            return
        uid = request.spec.podUID
        mine = [record for key, record in self._records.items() if key.pod_uid == uid]
        for record in mine:
            record.changed.set()
        if mine and _decided(new) is not None:
            self._changed(uid)

    def _jitter(self) -> timedelta:
        return timedelta(seconds=self._chance() * JITTER_SECONDS)


def _decided(request: PodCertificateRequest | None) -> Condition | None:
    status = request.status if request is not None else None
    conditions = (status.conditions if status is not None else None) or ()
    return next((each for each in conditions if each.type in ("Issued", "Denied", "Failed")), None)
