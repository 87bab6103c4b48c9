"""Static pods: manifests, the file source, the http source, mirror pods."""

import asyncio
import gzip
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from agent_pods import agent_pod
from aiohttp import web
from aiohttp.test_utils import TestServer
from lightkube.models.core_v1 import Node, Pod
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api import errors
from nodeagent.api.certificates import self_signed
from nodeagent.podspec.pod import FILE, AgentPod
from nodeagent.sources import manifest
from nodeagent.sources.file import FileSource
from nodeagent.sources.http import HttpSource
from nodeagent.sources.manifest import InvalidManifest, StaticRules
from nodeagent.sources.merger import PodMerger
from nodeagent.sources.mirror import MirrorPods, is_mirror_of

GOOD = """
apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {day: 2026-01-01}}
spec: {containers: [{name: c, image: i}]}
"""


def prepare(pod: dict[str, Any]) -> list[str]:
    """Stands for the API's defaulting and validation."""
    pod["spec"].setdefault("restartPolicy", "Always")
    return ["spec.containers: Required value"] if not pod["spec"].get("containers") else []


def read(manifest: dict[str, Any]) -> dict[str, Any]:
    """Stands for the API's types."""
    try:
        msgspec.convert(manifest, Pod)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    return manifest


RULES = StaticRules(node_name="Node-1", read=read, prepare=prepare, tolerate=True)


def static(text: str = GOOD, origin: str = "/m/web.yaml", rules: StaticRules = RULES) -> Pod:
    return manifest.static_pod(manifest.decode(text.encode()), origin, rules)


def merged(text: str = GOOD) -> AgentPod:
    """The static pod behind the merger."""
    return AgentPod.of(static(text), FILE)


def test_a_manifest_becomes_a_pod_of_this_node() -> None:
    """Name, namespace, node, hash, phase and toleration are set; the API's defaults too; dates stay text."""
    found = msgspec.to_builtins(static())
    uid = found["metadata"].pop("uid")
    assert len(uid) == 32
    assert found == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-node-1",
            "namespace": "default",
            "annotations": {"day": "2026-01-01", "kubernetes.io/config.hash": uid},
        },
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "nodeName": "Node-1",
            "restartPolicy": "Always",
            "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {"phase": "Pending"},
    }


def test_the_uid_follows_the_content() -> None:
    """Same content, node and origin: same UID; a change of any: another one; a pinned UID stays."""
    uids = {
        (pod.metadata or ObjectMeta()).uid
        for pod in (
            static(),
            static(GOOD.replace("image: i", "image: j")),
            static(origin="/m/other.yaml"),
            static(rules=StaticRules(node_name="n2", read=read, prepare=prepare, tolerate=True)),
        )
    }
    assert len(uids) == 4
    assert (static().metadata or ObjectMeta()).uid == (static().metadata or ObjectMeta()).uid
    pinned = static(GOOD.replace("name: web", "name: web, uid: mine"))
    assert (pinned.metadata or ObjectMeta()).annotations == {"day": "2026-01-01", "kubernetes.io/config.hash": "mine"}


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ({"serviceAccountName": "x"}, "serviceaccounts"),
        ({"imagePullSecrets": [{"name": "x"}]}, "secrets"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, "secrets"),
        ({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}, "configmaps"),
        ({"resourceClaims": [{"name": "x"}]}, "resourceclaims"),
        ({"volumes": [{"name": "v", "ephemeral": {}}]}, "persistentvolumeclaims (via ephemeral volumes)"),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]}, "persistentvolumeclaims"),
        ({"volumes": [{"name": "v", "csi": {"driver": "x"}}]}, "csidrivers (via CSI volumes)"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "serviceaccounts (via projected volumes)",
        ),
    ],
)
def test_api_objects_are_out_of_reach(spec: dict[str, Any], reference: str) -> None:
    """A static pod that refers to an API object is refused with its kind."""
    document = manifest.decode(GOOD.encode())
    document["spec"].update(spec)
    with pytest.raises(InvalidManifest) as caught:
        manifest.static_pod(document, "o", RULES)
    assert str(caught.value) == f"static pods may not reference {reference}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML or JSON"),
        ("", "one object is expected, 0 documents"),
        ("{}\n---\n{}", "one object is expected, 2 documents"),
        ("[]", "one object is expected"),
        ("kind: Pod", "a v1 Pod is expected"),
        ("{apiVersion: v1, kind: PodList}", "a v1 Pod is expected"),
        ("{apiVersion: v1, kind: Pod, metadata: {}}", "spec is missing"),
        (GOOD.replace("image: i", "image: 7"), r"Expected `str \| null`, got `int`"),
        (GOOD.replace("annotations: {day: 2026-01-01}", "annotations: [x]"), "annotations"),
        (GOOD.replace("[{name: c, image: i}]", "[]"), "spec.containers: Required value"),
        ("a: &a [*a]", "JSON object|valid YAML"),
    ],
)
def test_manifests_that_cannot_be(text: str, message: str) -> None:
    """Every mistake is an InvalidManifest with its reason."""
    with pytest.raises(InvalidManifest, match=message):
        static(text)


