"""The protocol as any client sees it: codes, headers, formats, long lists, watches."""

import http.client
import json
import threading
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

pytestmark = pytest.mark.node

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "reason", "message"),
    [
        ("GET", "/api/v1/widgets", None, 404, "NotFound", "the server could not find the requested resource"),
        ("GET", "/apis/no.group/v1/things", None, 404, "NotFound", "the server could not find the requested resource"),
        ("GET", f"{MAPS}/none", None, 404, "NotFound", 'configmaps "none" not found'),
        ("GET", "/api/v1/namespaces/default/nodes", None, 404, "NotFound", None),
        ("GET", "/api/v1/pods/x", None, 404, "NotFound", None),
        ("GET", "/api/v1/namespaces/default/pods/x/scale", None, 404, "NotFound", None),
        ("PUT", MAPS, {}, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
        ("POST", "/api/v1/pods", {}, 405, "MethodNotAllowed", None),
        ("POST", f"{MAPS}/x", {}, 405, "MethodNotAllowed", None),
        ("POST", "/api/v1/namespaces/none/configmaps", config_map("x"), 404, "NotFound", 'namespaces "none" not found'),
        ("POST", MAPS, b"{", 400, "BadRequest", None),
        ("POST", MAPS, config_map("Bad_Name"), 422, "Invalid", None),
        ("PATCH", f"{MAPS}/x", {}, 415, "UnsupportedMediaType", "415: Unsupported Media Type"),
        ("GET", f"{MAPS}?fieldSelector=spec.x%3D1", None, 400, "BadRequest", "field label not supported: spec.x"),
        ("GET", f"{MAPS}?resourceVersion=999999999", None, 504, "Timeout", None),
        ("GET", f"{MAPS}?watch=1&resourceVersion=999999999", None, 504, "Timeout", None),
        ("POST", MAPS, config_map("big", x="y" * (3 << 20)), 413, "RequestEntityTooLarge", None),
    ],
)
def test_refusals(server: Any, method: str, path: str, body: Any, code: int, reason: str, message: str | None) -> None:
    """Every refusal is a Status with the code and reason that clients decide by."""
    status, answer = server.request(method, path, body)
    assert (status, answer["kind"], answer["reason"], answer["code"]) == (code, "Status", reason, code)
    assert message is None or answer["message"] == message


DECODING = "error decoding patch: "
UNKNOWN = (
    "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
)
NOT_INT = 'strconv.ParseInt: parsing "x": invalid syntax'
JSON, MERGE, STRATEGIC = (
    {"Content-Type": f"application/{kind}-patch+json"} for kind in ("json", "merge", "strategic-merge")
)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code", "message"),
    [
        ("POST", MAPS, b"", {}, 400, f"{UNKNOWN}unexpected end of JSON input (<empty>)"),
        ("POST", MAPS, b"{} x", {}, 400, f"{UNKNOWN}invalid character 'x' after top-level value ({{}} x)"),
        ("POST", MAPS, b"[]", {}, 400, None),
        ("PUT", f"{MAPS}/target", b"", {}, 400, f"{UNKNOWN}unexpected end of JSON input (<empty>)"),
        (
            "POST",
            MAPS,
            {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}},
            {},
            400,
            'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion',
        ),
        (
            "POST",
            MAPS,
            {"metadata": {"name": "x", "namespace": "kube-system"}},
            {},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ("PATCH", f"{MAPS}/target", b"", JSON, 400, f"{DECODING}unexpected end of JSON input"),
        ("PATCH", f"{MAPS}/target", b"{", MERGE, 400, f"{DECODING}unexpected end of JSON input"),
        ("PATCH", f"{MAPS}/target", b"[]", STRATEGIC, 400, None),
        (
            "PATCH",
            f"{MAPS}/target",
            [{"op": "test", "path": "/data/a", "value": "no"}],
            JSON,
            422,
            "the server rejected our request due to an error in our request",
        ),
        (
            "PATCH",
            f"{MAPS}/target",
            {"metadata": {"namespace": "kube-system"}},
            MERGE,
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ("PATCH", f"{MAPS}/target", {"data": 7}, MERGE, 422, None),
        (
            "DELETE",
            f"{MAPS}/target",
            {"kind": "Pod", "apiVersion": "v1"},
            {},
            400,
            'no kind "Pod" is registered for version "v1"',
        ),
        ("DELETE", f"{MAPS}/target", b"[]", {}, 400, None),
        ("DELETE", f"{MAPS}/target", {"gracePeriodSeconds": "x"}, {}, 400, None),
        ("DELETE", f"{MAPS}/target?gracePeriodSeconds=x", None, {}, 400, NOT_INT),
        (
            "DELETE",
            f"{MAPS}/target?propagationPolicy=Foo",
            None,
            {},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Foo": supported values: '
            '"Foreground", "Background", "Orphan", "nil"',
        ),
        (
            "POST",
            f"{MAPS}?dryRun=some",
            config_map("x"),
            {},
            422,
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["some"]: supported values: "All"',
        ),
        ("GET", f"{MAPS}?limit=x", None, {}, 400, NOT_INT),
        ("GET", f"{MAPS}?watch=1&timeoutSeconds=x", None, {}, 400, NOT_INT),
        (
            "GET",
            f"{MAPS}?labelSelector=a%20b",
            None,
            {},
            400,
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ),
    ],
)
def test_bad_requests(
    server: Any, method: str, path: str, body: Any, headers: Any, code: int, message: str | None
) -> None:
    """Bodies, patches and options that are no such thing: the code and the words of a kube-apiserver, and nothing changes."""
    server.request("POST", MAPS, config_map("target", a="b"))
    status, answer = server.request(method, path, body, headers=headers)
    assert (status, answer["code"]) == (code, code)
    assert message is None or answer["message"] == message
    assert server.request("GET", f"{MAPS}/target")[1]["data"] == {"a": "b"}


