"""Who gets in: certificates, tokens, access reviews, and how long their answers count."""

import ssl
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from nodeagent.api.errors import Fault, Unavailable
from nodeagent.server import auth
from nodeagent.server.auth import Denied, Guard, User, subresources_of

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
BEARER = {"Authorization": "Bearer secret"}


class Reviews:
    """Answers of an API; `asked` is (path, spec) of every review."""

    def __init__(self, *, known: bool = True, allowed: tuple[str, ...] = (), failures: int = 0) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._known, self._allowed, self._failures = known, allowed, failures

    async def request(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> bytes:
        spec = msgspec.json.decode(body or b"")["spec"]
        self.asked.append((path, spec))
        if len(self.asked) <= self._failures:
            raise Unavailable("not now", Fault.REFUSED)
        if path == TOKENS:
            user = {"username": "robot", "groups": ["bots"], "uid": "u1", "extra": {"k": ["v"]}}
            status = {"authenticated": True, "user": user} if self._known else {"authenticated": False}
            return msgspec.json.encode({"status": status})
        return msgspec.json.encode({"status": {"allowed": spec["resourceAttributes"]["subresource"] in self._allowed}})


def request(
    path: str = "/pods", method: str = "GET", headers: dict[str, str] | None = None, subject: Any = None
) -> Any:
    tls = Mock(spec=ssl.SSLObject)
    tls.getpeercert.return_value = {"subject": subject} if subject else None
    transport = Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: tls if name == "ssl_object" else default
    return make_mocked_request(method, path, headers=headers or {}, transport=transport)


def guard(reviews: Reviews | None, **options: Any) -> Guard:
    async def no_sleep(seconds: float) -> None:
        return None

    return Guard(reviews, **({"node_name": "n1", "always_allow": False, "sleep": no_sleep} | options))


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(auth, "time", made)
    return made


async def denied(guarded: Guard, asked: Any) -> tuple[int, str]:
    with pytest.raises(Denied) as caught:
        await guarded.check(asked)
    return caught.value.status, caught.value.text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/stats/summary", ("stats",)),
        ("/metrics", ("metrics",)),
        ("/metrics/cadvisor", ("metrics",)),
        ("/metricsx", ("proxy",)),
        ("/logs/", ("log",)),
        ("/checkpoint/a/b/c", ("checkpoint",)),
        ("/pods", ("pods", "proxy")),
        ("/runningpods/", ("pods", "proxy")),
        ("/healthz/ping", ("healthz", "proxy")),
        ("/configz", ("configz", "proxy")),
        ("/containerLogs/a/b/c", ("proxy",)),
        ("/exec/a/b/c", ("proxy",)),
    ],
)
def test_subresources(path: str, expected: tuple[str, ...]) -> None:
    """Each path is a subresource of the node, or several, the finer one first."""
    assert subresources_of(path) == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (
            ((("commonName", "admin"),), (("organizationName", "a"),), (("organizationName", "b"),)),
            User(name="admin", groups=("a", "b", "system:authenticated")),
        ),
        (((("commonName", "plain"),),), User(name="plain", groups=("system:authenticated",))),
    ],
)
async def test_certificate(subject: Any, expected: User) -> None:
    """CN is the name, every O a group; no API is asked who it is."""
    assert await guard(None, always_allow=True).check(request(subject=subject)) == expected


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ({}, {}),
        ({"Authorization": "Basic secret"}, {}),
        ({"Authorization": "Bearer"}, {}),
        ({"Authorization": "Bearer "}, {}),
        (BEARER, {"webhook_authentication": False}),
        ({"Authorization": "Basic secret"}, {"anonymous": True}),
    ],
)
async def test_strangers(headers: dict[str, str], options: dict[str, Any]) -> None:
    """Who shows nothing that counts is refused, even where everybody known is allowed, and costs no review."""
    reviews = Reviews()
    assert await denied(guard(reviews, always_allow=True, **options), request(headers=headers)) == (401, "Unauthorized")
    assert reviews.asked == []


async def test_certificate_without_name() -> None:
    """A certificate without CN is no name."""
    asked = request(subject=((("organizationName", "system:masters"),),))
    assert await denied(guard(None, always_allow=True), asked) == (401, "Unauthorized")


