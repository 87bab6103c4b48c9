"""Certificates of pods: asked for once, renewed in time, refused for good. The API is played, its signer is the test."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from agent_pods import agent_pod
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lightkube.models import certificates_v1beta1
from lightkube.models.core_v1 import Node, PodCertificateProjection, ServiceAccount
from lightkube.models.meta_v1 import Condition, ObjectMeta

from nodeagent.api import errors, pod_certificates
from nodeagent.api.pod_certificates import CertificateKey, NoPodCertificates, NotIssued, PodCertificateIssuer
from nodeagent.api.pod_keys import make_key

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = CertificateKey(pod_uid="u", volume="v", index=0)
WANTED = PodCertificateProjection(
    keyType="ED25519", signerName="example.com/s", credentialBundlePath="b", userAnnotations={"example.com/a": "b"}
)
POD = agent_pod(
    {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"serviceAccountName": "sa", "containers": []}}
)
Request = certificates_v1beta1.PodCertificateRequest


class Api:
    """Client, informer and recorder in one. `requests`: by name, as the signer has left them."""

    def __init__(self) -> None:
        self.now = START
        self.requests: dict[str, Request] = {}
        self.signer: Callable[[Request], None] = lambda request: None
        self.events: list[tuple[str, str]] = []
        self.changed: list[str] = []
        self.down = False
        self._tell: Callable[[object, Any, Any], None] = lambda *_: None

    async def request(self, method: str, path: str) -> bytes:
        if path.endswith("/v1"):
            return b'{"resources": [{"name": "certificatesigningrequests"}]}'
        return b'{"resources": [{"name": "podcertificaterequests"}]}'

    async def get(self, kind: object, name: str, namespace: str) -> ServiceAccount:
        return ServiceAccount(metadata=ObjectMeta(name=name, uid="sa-uid"))

    async def create(self, request: Request, namespace: str) -> Request:
        if self.down:
            raise errors.Unavailable("down", errors.Fault.REFUSED)
        assert request.metadata is not None
        request.metadata.name = f"req-{len(self.requests)}"
        self.requests[request.metadata.name] = request
        self.signer(request)
        return request

    def decide(self, request: Request, kind: str, **status: Any) -> None:
        condition = Condition(type=kind, status="True", reason="R", message="M", lastTransitionTime=self.now)
        request.status = certificates_v1beta1.PodCertificateRequestStatus(conditions=[condition], **status)
        self._tell(None, None, request)

    def issue(self, request: Request) -> None:
        chain = f"chain of {request.metadata.name if request.metadata else ''}"
        times = {"beginRefreshAt": self.now + timedelta(hours=1), "notAfter": self.now + timedelta(hours=2)}
        self.decide(request, "Issued", certificateChain=chain, **times)

    def event(self, ref: object, type: str, reason: str, message: str, **_: object) -> None:
        self.events.append((reason, message))

    def informer(self, *_: object, **__: object) -> "Api":
        return self

    def subscribe(self, tell: Callable[[object, Any, Any], None]) -> None:
        self._tell = tell

    async def run(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    made_get = made.requests.get

    class Informer:
        def __init__(self, *_: object, **__: object) -> None:
            self.subscribe, self.run = made.subscribe, made.run

        def get(self, namespace: str, name: str) -> Request | None:
            return made_get(name)

    monkeypatch.setattr(pod_certificates, "Informer", Informer)
    return made


@pytest.fixture
async def issuer(api: Api) -> AsyncIterator[PodCertificateIssuer]:
    client: Any = api
    node = Node(metadata=ObjectMeta(name="n", uid="n-uid"))
    issuer = PodCertificateIssuer(
        client,
        lambda: node,
        client,
        api.changed.append,
        now=lambda: api.now,
        chance=lambda: 0.0,
        first_wait_seconds=0.01,
    )
    yield issuer
    await issuer.close()


async def test_it_is_asked_for_once_and_proves_its_key(api: Api, issuer: PodCertificateIssuer) -> None:
    """For pod, account and node by name and UID, owned by the pod; what is issued is for the key that stays here."""
    api.signer = api.issue
    found = await issuer.get(KEY, POD, WANTED)
    assert await issuer.get(KEY, POD, WANTED) == found
    ((name, request),) = api.requests.items()
    assert found.chain == f"chain of {name}"
    spec = request.spec
    assert (spec.podName, spec.podUID, spec.nodeName, spec.nodeUID) == ("p", "u", "n", "n-uid")
    assert (spec.serviceAccountName, spec.serviceAccountUID) == ("sa", "sa-uid")
    assert (spec.signerName, spec.unverifiedUserAnnotations) == ("example.com/s", {"example.com/a": "b"})
    assert request.metadata is not None and request.metadata.ownerReferences is not None
    assert [(owner.kind, owner.uid) for owner in request.metadata.ownerReferences] == [("Pod", "u")]
    proof = x509.load_der_x509_csr(base64.b64decode(spec.stubPKCS10Request))
    assert proof.is_signature_valid
    assert proof.public_key() == load_pem_private_key(found.key_pem, None).public_key()


async def test_a_pod_waits_for_its_signer(api: Api, issuer: PodCertificateIssuer) -> None:
    """It is told for which request, and when that is decided; there is no other one meanwhile."""
    for _ in range(2):
        with pytest.raises(NotIssued, match="PodCertificateRequest ns/req-0 is not issued yet"):
            await issuer.get(KEY, POD, WANTED)
    assert api.changed == []
    api.issue(api.requests["req-0"])
    assert api.changed == ["u"]
    assert (await issuer.get(KEY, POD, WANTED)).chain == "chain of req-0"


@pytest.mark.parametrize(("kind", "how"), [("Denied", "was denied"), ("Failed", "failed")])
async def test_what_is_refused_stays_so(api: Api, issuer: PodCertificateIssuer, kind: str, how: str) -> None:
    """With one event; another pod may fare better."""
    api.signer = lambda request: api.decide(request, kind)
    text = f'PodCertificateRequest ns/req-0 {how}, reason="R", message="M"'
    for _ in range(2):
        with pytest.raises(NotIssued) as caught:
            await issuer.get(KEY, POD, WANTED)
        assert str(caught.value) == text
    assert (api.events, len(api.requests)) == ([(kind, text)], 1)
    issuer.forget("u")
    api.signer = api.issue
    await issuer.get(KEY, POD, WANTED)


async def test_it_is_renewed_in_time(api: Api, issuer: PodCertificateIssuer) -> None:
    """From its time on another is asked for, with a key of its own; the old one serves until that is there."""
    api.signer = api.issue
    first = await issuer.get(KEY, POD, WANTED)
    api.now, api.signer = START + timedelta(hours=1), lambda request: None
    for _ in range(2):
        assert await issuer.get(KEY, POD, WANTED) == first
    assert len(api.requests) == 2
    api.issue(api.requests["req-1"])
    second = await issuer.get(KEY, POD, WANTED)
    assert (second.chain, second.key_pem == first.key_pem) == ("chain of req-1", False)
    assert api.events == []


async def test_what_cannot_be_renewed_is_told_and_goes_on(api: Api, issuer: PodCertificateIssuer) -> None:
    """Once when it is overdue, once when it has expired."""
    api.signer = api.issue
    first = await issuer.get(KEY, POD, WANTED)
    api.down = True
    for minutes in (61, 71, 72, 121, 122):
        api.now = START + timedelta(minutes=minutes)
        assert await issuer.get(KEY, POD, WANTED) == first
    assert [reason for reason, _ in api.events] == ["CertificateOverdueForRefresh", "CertificateExpired"]


async def test_a_request_that_has_vanished_is_made_again(api: Api, issuer: PodCertificateIssuer) -> None:
    """After ten minutes: until then it may be that it was not seen yet."""
    with pytest.raises(NotIssued):
        await issuer.get(KEY, POD, WANTED)
    request = api.requests.pop("req-0")
    api.requests["other"] = request
    for minutes, number in ((9, 1), (11, 1), (11, 2)):
        api.now = START + timedelta(minutes=minutes)
        with pytest.raises(NotIssued):
            await issuer.get(KEY, POD, WANTED)
        assert len(api.requests) == number


@pytest.mark.parametrize("key_type", ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072"])
def test_keys(key_type: str) -> None:
    """Each type that Kubernetes names signs its own request."""
    key = make_key(key_type)
    request = x509.load_der_x509_csr(key.request_der)
    assert request.is_signature_valid and list(request.subject) == []
    assert key.pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")


async def test_other_keys_are_refused(api: Api, issuer: PodCertificateIssuer) -> None:
    """The text names the type."""
    with pytest.raises(NotIssued, match="unsupported key type 'DSA'"):
        await issuer.get(KEY, POD, PodCertificateProjection(keyType="DSA", signerName="example.com/s"))


async def test_without_an_api_there_are_none() -> None:
    """A static pod's volume says so."""
    with pytest.raises(errors.Unavailable, match="not supported in static kubelet mode"):
        await NoPodCertificates().get(KEY, POD, WANTED)