def test_unknown_path(server: Any) -> None:
    """A path that is no API path is plain text."""
    assert server.request("GET", "/no/such") == (404, "404 page not found\n")


def test_formats(server: Any) -> None:
    """YAML in and out; 406 and 415 for what is not spoken."""
    text = b"metadata:\n  name: from-yaml\ndata:\n  'on': 'yes'\n"
    assert server.request("POST", MAPS, text, headers={"Content-Type": "application/yaml"})[0] == 201
    status, answer = server.request("GET", f"{MAPS}/from-yaml", headers={"Accept": "application/yaml"})
    assert (status, "data:\n  'on': 'yes'\n" in answer) == (200, True)
    assert server.request("GET", MAPS, headers={"Accept": "text/html"})[0] == 406
    assert server.request("POST", MAPS, b"x", headers={"Content-Type": "text/csv"})[0] == 415


def test_warnings(server: Any) -> None:
    """An unknown field is warned of in a header, and not stored."""
    request = urllib.request.Request(
        server.url + MAPS,
        data=json.dumps({**config_map("warned"), "spec": {"x": 1}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, context=server.tls(), timeout=30) as answer:
        assert answer.headers["Warning"] == '299 - "unknown field \\"spec\\""'
        assert "spec" not in json.load(answer)


def test_discovery_is_cached_by_tag(server: Any) -> None:
    """Aggregated discovery has a tag, and costs nothing when it is known."""
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    request = urllib.request.Request(server.url + "/apis", headers=accept)
    with urllib.request.urlopen(request, context=server.tls(), timeout=30) as answer:
        assert answer.headers["Content-Type"] == accept["Accept"]
        assert answer.headers["Vary"] == "Accept"
        tag = answer.headers["ETag"]
    assert server.request("GET", "/apis", headers={**accept, "If-None-Match": tag})[0] == 304


def test_pages_and_delete_collection(server: Any) -> None:
    """A long list in pages holds every object once; a collection is deleted by selector."""
    for number in range(25):
        made = {"metadata": {"name": f"page-{number:02}", "labels": {"page": "yes"}}}
        assert server.request("POST", MAPS, made)[0] == 201
    names: list[str] = []
    token = ""
    while True:
        path = f"{MAPS}?labelSelector=page%3Dyes&limit=10&continue={quote(token)}"
        page = server.request("GET", path)[1]
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [f"page-{number:02}" for number in range(25)]
    deleted = server.request("DELETE", f"{MAPS}?labelSelector=page%3Dyes")[1]
    assert (deleted["kind"], len(deleted["items"])) == ("ConfigMapList", 25)
    assert server.request("GET", f"{MAPS}?labelSelector=page%3Dyes")[1]["items"] == []


def test_watch_sees_commits_in_order(server: Any) -> None:
    """A watch from a list's resourceVersion gets every later change of what it selected, once and in order."""
    revision = server.request("GET", MAPS)[1]["metadata"]["resourceVersion"]
    url = urlsplit(server.url)
    connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=server.tls(), timeout=60)
    connection.request("GET", f"{MAPS}?watch=true&resourceVersion={revision}&labelSelector=w%3Dyes")
    stream = connection.getresponse()
    assert stream.headers["Transfer-Encoding"] == "chunked"

    def write(worker: int) -> None:
        for number in range(10):
            made = {"metadata": {"name": f"w-{worker}-{number}", "labels": {"w": "yes"}}}
            assert server.request("POST", MAPS, made)[0] == 201

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    events = [json.loads(stream.readline()) for _ in range(40)]
    for thread in threads:
        thread.join()
    connection.close()
    assert {event["type"] for event in events} == {"ADDED"}
    assert len({event["object"]["metadata"]["name"] for event in events}) == 40
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(set(revisions))
    server.request("DELETE", f"{MAPS}?labelSelector=w%3Dyes")


def test_watch_ends_in_time(server: Any) -> None:
    """timeoutSeconds ends a watch cleanly, after a bookmark for those who want one."""
    path = f"{MAPS}?watch=true&resourceVersion=0&timeoutSeconds=3&allowWatchBookmarks=true&labelSelector=none"
    status, answer = server.request("GET", path)
    assert (status, answer["type"], answer["object"]["kind"]) == (200, "BOOKMARK", "ConfigMap")


def test_conflicting_writers(server: Any) -> None:
    """Of writers that read the same version one wins, the others are told."""
    assert server.request("POST", MAPS, config_map("race", n="0"))[0] == 201
    current = server.request("GET", f"{MAPS}/race")[1]
    codes: list[int] = []

    def write(number: int) -> None:
        codes.append(server.request("PUT", f"{MAPS}/race", {**current, "data": {"n": str(number)}})[0])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [409] * 7
