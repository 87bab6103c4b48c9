"""The typed client against a server that answers, fails and drops as scripted."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.core_v1 import ConfigMap, Node, Pod, ServiceAccount
from lightkube.models.meta_v1 import ObjectMeta
from typing_extensions import override

from nodeagent.api import errors
from nodeagent.api.client import MAX_IN_FLIGHT, ApiClient, EventType, PatchType
from nodeagent.api.credentials import StaticToken, TokenFile
from nodeagent.api.errors import Fault
from nodeagent.api.kubeconfig import Connection
from nodeagent.api.observers import Unobserved
from nodeagent.api.transport import Transport


async def test_get_asks_the_right_path_and_decodes(make: Any, script: Any, client: ApiClient) -> None:
    """get() reads one object from its namespaced path, as JSON, and returns the typed model."""
    script.answer(make.config_map("a", 3, data={"k": "v"}))
    found = await client.get(ConfigMap, "a", "ns")
    assert found == ConfigMap(
        metadata=ObjectMeta(name="a", namespace="ns", resourceVersion="3", uid="uid-a"), data={"k": "v"}
    )
    assert script.calls == [("GET", "/api/v1/namespaces/ns/configmaps/a")]
    assert script.seen[0].headers["Accept"] == "application/json"


async def test_another_form_can_be_asked_for(script: Any, client: ApiClient) -> None:
    """What is accepted is said as it was given."""
    script.answer({})
    await client.request("GET", "/x", accept="application/json;v=v1")
    assert script.seen[0].headers["Accept"] == "application/json;v=v1"


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Expired),
        (410, "Gone", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (503, "ServiceUnavailable", errors.ServerError),
        (405, "MethodNotAllowed", errors.ApiError),
    ],
)
async def test_each_status_becomes_its_error(
    make: Any, script: Any, client: ApiClient, code: int, reason: str, kind: type[errors.ApiError]
) -> None:
    """An error answer is raised as the class of its code and reason, with the server's message and details."""
    script.answer(make.failure(code, reason, "told you", name="a", kind="pods"), code)
    with pytest.raises(errors.ApiError) as caught:
        await client.get(Pod, "a", "ns")
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (code, reason, "told you")
    assert error.details is not None
    assert error.details.name == "a"


async def test_a_burst_takes_turns(make: Any, script: Any, client: ApiClient) -> None:
    """So many requests are under way and no more; a watch, and a client that shares the connections, does not wait for them."""
    burst = [asyncio.create_task(client.request("GET", "/burst")) for _ in range(MAX_IN_FLIGHT + 1)]
    await script.asked(MAX_IN_FLIGHT)
    script.answer({})
    await client.sharing(qps=-1, burst=1).request("GET", "/shared")
    script.watch(make.bookmark(1))
    assert [item async for item in client.watch(ConfigMap)]
    assert len(script.seen) == MAX_IN_FLIGHT + 2
    burst[0].cancel()
    await script.asked(MAX_IN_FLIGHT + 3)
    for request in burst:
        request.cancel()


async def test_an_error_that_is_no_status_keeps_its_text(make: Any, script: Any, client: ApiClient) -> None:
    """A proxy's error is raised with its text as message, on one line and not all of it."""
    script.answer(b"<html>\n  <body>bad gateway</body>" + b"x" * 5000, 502)
    with pytest.raises(
        errors.ServerError, match=r"^the server answered 502: <html> <body>bad gateway</body>x+$"
    ) as caught:
        await client.get(Pod, "a", "ns")
    assert len(caught.value.message) < 300


async def test_404_of_a_path_is_not_404_of_an_object(make: Any, script: Any, client: ApiClient) -> None:
    """Only an API that names the object says that it is gone; a path nobody serves, or a proxy's page, says nothing of it."""
    answers = (
        (make.failure(404, "NotFound", name="a", kind="pods"), errors.NotFound),
        (make.failure(404, "NotFound", "the server could not find the requested resource"), errors.NotServed),
        (b"404 page not found\n", errors.NotServed),
        (b"<html><body>Not Found</body></html>", errors.NotServed),
    )
    for body, expected in answers:
        script.answer(body, 404)
        with pytest.raises(errors.ApiError) as caught:
            await client.get(Pod, "a", "ns")
        assert type(caught.value) is expected