async def test_anonymous() -> None:
    """Where anonymous requests are on, authorization judges them."""
    reviews = Reviews()
    text = "Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"
    assert await denied(guard(reviews, anonymous=True), request()) == (403, text)
    assert reviews.asked[0][1]["groups"] == ["system:unauthenticated"]


async def test_token_and_access_reviews() -> None:
    """The reviews say everything that is known of user and request."""
    reviews = Reviews(allowed=("proxy",))
    user = await guard(reviews).check(request("/exec/a/b/c", "POST", BEARER))
    groups = ("bots", "system:authenticated")
    assert user == User(name="robot", groups=groups, uid="u1", extra={"k": ["v"]})
    attributes = {"verb": "create", "version": "v1", "resource": "nodes", "subresource": "proxy", "name": "n1"}
    spec = {"user": "robot", "groups": list(groups), "uid": "u1", "extra": {"k": ["v"]}}
    assert reviews.asked == [(TOKENS, {"token": "secret"}), (ACCESS, spec | {"resourceAttributes": attributes})]


@pytest.mark.parametrize(("known", "status"), [(True, 200), (False, 401)])
async def test_token_cache(clock: Clock, known: bool, status: int) -> None:
    """A token is asked about once in two minutes, whether it is good or not."""
    reviews = Reviews(known=known)
    guarded = guard(reviews, always_allow=True)
    for seconds, asked in ((0, 1), (119, 1), (2, 2)):
        clock.now += seconds
        if status == 200:
            assert (await guarded.check(request(headers=BEARER))).name == "robot"
        else:
            assert await denied(guarded, request(headers=BEARER)) == (401, "Unauthorized")
        assert len(reviews.asked) == asked


@pytest.mark.parametrize(("allowed", "seconds"), [(("proxy",), 300), ((), 30)])
async def test_access_cache(clock: Clock, allowed: tuple[str, ...], seconds: int) -> None:
    """A yes counts for five minutes, a no for half a minute; another verb is another question."""
    reviews = Reviews(allowed=allowed)
    guarded = guard(reviews, token_seconds=3600.0)

    async def asked_after(method: str = "GET") -> int:
        try:
            await guarded.check(request("/exec/a/b/c", method, BEARER))
        except Denied as refusal:
            assert refusal.status == 403
        return sum(path == ACCESS for path, _ in reviews.asked)

    assert await asked_after() == 1
    clock.now += seconds - 1
    assert await asked_after() == 1
    assert await asked_after("POST") == 2
    clock.now += 2
    assert await asked_after() == 3


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        (4, None),
        (5, (500, "Authorization error (user=admin, verb=get, resource=nodes, subresource=pods)")),
    ],
)
async def test_access_review_is_asked_again(failures: int, expected: tuple[int, str] | None) -> None:
    """Five attempts while the API cannot answer; then an error, which is no yes."""
    reviews = Reviews(allowed=("pods",), failures=failures)
    asked = request(subject=((("commonName", "admin"),),))
    if expected is None:
        assert (await guard(reviews).check(asked)).name == "admin"
    else:
        assert await denied(guard(reviews), asked) == expected
    assert len(reviews.asked) == 5


async def test_token_review_that_fails() -> None:
    """Who cannot be asked about does not get in."""
    assert await denied(guard(Reviews(failures=99)), request(headers=BEARER)) == (401, "Unauthorized")


async def test_no_api() -> None:
    """Without an API, access that has to be asked for is an error."""
    text = "Authorization error (user=admin, verb=get, resource=nodes, subresource=pods)"
    assert await denied(guard(None), request(subject=((("commonName", "admin"),),))) == (500, text)


@pytest.mark.parametrize(
    "answer", [b"<html>", b"[]", b"{}", b'{"status": "yes"}', b'{"status": {"authenticated": true, "user": "root"}}']
)
async def test_rubbish_lets_nobody_in(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Answers that are no reviews are refusals, and the log says why; what is asked again and again is told once."""

    class Rubbish(Reviews):
        async def request(self, *_: Any, **__: Any) -> bytes:
            return answer

    guarded = guard(Rubbish())
    assert await denied(guarded, request(headers=BEARER)) == (401, "Unauthorized")
    assert await denied(guarded, request(headers=BEARER)) == (401, "Unauthorized")
    certified = request(subject=((("commonName", "admin"),),))
    status, _ = await denied(guarded, certified)
    assert status == (403 if b"authenticated" in answer else 500)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == (0 if b"authenticated" in answer else 1)
