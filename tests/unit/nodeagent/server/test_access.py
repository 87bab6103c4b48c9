"""Who gets in, and how the others are told."""

import json
import shutil
import ssl

import aiohttp
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from nodeagent.api.errors import Fault, Forbidden, Unavailable
from nodeagent.server.auth import subresources_of


class Reviews:
    """The API's reviews: `tokens` by token, `allowed` as (user, subresource); faults come first."""

    def __init__(self, tokens=None, allowed=(), faults=()):
        self.tokens, self.allowed, self.faults = tokens or {}, set(allowed), list(faults)
        self.asked = []

    async def request(self, method, path, body=None, content_type="application/json"):
        document = json.loads(body)
        self.asked.append((method, path, document))
        if self.faults:
            raise self.faults.pop(0)
        spec = document["spec"]
        if path == "/apis/authentication.k8s.io/v1/tokenreviews":
            user = self.tokens.get(spec["token"])
            return json.dumps({"status": {"authenticated": user is not None, "user": user}}).encode()
        assert path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        allowed = (spec["user"], spec["resourceAttributes"]["subresource"]) in self.allowed
        return json.dumps({"status": {"allowed": allowed}}).encode()


async def no_sleep(seconds):
    """Time does not pass."""


ANN = {"username": "ann", "uid": "7", "groups": ["devs"], "extra": {"scope": ["a"]}}


@pytest.fixture
async def guarded(make_endpoint):
    """An endpoint that asks the API; `ann` has a token."""
    reviews = Reviews(tokens={"good": ANN}, allowed=[("admin", "proxy"), ("ann", "metrics"), ("ann", "healthz")])
    endpoint = await make_endpoint(reviews=reviews, guard={"sleep": no_sleep})
    endpoint.reviews = reviews
    return endpoint


async def anonymous(endpoint, path, **headers):
    async with endpoint.http(None) as http, http.get(path, headers=headers) as answer:
        return answer.status, await answer.text()


PATHS = [
    "/pods",
    "/healthz",
    "/nothing",
    "/exec/default/web/main?output=1",
    "/metrics",
    "/debug/pprof/heap",
    "/debug/pods",
]


@pytest.mark.parametrize("path", [*PATHS, "/debug/flags/v", "/checkpoint/default/web/main", "/configz", "/logs/"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer bad"}, {"Authorization": "Basic Z29vZDpnb29k"}])
async def test_nobody_without_a_name(guarded, path, headers):
    """Without a certificate or a good token the answer is 401, whatever is asked."""
    assert await anonymous(guarded, path, **headers) == (401, "Unauthorized")


async def test_client_certificate(guarded):
    """CN is the name, O the groups; one review, then its answer is remembered."""
    for _ in range(2):
        assert (await guarded.get("/pods"))[0] == 200
    first, second = guarded.reviews.asked
    assert first[2]["spec"]["resourceAttributes"]["subresource"] == "pods"
    assert second == (
        "POST",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": "admin",
                "groups": ["system:masters", "devs", "system:authenticated"],
                "uid": "",
                "extra": {},
                "resourceAttributes": {
                    "verb": "get",
                    "version": "v1",
                    "resource": "nodes",
                    "subresource": "proxy",
                    "name": "node-1",
                },
            },
        },
    )


async def test_token(guarded):
    """A good token is its user; who is refused hears what was asked for."""
    header = {"Authorization": "Bearer good"}
    assert await anonymous(guarded, "/healthz", **header) == (200, "ok")
    assert await anonymous(guarded, "/pods", **header) == (
        403,
        "Forbidden (user=ann, verb=get, resource=nodes, subresource(s)=[pods proxy])\n",
    )
    kinds = [document["kind"] for _, _, document in guarded.reviews.asked]
    assert kinds == ["TokenReview", *["SubjectAccessReview"] * 3]
    spec = guarded.reviews.asked[1][2]["spec"]
    assert (spec["user"], spec["uid"], spec["groups"], spec["extra"]) == (
        "ann",
        "7",
        ["devs", "system:authenticated"],
        {"scope": ["a"]},
    )


async def test_verbs(guarded):
    """A POST needs `create`: WebSocket clients and SPDY clients need different rights."""
    header = {"Authorization": "Bearer good"}
    async with guarded.http(None) as http, http.post("/exec/default/web/main", headers=header) as answer:
        assert (answer.status, await answer.text()) == (
            403,
            "Forbidden (user=ann, verb=create, resource=nodes, subresource(s)=[proxy])\n",
        )


