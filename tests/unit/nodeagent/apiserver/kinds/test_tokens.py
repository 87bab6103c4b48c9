"""Service-account tokens: what is in them, and when they are good."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.jwt import decode, encode
from nodeagent.apiserver.kinds.tokens import Tokens

ISSUER = "https://kubernetes.default.svc"
NOW = 1_800_000_000


def key_pem() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


KEY = key_pem()


class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(KEY, ISSUER, [ISSUER], clock=clock)


@pytest.fixture
def world(cluster: Any) -> Any:
    """The default account, a node, and a pod of that account on it."""
    cluster.put("nodes", {"metadata": {"name": "n"}})
    cluster.put("pods", {"metadata": {"name": "p", "namespace": "default"},
                         "spec": {"serviceAccountName": "default", "nodeName": "n"}})  # fmt: skip
    return cluster


def request(**spec: Any) -> Any:
    return {"metadata": {}, "spec": spec}


def issue(tokens: Tokens, world: Any, **spec: Any) -> Any:
    return tokens.request_token("default", "default", request(**spec), world.context())


def part(token: str, index: int) -> Any:
    return json.loads(decode(token.split(".")[index]))


POD_REF = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "uid-default-p"}


def test_claims_of_a_pod_token(tokens: Tokens, world: Any) -> None:
    """What the kubelet asks for a pod: a token of a year that wants to be replaced after 3607 seconds."""
    answer = issue(tokens, world, audiences=[ISSUER], expirationSeconds=3607, boundObjectRef=POD_REF)
    token = answer["status"].pop("token")
    claims = part(token, 1)
    jti = claims.pop("jti")
    assert answer == {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": "default", "namespace": "default", "creationTimestamp": "2027-01-15T08:00:00Z"},
        "spec": {"audiences": [ISSUER], "expirationSeconds": 3607, "boundObjectRef": POD_REF},
        "status": {"expirationTimestamp": "2027-01-15T09:00:07Z"},
    }
    assert part(token, 0) == {"alg": "RS256", "kid": tokens.jwks()["keys"][0]["kid"]}
    assert claims == {
        "aud": [ISSUER],
        "exp": NOW + 365 * 24 * 3600,
        "iat": NOW,
        "iss": ISSUER,
        "kubernetes.io": {
            "namespace": "default",
            "pod": {"name": "p", "uid": "uid-default-p"},
            "node": {"name": "n", "uid": "uid--n"},
            "serviceaccount": {"name": "default", "uid": "uid-default-default"},
            "warnafter": NOW + 3607,
        },
        "nbf": NOW,
        "sub": "system:serviceaccount:default:default",
    }
    assert tokens.authenticate(token, (), world.context()) == UserInfo(
        name="system:serviceaccount:default:default",
        uid="uid-default-default",
        groups=("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"),
        extra={
            "authentication.kubernetes.io/credential-id": (f"JTI={jti}",),
            "authentication.kubernetes.io/pod-name": ("p",),
            "authentication.kubernetes.io/pod-uid": ("uid-default-p",),
            "authentication.kubernetes.io/node-name": ("n",),
            "authentication.kubernetes.io/node-uid": ("uid--n",),
        },
    )
    assert tokens.token_audiences(token) == (ISSUER,)


@pytest.mark.parametrize(
    ("spec", "lifetime"),
    [
        ({}, 3600),
        ({"expirationSeconds": 600}, 600),
        ({"expirationSeconds": 3607, "boundObjectRef": POD_REF}, 365 * 24 * 3600),
        ({"expirationSeconds": 3607}, 3607),
        ({"expirationSeconds": 3607, "boundObjectRef": POD_REF, "audiences": ["vault"]}, 3607),
    ],
)
def test_lifetime(tokens: Tokens, world: Any, spec: Any, lifetime: int) -> None:
    """Only the pod volume's own request for the API's audience lives on for a year."""
    token = issue(tokens, world, **spec)["status"]["token"]
    assert part(token, 1)["exp"] - NOW == lifetime


def test_when_a_token_ends(tokens: Tokens, world: Any, clock: Clock) -> None:
    """At its expiry, before its time, and with its account or pod: gone, replaced, or deleted for more than a minute."""
    token = issue(tokens, world, boundObjectRef=POD_REF)["status"]["token"]
    ctx = world.context()

    def good() -> bool:
        return tokens.authenticate(token, (), ctx) is not None

    assert good()
    clock.now = NOW + 3600
    assert not good()
    clock.now = NOW - 1
    assert not good()
    clock.now = NOW
    pod = world.objects[("pods", "default", "p")]
    pod["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert good()
    clock.now = NOW + 61
    assert not good()
    clock.now = NOW
    del pod["metadata"]["deletionTimestamp"]
    pod["metadata"]["uid"] = "another"
    assert not good()
    world.remove("pods", "default", "p")
    assert not good()
    plain = issue(tokens, world)["status"]["token"]
    assert tokens.authenticate(plain, (), ctx) is not None
    world.objects[("serviceaccounts", "default", "default")]["metadata"]["uid"] = "another"
    assert tokens.authenticate(plain, (), ctx) is None


def test_audiences(tokens: Tokens, world: Any) -> None:
    """A token for somebody else is none for the API, but is one for them."""
    token = issue(tokens, world, audiences=["vault"])["status"]["token"]
    assert tokens.authenticate(token, (), world.context()) is None
    assert tokens.authenticate(token, ["vault", "x"], world.context()) is not None


def test_forgeries(tokens: Tokens, world: Any) -> None:
    """Another key, another algorithm, a changed claim and rubbish are all the same: nobody."""
    token = issue(tokens, world)["status"]["token"]
    head, body, signature = token.split(".")
    other = Tokens(key_pem(), ISSUER, [ISSUER], clock=Clock())
    changed = {**part(token, 1), "exp": NOW * 2}
    forged = [
        other.request_token("default", "default", request(), world.context())["status"]["token"],
        f"{encode(json.dumps({'alg': 'none'}).encode())}.{body}.",
        f"{encode(json.dumps({'alg': 'HS256'}).encode())}.{body}.{signature}",
        f"{head}.{encode(json.dumps(changed).encode())}.{signature}",
        f"{head}.{body}",
        "a.b.c",
        "",
        "ü.ü.ü",
    ]
    assert [text for text in forged if tokens.authenticate(text, (), world.context()) is not None] == []
    assert tokens.token_audiences(forged[0]) == ()


def refused(tokens: Tokens, world: Any, name: str = "default", **spec: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        tokens.request_token("default", name, request(**spec), world.context())
    return caught.value.code, caught.value.message


def test_refusals(tokens: Tokens, world: Any) -> None:
    """No account, a bad duration, a bound object that is not there, is another, or cannot be bound to."""
    assert refused(tokens, world, "ghost") == (404, 'serviceaccounts "ghost" not found')
    short = refused(tokens, world, expirationSeconds=599)
    assert short[0] == 422 and "Invalid value: 599: may not specify a duration less than 10 minutes" in short[1]
    assert refused(tokens, world, expirationSeconds=2**32 + 1)[0] == 422
    assert refused(tokens, world, boundObjectRef={**POD_REF, "name": "q"}) == (404, 'pods "q" not found')
    assert refused(tokens, world, boundObjectRef={**POD_REF, "uid": "z"})[0] == 409
    assert refused(tokens, world, boundObjectRef={"kind": "ConfigMap", "apiVersion": "v1", "name": "c"})[0] == 400
    world.objects[("pods", "default", "p")]["spec"]["serviceAccountName"] = "other"
    assert refused(tokens, world, boundObjectRef=POD_REF)[0] == 400


def test_jwks(tokens: Tokens) -> None:
    """The public key set has what a verifier needs, and nothing private."""
    (key,) = tokens.jwks()["keys"]
    assert set(key) == {"use", "kty", "kid", "alg", "n", "e"}
    assert (key["alg"], key["e"], len(decode(key["n"]))) == ("RS256", "AQAB", 256)


def test_bootstrap_tokens(tokens: Tokens, world: Any) -> None:
    """Are for this API, and for no other audience."""
    text = "abcdef.0123456789abcdef"
    data = {"token-id": "abcdef", "token-secret": text[7:], "usage-bootstrap-authentication": "true"}
    metadata = {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    world.put("secrets", {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "data": encoded})
    found = tokens.authenticate(text, (), world.context())
    assert found is not None and found.name == "system:bootstrap:abcdef"
    assert tokens.authenticate(text, (ISSUER, "vault"), world.context()) == found
    assert tokens.authenticate(text, ("vault",), world.context()) is None
    assert tokens.token_audiences(text) == (ISSUER,)