class Taken:
    """A merger's output, to wait for."""

    def __init__(self, source: str) -> None:
        self.queue: asyncio.Queue[list[tuple[str, str]]] = asyncio.Queue()
        self.merger = PodMerger(self._take, [source], self)

    def _take(self, changes: Any) -> None:
        self.queue.put_nowait([(change.type.value, change.pod.metadata.name) for change in changes])

    def event(self, *_: Any, **__: Any) -> None:
        raise AssertionError("no events expected")


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[tuple[Path, Taken]]:
    """A file source over a folder that does not exist yet; it rescans only when told by inotify."""
    taken = Taken("file")
    folder = tmp_path / "manifests"
    task = asyncio.create_task(FileSource(folder, taken.merger, RULES, rescan_seconds=3600).run())
    yield folder, taken
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_folder_is_followed(watched: tuple[Path, Taken], caplog: pytest.LogCaptureFixture) -> None:
    """Missing is empty; files come, change and go at once; bad, hidden and nested files change nothing."""
    folder, taken = watched
    assert await taken.queue.get() == []
    staging = folder.with_name("staging")
    staging.mkdir()
    (staging / "b.yaml").write_text(GOOD.replace("web", "b"))
    (staging / "bad.yaml").write_text("a: [")
    (staging / ".hidden.yaml").write_text(GOOD)
    (staging / "sub").mkdir()
    with caplog.at_level(logging.ERROR):
        staging.rename(folder)
        assert await taken.queue.get() == [("ADD", "b-node-1")]
    assert [record.message.partition(" ignored")[0] for record in caplog.records] == [
        f"static pod file {folder / 'bad.yaml'}"
    ]
    (folder / "a.json").write_text(
        '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}'
    )
    assert await taken.queue.get() == [("ADD", "a-node-1")]
    (folder / "b.yaml").write_text(GOOD.replace("web", "b2"))
    assert await taken.queue.get() == [("REMOVE", "b-node-1"), ("ADD", "b2-node-1")]
    (folder / "bad.yaml").write_text(GOOD.replace("web", "mended"))
    assert await taken.queue.get() == [("ADD", "mended-node-1")]
    (folder / "a.json").unlink()
    assert await taken.queue.get() == [("REMOVE", "a-node-1")]


async def test_a_folder_that_is_made_later(watched: tuple[Path, Taken]) -> None:
    """A new folder is followed from its first file on; so are links."""
    folder, taken = watched
    assert await taken.queue.get() == []
    folder.mkdir()
    (folder / "a.yaml").write_text(GOOD)
    assert await taken.queue.get() == [("ADD", "web-node-1")]
    (folder.parent / "b.yaml").write_text(GOOD.replace("web", "b"))
    (folder / "b.yaml").symlink_to(folder.parent / "b.yaml")
    assert await taken.queue.get() == [("ADD", "b-node-1")]