RUBBISH = (
    b"<html><body>Welcome</body></html>",
    b'{"kind":"ConfigMapLi',
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"metadata":{"resourceVersion":"7"},"items":[]}',
    b'{"kind":"SecretList","metadata":{"resourceVersion":"7"},"items":[]}',
    b'{"kind":"Status","status":"Success"}',
    b'{"kind":"ConfigMapList","metadata":{},"items":[{}]}',
    b'{"kind":"ConfigMapList","metadata":{},"items":[null]}',
    b'{"kind":"ConfigMapList","metadata":{},"items":[{"metadata":{"name":7}}]}',
)


@pytest.mark.parametrize("body", RUBBISH)
async def test_rubbish_is_no_list(script: Any, client: ApiClient, body: bytes) -> None:
    """Whatever is no list of that kind is an error: it never passes for an empty list, nor its items for objects."""
    script.answer(body)
    with pytest.raises(errors.Unavailable) as caught:
        await client.list(ConfigMap, "ns")
    assert caught.value.fault is errors.Fault.MALFORMED


@pytest.mark.parametrize("body", RUBBISH)
async def test_rubbish_is_no_object(script: Any, client: ApiClient, body: bytes) -> None:
    """The same for one object."""
    script.answer(body)
    with pytest.raises(errors.Unavailable) as caught:
        await client.get(ConfigMap, "a", "ns")
    assert caught.value.fault is errors.Fault.MALFORMED


@pytest.mark.parametrize(
    "line",
    [
        b"<html>\n",
        b'{"type":"ADDED"\n',
        b'{"type":"ADDED","object":{}}\n',
        b'{"type":"ADDED","object":null}\n',
        b'{"type":"ADDED","object":{"kind":"Secret","metadata":{"name":"a","resourceVersion":"1"}}}\n',
        b'{"type":"BOOKMARK","object":{"kind":"Secret","metadata":{"resourceVersion":"1"}}}\n',
        b'{"type":"SOMETHING","object":{"kind":"ConfigMap","metadata":{"name":"a"}}}\n',
        b'{"kind":"ConfigMapList","metadata":{"resourceVersion":"7"},"items":[]}\n',
    ],
)
async def test_rubbish_is_no_watch_event(script: Any, client: ApiClient, line: bytes) -> None:
    """The same for what comes down a watch."""
    script.watch(line, end="stay")
    with pytest.raises(errors.Unavailable) as caught:
        await anext(client.watch(ConfigMap, "ns"))
    assert caught.value.fault is errors.Fault.MALFORMED


async def test_a_page_is_no_watch(make: Any, script: Any, client: ApiClient) -> None:
    """200 with HTML where a watch was asked for: an error at once, before anything of it is read."""
    script.watches.append(make.answering(b"<html></html>", 200, {"Content-Type": "text/html"}))
    with pytest.raises(errors.Unavailable, match=r"^the answer to a watch is text/html$"):
        await anext(client.watch(ConfigMap, "ns"))


async def test_retry_after_is_kept(make: Any, script: Any, client: ApiClient, naps: Any) -> None:
    """429 and 5xx with Retry-After are tried again after that time; the object arrives in the end."""
    script.answer(make.failure(429, "TooManyRequests"), 429, {"Retry-After": "2"})
    script.answer(make.failure(503, "ServiceUnavailable"), 503, {"Retry-After": "1"})
    script.answer(make.config_map("a", 1))
    await client.get(ConfigMap, "a", "ns")
    assert naps.seconds == [2.0, 1.0]


