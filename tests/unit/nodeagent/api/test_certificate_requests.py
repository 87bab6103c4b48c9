"""Certificates by request: what is asked for, what its answers mean, and how they are waited for."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lightkube.models.certificates_v1 import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
    CertificateSigningRequestSpec,
    CertificateSigningRequestStatus,
)
from lightkube.models.core_v1 import NodeAddress
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.certificate_requests import (
    CLIENT_SIGNER,
    SERVING_SIGNER,
    NotIssued,
    Wanted,
    issued,
    outcome,
    serving_names,
    signing_request,
)
from nodeagent.api.errors import AlreadyExists, Fault, Forbidden, NotFound, Unavailable

CLIENT = Wanted(signer=CLIENT_SIGNER, node_name="n1")
SERVING = Wanted(signer=SERVING_SIGNER, node_name="n1", names=frozenset({"n1", "10.0.0.7", "fd00::7"}))


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def asked_for(request: CertificateSigningRequest) -> x509.CertificateSigningRequest:
    return x509.load_pem_x509_csr(base64.b64decode(request.spec.request or ""))


def test_a_client_certificate() -> None:
    """The node's identity for the kubelet's client signer; the same key asks under the same name, another under another."""
    key = new_key()
    request = signing_request(CLIENT, key, named=True)
    assert asked_for(request).subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    assert list(asked_for(request).extensions) == []
    assert (request.spec.signerName, request.spec.usages) == (
        "kubernetes.io/kube-apiserver-client-kubelet",
        ["digital signature", "client auth"],
    )
    names = [
        made.metadata.name
        for made in (request, signing_request(CLIENT, key, named=True), signing_request(CLIENT, new_key(), named=True))
        if made.metadata
    ]
    assert names[0] == names[1] != names[2]
    assert str(names[0]).startswith("node-csr-") and len(str(names[0])) == len("node-csr-") + 43


def test_a_serving_certificate() -> None:
    """The same identity with the node's names and addresses; the API makes the name."""
    request = signing_request(SERVING, new_key(), named=False)
    assert asked_for(request).subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    names = asked_for(request).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]
    assert sorted(map(str, names.get_values_for_type(x509.IPAddress))) == ["10.0.0.7", "fd00::7"]
    assert (request.spec.signerName, request.spec.usages) == (
        "kubernetes.io/kubelet-serving",
        ["digital signature", "server auth"],
    )
    assert request.metadata == ObjectMeta(generateName="csr-")


def test_what_a_serving_certificate_is_for() -> None:
    """All names and addresses of the Node; nothing as long as it has no IP."""
    host, ip = NodeAddress(type="Hostname", address="n1"), NodeAddress(type="ExternalIP", address="192.0.2.1")
    other = NodeAddress(type="Strange", address="x")
    assert serving_names([host, ip, other]) == {"n1", "192.0.2.1"}
    assert serving_names([host, other]) == frozenset()


def answered(certificate: str | None, *conditions: str, version: str = "1") -> CertificateSigningRequest:
    made = [
        CertificateSigningRequestCondition(type=each, status="True", reason="R", message="m") for each in conditions
    ]
    return CertificateSigningRequest(
        metadata=ObjectMeta(name="csr-1", resourceVersion=version),
        spec=CertificateSigningRequestSpec(request="", signerName=""),
        status=CertificateSigningRequestStatus(certificate=certificate, conditions=made),
    )


PEM = base64.b64encode(b"PEM").decode()


def test_answers() -> None:
    """A certificate counts when it is approved; a refusal is final, and says why."""
    assert outcome(answered(None)) is None
    assert outcome(answered(None, "Approved")) is None
    assert outcome(answered(PEM)) is None
    assert outcome(answered(PEM, "Approved")) == b"PEM"
    for refusal in ("Denied", "Failed"):
        with pytest.raises(NotIssued, match=f"is {refusal.lower()}: R: m"):
            outcome(answered(PEM, "Approved", refusal))


class Api:
    """Answers in turn; a watch shows the objects of its answer, then ends."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []

    async def _next(self, call: str) -> Any:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def create(self, request: Any) -> Any:
        return await self._next("create")

    async def get(self, kind: Any, name: str) -> Any:
        return await self._next(f"get {name}")

    async def watch(self, kind: Any, *, field_selector: str, resource_version: str) -> AsyncIterator[Any]:
        class Event:
            def __init__(self, found: Any) -> None:
                self.object = found

        for each in await self._next(f"watch {field_selector} {resource_version}"):
            yield Event(each)


async def wait(api: Any, request: CertificateSigningRequest, slept: list[float] | None = None) -> bytes:
    async def sleep(seconds: float) -> None:
        if slept is not None:
            slept.append(seconds)

    return await issued(api, request, sleep=sleep)


async def test_the_wait() -> None:
    """One request, however often the watch ends or the API is away; one that is taken away is made again."""
    waiting = answered(None)
    gone = Unavailable("away", Fault.REFUSED)
    api = Api(
        *(gone, gone, waiting, [waiting]),
        *(waiting, gone),
        NotFound(404, "NotFound", "gone"),
        *(waiting, [waiting, answered(PEM, "Approved")]),
    )
    slept: list[float] = []
    assert await wait(api, signing_request(SERVING, new_key(), named=False), slept) == b"PEM"
    watch = "watch metadata.name=csr-1 1"
    assert api.calls == ["create"] * 3 + [watch, "get csr-1", watch, "get csr-1", "create", watch]
    assert slept == [1.0, 2.0, 1.0, 2.0, 4.0]


async def test_a_request_of_an_earlier_attempt() -> None:
    """Is gone on with, if it is of the same key and signer; somebody else's under that name is not."""
    key = new_key()
    request = signing_request(CLIENT, key, named=True)
    assert request.metadata is not None
    found = answered(PEM, "Approved")
    found.spec = signing_request(CLIENT, key, named=True).spec
    assert await wait(Api(AlreadyExists(409, "AlreadyExists", "there"), found), request) == b"PEM"
    for foreign in (signing_request(CLIENT, new_key(), named=True), signing_request(SERVING, key, named=True)):
        found.spec = foreign.spec
        with pytest.raises(NotIssued, match="is somebody else's"):
            await wait(Api(AlreadyExists(409, "AlreadyExists", "there"), found), request)


async def test_who_may_not_ask() -> None:
    """Is told at once."""
    with pytest.raises(Forbidden):
        await wait(Api(Forbidden(403, "Forbidden", "no")), signing_request(CLIENT, new_key(), named=True))