async def test_a_single_file_is_followed(tmp_path: Path) -> None:
    """A file that is replaced by rename, as editors do, is read again; deleted, its pod goes."""
    taken = Taken("file")
    path = tmp_path / "pod.yaml"
    path.write_text(GOOD)
    task = asyncio.create_task(FileSource(path, taken.merger, RULES, rescan_seconds=3600).run())
    assert await taken.queue.get() == [("ADD", "web-node-1")]
    other = tmp_path / "new"
    other.write_text(GOOD.replace("web", "web2"))
    other.rename(path)
    assert await taken.queue.get() == [("REMOVE", "web-node-1"), ("ADD", "web2-node-1")]
    path.unlink()
    assert await taken.queue.get() == [("REMOVE", "web2-node-1")]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_http_source() -> None:
    """One Pod or a PodList; the same body, an error, or rubbish changes nothing; an empty body is the empty set."""
    one = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}'
    two = (
        '{"apiVersion":"v1","kind":"PodList","items":['
        '{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}},'
        '{"metadata":{"name":"b"},"spec":{"containers":[{"name":"c"}]}}]}'
    )
    answers = [(500, one), (200, one), (200, one), (404, ""), (200, "a: ["), (200, two), (200, "")]
    headers = []

    async def handler(request: web.Request) -> web.Response:
        headers.append(request.headers.getall("X-Key"))
        status, text = answers.pop(0)
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/pods", handler)
    server = TestServer(app)
    await server.start_server()
    taken = Taken("http")
    rules = StaticRules(node_name="n", read=read, prepare=prepare, tolerate=False)
    source = HttpSource(str(server.make_url("/pods")), taken.merger, rules, headers={"X-Key": ["1", "2"]})
    async with aiohttp.ClientSession() as session:
        for _ in range(7):
            await source.poll(session)
    await server.close()
    assert [taken.queue.get_nowait() for _ in range(taken.queue.qsize())] == [
        [("ADD", "a-n")],
        [("ADD", "b-n")],
        [("REMOVE", "a-n"), ("REMOVE", "b-n")],
    ]
    assert headers[0] == ["1", "2"]


@pytest.mark.parametrize("trusted", [True, False])
async def test_manifests_by_tls(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that the machine's authorities vouch for is believed, with whatever aiohttp was imported; no other is."""
    certificate, key = self_signed("web", ["127.0.0.1"], datetime.now(UTC))
    (tmp_path / "pair").write_bytes(certificate + key)
    (tmp_path / "machine").write_bytes(certificate if trusted else self_signed("other", ["o"], datetime.now(UTC))[0])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "machine"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair")
    answered = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        answered.set()
        return web.Response(text=GOOD)

    app = web.Application()
    app.router.add_get("/pods", handler)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=context)
    taken = Taken("http")
    rules = StaticRules(node_name="node-1", read=read, prepare=prepare, tolerate=False)
    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(HttpSource(str(server.make_url("/pods")), taken.merger, rules).run())
        try:
            if trusted:
                assert await taken.queue.get() == [("ADD", "web-node-1")]
            while not trusted and not caplog.records:  # noqa: ASYNC110  # the log has no event
                await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await server.close()
    assert answered.is_set() is trusted
    assert ["certificate verify failed" in record.message for record in caplog.records] == ([] if trusted else [True])


class Api:
    """Remembers what it was asked to write."""

    def __init__(self, there: Pod | None = None) -> None:
        self.there = there
        self.calls: list[tuple[Any, ...]] = []

    async def create(self, pod: Pod) -> Pod:
        self.calls.append(("create", pod))
        if self.there is not None:
            raise errors.AlreadyExists(409, "AlreadyExists", "x")
        return pod

    async def get(self, kind: Any, name: str, namespace: str) -> Pod:
        assert self.there is not None
        return self.there

    async def delete(self, kind: Any, name: str, namespace: str, **options: Any) -> None:
        self.calls.append(("delete", namespace, name, options))
        raise errors.NotFound(404, "NotFound", "x")