class Told(Unobserved):
    """What was told, in order; times left out."""

    def __init__(self) -> None:
        self.of: list[tuple[Any, ...]] = []

    @override
    def waited(self, verb: str, seconds: float) -> None:
        self.of.append(("waited", verb))

    @override
    def answered(self, verb: str, code: str) -> None:
        self.of.append(("answered", verb, code))

    @override
    def retried(self, verb: str, code: str) -> None:
        self.of.append(("retried", verb, code))

    @override
    def received(self, verb: str, size_bytes: int) -> None:
        self.of.append(("received", verb, size_bytes))

    @override
    def ended(self, verb: str, seconds: float, sent_bytes: int) -> None:
        self.of.append(("ended", verb, sent_bytes))

    @override
    def resolved(self, host: str, seconds: float) -> None:
        self.of.append(("resolved", host))


async def test_what_is_told_of_calls(script: Any, naps: Any, make: Any) -> None:
    """Of a call: its turn, each attempt, that it was another one, how much came, and once that it is over. Of a watch: its
    answer. A client without a limit has no turn; the name is asked for once for what is done together."""
    told = Told()
    url = script.url.replace("127.0.0.1", "localhost")
    script.answer(make.failure(429, "TooManyRequests"), 429, {"Retry-After": "2"})
    script.answer(b"{}")
    script.answer(b"{}")
    script.watch(end="clean")
    transport = Transport(Connection(server=url), observer=told)
    async with ApiClient(transport, sleep=naps) as client:
        await client.request("PATCH", "/a", b"{ }")
        patch, told.of = told.of, []
        await client.sharing(qps=-1, burst=1).request("GET", "/a")
        assert [event async for event in client.watch(ConfigMap, timeout_seconds=1)] == []
    size = len(json.dumps(make.failure(429, "TooManyRequests")))
    assert patch == [
        *(("waited", "PATCH"), ("resolved", "localhost"), ("answered", "PATCH", "429"), ("received", "PATCH", size)),
        *(("answered", "PATCH", "200"), ("retried", "PATCH", "200"), ("received", "PATCH", 2), ("ended", "PATCH", 3)),
    ]
    assert told.of == [
        ("answered", "GET", "200"),
        ("received", "GET", 2),
        ("ended", "GET", 0),
        ("answered", "GET", "200"),
    ]


async def test_retries_end_after_ten(make: Any, script: Any, client: ApiClient, naps: Any) -> None:
    """The eleventh answer is the caller's, whatever it is."""
    for _ in range(11):
        script.answer(make.failure(503, "ServiceUnavailable"), 503, {"Retry-After": "1"})
    with pytest.raises(errors.ServerError):
        await client.get(ConfigMap, "a", "ns")
    assert (len(script.seen), len(naps.seconds)) == (11, 10)


@pytest.mark.parametrize(("status", "headers"), [(503, {}), (404, {"Retry-After": "1"}), (503, {"Retry-After": "x"})])
async def test_no_retry_without_being_asked(
    make: Any, script: Any, client: ApiClient, status: int, headers: dict[str, str]
) -> None:
    """An error without a usable Retry-After, or one that retrying cannot help, is raised at once."""
    script.answer(make.failure(status, ""), status, headers)
    with pytest.raises(errors.ApiError):
        await client.get(ConfigMap, "a", "ns")
    assert len(script.seen) == 1


async def test_a_dropped_get_is_asked_again(make: Any, script: Any, client: ApiClient, naps: Any) -> None:
    """A GET whose connection is reset is repeated at once, then after a second."""
    script.answers += [make.dropping(), make.dropping(), make.dropping(), make.dropping()]
    script.answer(make.config_map("a", 1))
    assert (await client.get(ConfigMap, "a", "ns")).metadata is not None
    assert naps.seconds == [1.0, 1.0]


async def test_a_dropped_post_is_not_repeated(make: Any, script: Any, client: ApiClient) -> None:
    """A POST may have been carried out: the reset is the caller's to judge."""
    script.answers.append(make.dropping())
    with pytest.raises(errors.Unavailable) as caught:
        await client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="ns")))
    assert caught.value.fault is Fault.RESET
    assert script.calls == [("POST", "/api/v1/namespaces/ns/configmaps")]


