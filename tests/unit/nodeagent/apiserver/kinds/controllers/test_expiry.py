"""What has served its time goes."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nodeagent.api.certificates import self_signed
from nodeagent.apiserver.kinds.controllers.expiry import Expiry, is_over
from nodeagent.apiserver.kinds.timestamps import rfc3339

NOW = 1_800_000_000.0
CSR = "certificatesigningrequests.certificates.k8s.io"


def request(*decided: tuple[str, float], asked: float = 0.0, certificate: bytes = b"") -> Any:
    conditions = [{"type": kind, "status": "True", "lastUpdateTime": rfc3339(NOW - ago)} for kind, ago in decided]
    status: Any = {"conditions": conditions} if conditions else {}
    if certificate:
        status["certificate"] = base64.b64encode(certificate).decode()
    return {"metadata": {"name": "c", "creationTimestamp": rfc3339(NOW - asked)}, "status": status}


ENDED = self_signed("h", (), datetime.fromtimestamp(NOW, UTC) - timedelta(days=366))[0]
GOOD = self_signed("h", (), datetime.fromtimestamp(NOW, UTC))[0]


@pytest.mark.parametrize(
    ("found", "over"),
    [
        (request(asked=23.9 * 3600), False),
        (request(asked=24.1 * 3600), True),
        (request(("Approved", 3500), asked=3600, certificate=GOOD), False),
        (request(("Approved", 3700), asked=90 * 3600, certificate=GOOD), True),
        (request(("Denied", 3700)), True),
        (request(("Approved", 10), ("Failed", 10), asked=90 * 3600), False),
        (request(("Approved", 10), certificate=ENDED), True),
        (request(("Approved", 10), certificate=b"rubbish"), False),
    ],
)
def test_requests(found: Any, over: bool) -> None:
    """An hour after the decision, a day without one, and with the end of the certificate."""
    assert is_over(found, NOW) is over


async def test_what_is_deleted(cluster: Any, running: Any, settled: Any) -> None:
    """Old requests and ended bootstrap tokens; no other Secret, whatever it says, and no token without an end."""

    def secret(name: str, kind: str = "bootstrap.kubernetes.io/token", **data: str) -> None:
        texts = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        metadata = {"name": name, "namespace": "kube-system"}
        cluster.put("secrets", {"metadata": metadata, "type": kind, "data": texts})

    secret("bootstrap-token-ended0", expiration="2020-01-01T00:00:00Z")
    secret("bootstrap-token-broken", expiration="soon")
    secret("bootstrap-token-future", expiration="2999-01-01T00:00:00Z")
    secret("bootstrap-token-always")
    secret("other", "Opaque", expiration="2020-01-01T00:00:00Z")
    for name, asked in (("old", "2020-01-01T00:00:00Z"), ("new", "2999-01-01T00:00:00Z")):
        cluster.put(CSR, {"metadata": {"name": name, "creationTimestamp": asked}})
    async with running(Expiry(cluster)):
        await settled()
    assert [each["metadata"]["name"] for each in cluster.all("secrets")] == [
        *("bootstrap-token-always", "bootstrap-token-future", "other")
    ]
    assert [each["metadata"]["name"] for each in cluster.all(CSR)] == ["new"]