NODE = Node(metadata=ObjectMeta(name="Node-1", uid="nu"))


async def test_a_mirror_is_created_as_the_api_wants_it() -> None:
    """Annotations with the mirror hash, one owner (the Node, controller), spec copied, no uid and no status."""
    api = Api()
    pod = merged()
    assert await MirrorPods(api, "Node-1", lambda: NODE).ensure(pod, None)
    created = msgspec.to_builtins(api.calls[0][1])
    assert created == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-node-1",
            "namespace": "default",
            "annotations": {**pod.annotations, "kubernetes.io/config.mirror": pod.uid},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": "Node-1", "uid": "nu", "controller": True}
            ],
        },
        "spec": msgspec.to_builtins(pod.spec),
    }
    assert is_mirror_of(agent_pod(api.calls[0][1]), pod)
    api.calls.clear()
    assert await MirrorPods(api, "Node-1", lambda: NODE).ensure(pod, agent_pod(created))
    assert api.calls == []


@pytest.mark.parametrize("node", [None, Node(metadata=ObjectMeta(name="n")), Node()])
async def test_without_a_node_there_is_no_mirror(node: Node | None) -> None:
    """Nothing can own it: nothing is created."""
    api = Api()
    assert not await MirrorPods(api, "Node-1", lambda: node).ensure(merged(), None)
    assert api.calls == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {"kubernetes.io/config.mirror": "old"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z", "annotations": {"kubernetes.io/config.mirror": "same"}},
    ],
)
async def test_a_wrong_mirror_is_replaced(metadata: dict[str, Any]) -> None:
    """An outdated or dying mirror is deleted without grace, by its uid, and made again."""
    pod = merged(GOOD.replace("name: web", "name: web, uid: same"))
    whole = {"metadata": {"name": "web-node-1", "namespace": "default", "uid": "mu", **metadata}}
    api = Api()
    await MirrorPods(api, "Node-1", lambda: NODE).ensure(pod, agent_pod(whole))
    assert [call[0] for call in api.calls] == ["delete", "create"]
    assert api.calls[0] == ("delete", "default", "web-node-1", {"grace_period_seconds": 0, "uid": "mu"})


async def test_a_foreign_pod_in_the_way() -> None:
    """AlreadyExists is fine only when what exists is this very mirror."""
    pod = merged()
    assert not await MirrorPods(Api(there=Pod(metadata=ObjectMeta(name="x"))), "Node-1", lambda: NODE).create(pod)
    mine = Pod(metadata=ObjectMeta(annotations={"kubernetes.io/config.mirror": pod.uid}))
    assert await MirrorPods(Api(there=mine), "Node-1", lambda: NODE).create(pod)


BOMB = "\n".join(
    [
        GOOD,
        "a0: &a0 [x, x]",
        *(f"a{number}: &a{number} [*a{number - 1}, *a{number - 1}]" for number in range(1, 40)),
    ]
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BOMB.encode(), "not valid YAML or JSON: yaml: line 22: document contains excessive aliasing"),
        (b"a: " + b"[" * 100_000, "not valid YAML or JSON: yaml: line 1: exceeded max depth of 256"),
        (b"a: &a {<<: *a}", "not valid YAML or JSON: yaml: line 1: anchor 'a' value contains itself"),
        (b"a: [" + b"1," * 300_000 + b"]", "not valid YAML or JSON: yaml: line 1: there are more than 250000 values"),
        (b"#" * (10 * 1024 * 1024 + 1), "the manifest is larger than 10485760 bytes"),
        (b"a: \xff", "not valid YAML or JSON: yaml: invalid Unicode: invalid start byte at byte 3"),
        (b"a: \0", "control characters are not allowed"),
        (b"--- !!python/object/apply:os.system [true]", "has no form in JSON"),
    ],
    ids=["aliases", "depth", "itself", "values", "size", "unicode", "nul", "tag"],
)
def test_no_manifest_costs_more_than_it_weighs(data: bytes, message: str) -> None:
    """What multiplies, nests or is too long is refused before it is carried out."""
    with pytest.raises(InvalidManifest) as caught:
        manifest.decode(data)
    assert message in str(caught.value)