async def test_api_in_trouble(make_endpoint):
    """An API that cannot answer is asked again; one that stays away, or refuses, is an error and lets nobody in."""
    passing = Reviews(allowed=[("admin", "pods")], faults=[Unavailable("refused", Fault.REFUSED)] * 4)
    endpoint = await make_endpoint(reviews=passing, guard={"sleep": no_sleep})
    assert (await endpoint.get("/pods"))[0] == 200
    staying = Reviews(allowed=[("admin", "pods")], faults=[Unavailable("refused", Fault.REFUSED)] * 5)
    endpoint = await make_endpoint(reviews=staying, guard={"sleep": no_sleep})
    assert await endpoint.get("/pods") == (
        500,
        "Authorization error (user=admin, verb=get, resource=nodes, subresource=pods)",
    )
    refusing = Reviews(tokens={"good": ANN}, faults=[Forbidden(403, "Forbidden", "no")])
    endpoint = await make_endpoint(reviews=refusing, guard={"sleep": no_sleep})
    assert await anonymous(endpoint, "/pods", Authorization="Bearer good") == (401, "Unauthorized")
    assert len(refusing.asked) == 1


async def test_anonymous_is_still_judged(make_endpoint):
    """Where anonymous requests are on, they are a user like any other; a bad token is not anonymous."""
    reviews = Reviews(allowed=[("system:anonymous", "healthz")])
    endpoint = await make_endpoint(reviews=reviews, guard={"anonymous": True})
    assert await anonymous(endpoint, "/healthz") == (200, "ok")
    assert (await anonymous(endpoint, "/pods"))[0] == 403
    assert (await anonymous(endpoint, "/healthz", Authorization="Bearer bad"))[0] == 401


async def test_certificates_that_do_not_count(make_endpoint, authorities, tmp_path):
    """A stranger's CA, or a server's certificate, gets no answer at all."""
    endpoint = await make_endpoint()
    for pair in (
        authorities["serving"].issue("stranger", "admin"),
        authorities["clients"].issue("wrong-usage", "admin", usage=ExtendedKeyUsageOID.SERVER_AUTH),
    ):
        with pytest.raises((ssl.SSLError, aiohttp.ClientError, ConnectionError)):
            async with endpoint.http(pair) as http, http.get("/pods") as answer:
                await answer.text()


async def test_changed_files_are_read_again(make_endpoint, authorities, tmp_path):
    """A new client CA and a new serving certificate count from the next connection on; broken files change nothing."""
    names = {"ca": authorities["clients"].file, "crt": authorities["server"][0], "key": authorities["server"][1]}
    files = {name: shutil.copy(path, tmp_path / name) for name, path in names.items()}
    settings = {"client_ca": files["ca"], "certificate": files["crt"], "key": files["key"]}
    endpoint = await make_endpoint(settings=settings)
    newcomer = authorities["serving"].issue("newcomer", "newcomer")
    with pytest.raises((ssl.SSLError, aiohttp.ClientError, ConnectionError)):
        async with endpoint.http(newcomer) as http, http.get("/pods") as answer:
            await answer.text()
    files["crt"].write_text("broken")
    assert (await endpoint.get("/pods"))[0] == 200
    fresh = authorities["serving"].issue("fresh", "fresh", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    shutil.copy(authorities["serving"].file, files["ca"])
    shutil.copy(fresh[0], files["crt"])
    shutil.copy(fresh[1], files["key"])
    async with endpoint.http(newcomer) as http, http.get("/pods") as answer:
        assert answer.status == 200
    with pytest.raises((ssl.SSLError, aiohttp.ClientError, ConnectionError)):
        await endpoint.get("/pods")


async def test_old_tls_is_refused(endpoint):
    """TLS 1.1 is too old."""
    context = endpoint.tls()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises((ssl.SSLError, aiohttp.ClientError)):
            await session.get(f"{endpoint.url}/pods")


@pytest.mark.parametrize(
    ("path", "subresources"),
    [
        ("/stats/summary", ("stats",)),
        ("/metrics", ("metrics",)),
        ("/metrics/resource", ("metrics",)),
        ("/logs/", ("log",)),
        ("/checkpoint/a/b/c", ("checkpoint",)),
        ("/statusz", ("statusz",)),
        ("/flagz", ("configz",)),
        ("/pods", ("pods", "proxy")),
        ("/podsandmore", ("proxy",)),
        ("/runningpods/", ("pods", "proxy")),
        ("/healthz/ping", ("healthz", "proxy")),
        ("/configz", ("configz", "proxy")),
        ("/exec/a/b/c", ("proxy",)),
        ("/run/a/b/c", ("proxy",)),
        ("/portForward/a/b", ("proxy",)),
        ("/containerLogs/a/b/c", ("proxy",)),
        ("/debug/pprof", ("proxy",)),
        ("/debug/pods", ("proxy",)),
    ],
)
def test_subresources(path, subresources):
    """Each path asks for its own rights."""
    assert subresources_of(path) == subresources
