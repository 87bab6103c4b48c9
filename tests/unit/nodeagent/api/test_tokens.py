"""Service account tokens: cached, refreshed in time, dropped with their pod."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nodeagent.api import errors
from nodeagent.api.tokens import NoTokens, Token, TokenKey, TokenManager

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = TokenKey(namespace="ns", service_account="sa", pod_name="p", pod_uid="u", expiration_seconds=3600)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager(client: Any, clock: Clock) -> TokenManager:
    return TokenManager(client, now=clock, chance=lambda: 0.0)


def grant(token: str, expires_at: datetime, seconds: int = 3600) -> dict[str, Any]:
    return {
        "kind": "TokenRequest",
        "spec": {"audiences": ["api"], "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }


async def test_the_request_is_bound_to_the_pod(script: Any, manager: TokenManager) -> None:
    """The first use asks for a token bound to the pod; the second, even at the same time, shares it."""
    script.answer(grant("t1", START + timedelta(hours=1)), 201)
    tokens = await asyncio.gather(manager.get(KEY), manager.get(KEY))
    assert [token.value for token in tokens] == ["t1", "t1"]
    (request,) = script.seen
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/ns/serviceaccounts/sa/token")
    assert request.body == {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [],
            "expirationSeconds": 3600,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u"},
        },
    }


@pytest.mark.parametrize(
    ("life_seconds", "age_seconds", "jitter", "refresh"),
    [
        (3600, 0, 0, False),
        (3600, 2880, 0, False),  # exactly 80 %
        (3600, 2881, 0, True),
        (3600, 2875, 10, True),
        (7 * 86400, 86400, 0, False),
        (7 * 86400, 86401, 0, True),
    ],
)
def test_when_a_token_needs_refresh(life_seconds: int, age_seconds: int, jitter: int, refresh: bool) -> None:
    """A token is renewed after a day, or after 80 % of its life, up to 10 s early."""
    token = Token(value="t", expires_at=START + timedelta(seconds=life_seconds), expiration_seconds=life_seconds)
    assert token.needs_refresh(START + timedelta(seconds=age_seconds), jitter) is refresh


async def test_an_old_token_serves_while_the_api_is_away(
    make: Any, script: Any, manager: TokenManager, clock: Clock
) -> None:
    """A failed refresh returns the old token until it has expired; then the error."""
    script.answer(grant("t1", START + timedelta(hours=1)), 201)
    await manager.get(KEY)
    for _ in range(2):
        script.answer(make.failure(500, "InternalError"), 500)
    clock.now = START + timedelta(minutes=59, seconds=40)
    assert (await manager.get(KEY)).value == "t1"
    clock.now = START + timedelta(minutes=60, seconds=10)  # not swept away yet
    with pytest.raises(errors.ServerError):
        await manager.get(KEY)


async def test_a_pod_takes_its_tokens_along(script: Any, manager: TokenManager) -> None:
    """After forget() the next request mints again; other pods keep theirs."""
    other = TokenKey(namespace="ns", service_account="sa", pod_name="q", pod_uid="v")
    for name in ("t1", "t2", "t3"):
        script.answer(grant(name, START + timedelta(hours=1)), 201)
    await manager.get(KEY)
    await manager.get(other)
    manager.forget("u")
    assert (await manager.get(KEY)).value == "t3"
    assert (await manager.get(other)).value == "t2"


async def test_an_answer_without_token_is_an_error(script: Any, manager: TokenManager) -> None:
    """An answer that holds no token is never written to a volume."""
    script.answer({"kind": "TokenRequest", "spec": {"audiences": []}}, 201)
    with pytest.raises(errors.Unavailable):
        await manager.get(KEY)


async def test_no_api_no_token() -> None:
    """Without an API there are no tokens."""
    with pytest.raises(errors.Unavailable):
        await NoTokens().get(KEY)