async def test_what_is_no_file_is_not_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe, a device, a socket, and links to them, are told of; a folder is not entered; links to files are files, one
    that leads nowhere is none; a rescan tells nothing again, and reads nothing again that has not changed."""
    (tmp_path / "m").mkdir()
    os.mkfifo(tmp_path / "m" / "pipe.yaml")
    (tmp_path / "m" / "device.yaml").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "m" / "socket.yaml"))
    (tmp_path / "m" / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "m" / "nowhere.yaml").symlink_to("nothing")
    (tmp_path / "m" / "folder.yaml").mkdir()
    (tmp_path / "m" / "folder.yaml" / "inner.yaml").write_text(GOOD)
    (tmp_path / "m" / "large.yaml").write_bytes(b"#" * (manifest.MAX_BYTES + 1))
    (tmp_path / "real.yaml").write_text(GOOD)
    (tmp_path / "m" / "web.yaml").symlink_to(tmp_path / "real.yaml")
    judged = 0

    def counted(pod: dict[str, Any]) -> list[str]:
        nonlocal judged
        judged += 1
        return prepare(pod)

    taken = Taken("file")
    rules = StaticRules(node_name="Node-1", read=read, prepare=counted, tolerate=True)
    source = FileSource(tmp_path / "m", taken.merger, rules)
    with caplog.at_level(logging.ERROR):
        await source.scan()
        await source.scan()
    assert taken.queue.get_nowait() == [("ADD", "web-node-1")]
    assert judged == 1
    folder = tmp_path / "m"
    assert [record.message for record in caplog.records] == [
        f"static pod file {folder}/device.yaml ignored: cannot be read: not a regular file",
        f"static pod file {folder}/large.yaml ignored: the manifest is larger than 10485760 bytes",
        f"static pod file {folder}/loop.yaml ignored: cannot be read: Too many levels of symbolic links",
        f"static pod file {folder}/pipe.yaml ignored: cannot be read: not a regular file",
        f"static pod file {folder}/socket.yaml ignored: cannot be read: not a regular file",
    ]


async def test_a_single_pipe_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also where the configured path itself is none: nobody waits for a writer."""
    os.mkfifo(tmp_path / "pipe.yaml")
    taken = Taken("file")
    with caplog.at_level(logging.ERROR):
        await FileSource(tmp_path / "pipe.yaml", taken.merger, RULES).scan()
    assert taken.queue.get_nowait() == []
    assert [record.message for record in caplog.records] == [
        f"static pod file {tmp_path / 'pipe.yaml'} ignored: cannot be read: not a regular file"
    ]