async def test_a_server_that_hangs_meets_the_deadline(make: Any, script: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A call without an answer ends as Unavailable(TIMEOUT); a second one says that the connections are given up."""
    async with ApiClient(script.connection(), timeout_seconds=0.01) as client:
        for given_up in (False, True):
            with pytest.raises(errors.Unavailable) as caught:
                await client.get(ConfigMap, "a", "ns")
            assert caught.value.fault is Fault.TIMEOUT
            assert ("nothing comes from it any more" in caplog.text) is given_up


async def test_a_server_of_which_nothing_comes(make: Any, script: Any) -> None:
    """Two requests in a row without an answer end all connections, so that no watch waits for who has gone; one does not."""
    script.watch(make.event("ADDED", make.config_map("a", 1)), end="stay")
    script.answers += [make.answering(make.config_map("a", 1))] * 2
    transport = Transport(script.connection())
    async with ApiClient(transport) as client:
        async with aclosing(client.watch(ConfigMap, "ns")) as events:
            await anext(events)
            following = asyncio.ensure_future(anext(events))
            await transport.unanswered()
            await client.get(ConfigMap, "a", "ns")
            await transport.unanswered()
            assert not following.done()
            await transport.unanswered()
            with pytest.raises(errors.Unavailable) as caught:
                await following
        assert caught.value.fault is Fault.RESET
        await client.get(ConfigMap, "a", "ns")


async def test_a_token_that_is_refused_is_asked_for_anew(make: Any, script: Any, tmp_path: Path) -> None:
    """401 goes to the caller; the next request has what the token's source says then."""
    file = tmp_path / "token"
    file.write_text("old")
    async with ApiClient(script.connection(credentials=TokenFile(str(file)))) as client:
        for number, status in enumerate((200, 401, 200)):
            script.answer(make.config_map("a", 1) if status == 200 else make.failure(401, "Unauthorized"), status)
            if status == 401:
                file.write_text("new")
                with pytest.raises(errors.Unauthorized):
                    await client.get(ConfigMap, "a", "ns")
            else:
                await client.get(ConfigMap, "a", "ns")
            assert len(script.seen) == number + 1
    assert [request.headers["Authorization"] for request in script.seen] == ["Bearer old", "Bearer old", "Bearer new"]


async def test_a_silent_watch_ends(make: Any, script: Any, client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch with bookmarks of which nothing comes for minutes ends like one that the server ends; without, it goes on."""
    monkeypatch.setattr("nodeagent.api.client.WATCH_SILENCE_SECONDS", 0.02)
    for _ in range(2):
        script.watch(make.event("ADDED", make.config_map("a", 1)), end="stay")
    async with aclosing(client.watch(ConfigMap, "ns")) as events:
        assert [event.resource_version async for event in events] == ["1"]
    async with aclosing(client.watch(ConfigMap, "ns", bookmarks=False)) as events:
        await anext(events)
        following = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait([following], timeout=0.1)
        assert not done
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_nobody_there_and_closed(make: Any, script: Any, unused_tcp_port: int) -> None:
    """No listener is Unavailable(REFUSED); a closed client is Unavailable(CLOSED)."""
    client = ApiClient(script.connection().__class__(server=f"http://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(errors.Unavailable) as caught:
        await client.get(ConfigMap, "a", "ns")
    assert caught.value.fault is Fault.REFUSED
    await client.close()
    with pytest.raises(errors.Unavailable) as caught:
        await client.get(ConfigMap, "a", "ns")
    assert caught.value.fault is Fault.CLOSED


async def test_rubbish_is_unavailable(make: Any, script: Any, client: ApiClient) -> None:
    """A 200 that is no object of the kind is Unavailable(MALFORMED), never a crash."""
    script.answer(b"<html>")
    with pytest.raises(errors.Unavailable) as caught:
        await client.get(ConfigMap, "a", "ns")
    assert caught.value.fault is Fault.MALFORMED


async def test_list_follows_pages(make: Any, script: Any, client: ApiClient) -> None:
    """list() asks for pages of 500 and joins them; selectors go with every page, the version only with the first."""
    script.answer(make.listing(9, make.config_map("a", 1), **{"continue": "tok"}))
    script.answer(make.listing(9, make.config_map("b", 2)))
    listed = await client.list(ConfigMap, field_selector="metadata.name=x", resource_version="0")
    assert ([item.metadata.name for item in listed.items if item.metadata], listed.resource_version) == (
        ["a", "b"],
        "9",
    )
    assert [request.query for request in script.seen] == [
        {"fieldSelector": "metadata.name=x", "resourceVersion": "0", "limit": "500"},
        {"fieldSelector": "metadata.name=x", "limit": "500", "continue": "tok"},
    ]


async def test_list_with_expired_continue_starts_over(make: Any, script: Any, client: ApiClient) -> None:
    """410 on a later page means one full list without paging; nothing of the first try remains."""
    script.answer(make.listing(9, make.config_map("a", 1), **{"continue": "tok"}))
    script.answer(make.failure(410, "Expired"), 410)
    script.answer(make.listing(12, make.config_map("b", 10), make.config_map("c", 11)))
    listed = await client.list(ConfigMap)
    assert ([item.metadata.name for item in listed.items if item.metadata], listed.resource_version) == (
        ["b", "c"],
        "12",
    )
    assert script.seen[2].query == {}


async def test_a_broken_item_does_not_hide_the_others(make: Any, script: Any, client: ApiClient) -> None:
    """An item that does not decode is left out of a list, which says that it is there."""
    script.answer(make.listing(9, make.config_map("a", 1, data=7), make.config_map("b", 2)))
    listed = await client.list(ConfigMap)
    assert [item.metadata.name for item in listed.items if item.metadata] == ["b"]
    assert listed.unread == {("ns", "a")}


async def test_watch_yields_events_over_any_chunking(make: Any, script: Any, client: ApiClient) -> None:
    """Events arrive whole however the bytes are cut, bookmarks carry the version, and the end is the end."""
    line = b'{"type":"ADDED","object":{"kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"5"}}}\n'
    script.watch(
        line[:10], line[10:] + line[:3], line[3:], make.bookmark(8), make.event("DELETED", make.config_map("a", 9))
    )
    events = [item async for item in client.watch(ConfigMap, "ns", resource_version="4", timeout_seconds=7)]
    assert [(item.type, item.resource_version, item.object is None) for item in events] == [
        (EventType.ADDED, "5", False),
        (EventType.ADDED, "5", False),
        (EventType.BOOKMARK, "8", True),
        (EventType.DELETED, "9", False),
    ]
    assert script.seen[0].query == {
        "watch": "true",
        "resourceVersion": "4",
        "timeoutSeconds": "7",
        "allowWatchBookmarks": "true",
    }


async def test_watch_raises_the_error_event(make: Any, script: Any, client: ApiClient) -> None:
    """An ERROR event is raised as the error of its Status."""
    script.watch(make.event("ERROR", make.failure(410, "Expired", "too old resource version: 1 (5)")))
    with pytest.raises(errors.Expired, match="too old resource version"):
        [item async for item in client.watch(ConfigMap)]


async def test_watch_that_is_cut_is_a_reset(make: Any, script: Any, client: ApiClient) -> None:
    """A watch whose connection breaks ends with Unavailable, not as if it were complete."""
    script.watch(make.event("ADDED", make.config_map("a", 5)), end="drop")
    with pytest.raises(errors.Unavailable):
        [item async for item in client.watch(ConfigMap)]


async def test_watch_deadline_never_hits_the_consumer(make: Any, script: Any, client: ApiClient) -> None:
    """However long the consumer takes between events, its own awaits are not cancelled by the watch."""
    script.watch(make.event("ADDED", make.config_map("a", 5)), make.event("ADDED", make.config_map("b", 6)))
    seen = []
    async for item in client.watch(ConfigMap, timeout_seconds=-31):  # a deadline that has passed already
        seen.append(item.resource_version)
        await asyncio.sleep(0)
    assert seen in ([], ["5", "6"])


async def test_writes(make: Any, script: Any, client: ApiClient) -> None:
    """create, replace, patch, delete and post use the verb, path, content type and body that the API wants."""
    node = {"kind": "Node", "metadata": {"name": "n"}}
    for _ in range(6):
        script.answer(node | {"kind": "Pod"} if len(script.answers) == 3 else node)
    obj = Node(metadata=ObjectMeta(name="n"))
    await client.create(obj)
    await client.replace(obj)
    await client.patch(Node, "n", None, {"status": {}}, subresource="status")
    await client.patch(Pod, "p", "ns", [], patch_type=PatchType.JSON)
    await client.delete(Pod, "p", "ns", grace_period_seconds=0, uid="u")
    assert await client.post(ServiceAccount, "sa", "ns", "token", {"a": 1}) == node

    def summary(request: Any) -> tuple[str, str, str, Any]:
        return request.method, request.path, request.headers["Content-Type"], request.body

    whole = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    assert [summary(request) for request in script.seen] == [
        ("POST", "/api/v1/nodes", "application/json", whole),
        ("PUT", "/api/v1/nodes/n", "application/json", whole),
        ("PATCH", "/api/v1/nodes/n/status", "application/strategic-merge-patch+json", {"status": {}}),
        ("PATCH", "/api/v1/namespaces/ns/pods/p", "application/json-patch+json", []),
        (
            "DELETE",
            "/api/v1/namespaces/ns/pods/p",
            "application/json",
            {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}},
        ),
        ("POST", "/api/v1/namespaces/ns/serviceaccounts/sa/token", "application/json", {"a": 1}),
    ]


async def test_rate_limit_waits_after_the_burst(make: Any, script: Any, naps: Any) -> None:
    """Calls beyond the burst wait for their token; watches take none; a sharing client has its own bucket."""
    for _ in range(4):
        script.answer(make.config_map("a", 1))
    script.watch()
    async with ApiClient(script.connection(), qps=0.001, burst=2, sleep=naps) as client:
        for _ in range(3):
            await client.get(ConfigMap, "a", "ns")
        assert [round(seconds, -2) for seconds in naps.seconds] == [1000]
        [item async for item in client.watch(ConfigMap)]
        await client.sharing(qps=-1, burst=0).get(ConfigMap, "a", "ns")
        assert len(naps.seconds) == 1


async def test_connections_are_reused_and_named(make: Any, script: Any) -> None:
    """Calls in sequence go over one connection, with the credentials and impersonation headers."""
    ports = set()

    async def handler(request: Any) -> Any:
        ports.add(request.transport.get_extra_info("peername"))
        return await ok(request)

    ok = make.answering(make.config_map("a", 1))
    script.answers += [handler, handler, handler]
    connection = script.connection(
        credentials=StaticToken("t0k"), headers=(("Impersonate-User", "u"), ("Impersonate-Group", "g"))
    )
    async with ApiClient(connection) as client:
        for _ in range(3):
            await client.get(ConfigMap, "a", "ns")
    assert len(ports) == 1
    headers = script.seen[0].headers
    assert (headers["Authorization"], headers["Impersonate-User"], headers["Impersonate-Group"]) == (
        "Bearer t0k",
        "u",
        "g",
    )


async def test_warnings_are_logged_once(
    make: Any, script: Any, client: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A Warning header is logged once per text."""
    for _ in range(2):
        script.answer(make.config_map("a", 1), headers={"Warning": '299 - "v1 X is deprecated"'})
        await client.get(ConfigMap, "a", "ns")
    assert [record.message for record in caplog.records if "deprecated" in record.message] == [
        "API server: v1 X is deprecated"
    ]