async def test_a_mistake_of_the_rules_is_the_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception that a rule lets through refuses the manifest that met it; the others are pods."""

    def stumbling(pod: dict[str, Any]) -> list[str]:
        return [] if pod["metadata"]["name"].startswith("good") else sorted(pod["spec"], key=lambda name: {})

    (tmp_path / "bad.yaml").write_text(GOOD)
    (tmp_path / "good.yaml").write_text(GOOD.replace("web", "good"))
    taken = Taken("file")
    rules = StaticRules(node_name="Node-1", read=read, prepare=stumbling, tolerate=True)
    with caplog.at_level(logging.ERROR):
        await FileSource(tmp_path, taken.merger, rules).scan()
    assert taken.queue.get_nowait() == [("ADD", "good-node-1")]
    assert [record.message for record in caplog.records] == [
        f"static pod file {tmp_path / 'bad.yaml'} ignored: "
        "cannot be judged: TypeError: '<' not supported between instances of 'dict' and 'dict'"
    ]


POD_JSON = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}'


class Web:
    """A server of manifests that does as it likes, and one beside it to send the agent to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.servers: list[TestServer] = []

    async def start(self) -> str:
        app = web.Application()
        app.router.add_get("/{what}", self._answer)
        server = TestServer(app)
        await server.start_server()
        self.servers.append(server)
        return str(server.make_url("/"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        what = request.match_info["what"]
        self.asked.append((what, request.headers.get("X-Key")))
        match what:
            case "pod":
                return web.Response(text=POD_JSON)
            case "away":
                return web.Response(status=302, headers={"Location": f"{self.servers[1].make_url('/pod')}"})
            case "near":
                return web.Response(status=307, headers={"Location": "/pod"})
            case "round":
                return web.Response(status=301, headers={"Location": "/round"})
            case "file":
                return web.Response(status=302, headers={"Location": "file:///etc/passwd"})
            case "packed":
                packed = gzip.compress(b" " * 50_000_000)
                return web.Response(body=packed, headers={"Content-Encoding": "gzip"})
            case "items":
                return web.Response(text='{"apiVersion":"v1","kind":"PodList","items":[7]}')
            case "map":
                return web.Response(text='{"apiVersion":"v1","kind":"PodList","items":{"a":{}}}')
        endless = web.StreamResponse()
        await endless.prepare(request)
        try:
            while what == "endless":
                await endless.write(b"#" * 65536)
            await asyncio.sleep(60)
        except ConnectionError:
            pass
        return endless


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("pod", ""),
        ("near", ""),
        ("away", ""),
        ("round", "the server redirected more than 10 times"),
        ("file", "the server redirected to file, which is not followed"),
        ("packed", "the server answered with content encoding gzip, for which it was not asked"),
        ("items", "items is no list of pods"),
        ("map", "items is no list of pods"),
        ("endless", "the manifest is larger than 10485760 bytes"),
        ("slow", "no whole answer within 0.5 s"),
    ],
)
async def test_a_server_of_manifests_does_no_harm(what: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """Redirects are followed, but not for ever and not to files, and what is configured as headers stays with the server it is
    for; a body that is packed, endless or slow is an error, and changes nothing."""
    there = Web()
    url = await there.start() + what
    await there.start()
    taken = Taken("http")
    rules = StaticRules(node_name="n", read=read, prepare=prepare, tolerate=False)
    timeout_seconds = 0.5 if what == "slow" else 60
    source = HttpSource(url, taken.merger, rules, headers={"X-Key": ["1"]}, timeout_seconds=timeout_seconds)
    with caplog.at_level(logging.ERROR):
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            await source.poll(session)
            if said:
                await source.poll(session)
    for server in there.servers:
        await server.close()
    told = [f"static pods from {url}: {said}; keeping those known"] if said else []
    assert [record.message for record in caplog.records] == told
    assert taken.queue.empty() is bool(said)
    if what == "away":
        assert there.asked == [("away", "1"), ("pod", None)]
    elif what == "near":
        assert there.asked == [("near", "1"), ("pod", "1")]
    elif what == "round":
        assert len(there.asked) == 22


@pytest.mark.parametrize("url", ["nonsense", "http://[::1", "", "ftp://x/y", "http://127.0.0.1:1/x"])
async def test_a_url_that_leads_nowhere(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is told of, with the URL; the agent goes on."""
    rules = StaticRules(node_name="n", read=read, prepare=prepare, tolerate=False)
    with caplog.at_level(logging.ERROR):
        async with aiohttp.ClientSession() as session:
            await HttpSource(url, Taken("http").merger, rules).poll(session)
    (record,) = caplog.records
    assert record.message.startswith(f"static pods from {url}: ")
