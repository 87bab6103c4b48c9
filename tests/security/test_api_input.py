"""No input of the embedded API costs more than it weighs: bodies, patches, watches; and its damaged files have names.

Against a server process of its own. The bounds are of bytes and numbers; a request that runs away meets the client's deadline.
"""

import json
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from api_server import ApiServer
from node_under_test import eventually

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
YAML = {"Content-Type": "application/yaml"}
MOST_GROWTH_BYTES = 256 << 20


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    made = ApiServer(tmp_path_factory.mktemp("api") / "state")
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture
def own_api(tmp_path: Path) -> Iterator[ApiServer]:
    """A server of the test's own."""
    made = ApiServer(tmp_path / "state")
    made.start()
    yield made
    if made.process is not None:
        made.stop(signal.SIGKILL)


def rss(api: ApiServer) -> int:
    assert api.process is not None
    return int(psutil.Process(api.process.pid).memory_info().rss)


def config_map(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "localhost/none:1"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def doubling(levels: int) -> bytes:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels))]
    return "\n".join(lines).encode()


@pytest.mark.parametrize("path", [REVIEWS, MAPS], ids=["review", "map"])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (doubling(32), "document contains excessive aliasing"),
        (b"[" * 100_000, "exceeded max depth of 256"),
        (b"- " * 100_000, "exceeded max depth of 256"),
        (b"[" + b"a," * 1_000_000 + b"]", "there are more than 250000 values"),
        (b"%TAG !a! b\n" * 200_000, "there are more than 16 directives"),
    ],
    # a test's name is in the environment of what it starts, which has room for 128 KiB a variable
    ids=["aliases", "brackets", "dashes", "values", "directives"],
)
def test_yaml_that_grows(api: ApiServer, path: str, body: bytes, why: str) -> None:
    """Aliases, depth, number: refused with 400 and the reason before anything is made of them."""
    code, answer = api.request("POST", path, body, headers=YAML)
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert why in answer["message"]
    assert answer["message"].startswith("error converting YAML to JSON: yaml: ")


def test_keys_that_come_twice_in_yaml(api: ApiServer) -> None:
    """Strict refuses them with their lines, as for JSON; otherwise the last counts."""
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice}\ndata: {a: '1', a: '2'}\nextra: 1\n"
    code, answer = api.request("POST", f"{MAPS}?fieldValidation=Strict", body, headers=YAML)
    assert (code, answer["message"].partition("strict decoding error: ")[2]) == (
        400,
        'yaml: unmarshal errors:\n  line 4: key "a" already set in map, unknown field "extra"',
    )
    code, answer = api.request("POST", MAPS, body, headers=YAML)
    assert (code, answer["data"]) == (201, {"a": "2"})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},' + b'"a":1,' * 300_000 + b'"spec":{}}', 400),
        (
            b'{"apiVersion":"v1","kind":"Pod","' + b"k" * 1_400_000 + b'":{' + b'"a":1,"b":1,' * 75_000 + b'"c":1}}',
            400,
        ),
        (json.dumps(pod("p", **{f"unknown{i}": 1 for i in range(100_000)})).encode(), 400),
        (b'{"apiVersion":"v1","kind":"Pod","spec":{"priority":' + b"1" * 2_000_000 + b"}}", 400),
        (json.dumps(pod("q", overhead={"cpu": "1" * 1_000_000})).encode(), 400),
        (b"[" * 1_000_000, 400),
        (b'{"kind":"Pod","a":' * 1_000 + b"1" + b"}" * 1_000, 400),
        (b" " * (3 << 20) + b"{}", 413),
    ],
    ids=[
        "one key often",
        "long path",
        "unknown fields",
        "digits",
        "quantity",
        "deep lists",
        "deep objects",
        "too large",
    ],
)
def test_json_that_grows(api: ApiServer, body: bytes, code: int) -> None:
    """Keys that come again, paths of them, numbers and depth: linear, and told in a few lines."""
    found, answer = api.request("POST", f"{PODS}?fieldValidation=Strict", body)
    assert found == code
    assert len(json.dumps(answer)) < 2_000_000  # the one long key, once


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"containers": [{"name": "c", "image": "i", "env": [{"name": "=", "value": "x"}] * 15_000}]}, 422),
        ({"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "x"}] * 15_000}]}, 201),
        ({"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}] * 15_000}, 201),
    ],
    ids=["errors", "warnings of variables", "warnings of names"],
)
def test_findings_of_a_pod(api: ApiServer, spec: dict[str, Any], code: int) -> None:
    """Thousands of errors or warnings are compared by look-up, not each with each."""
    found, _ = api.request("POST", f"{PODS}?dryRun=All", pod("many", **spec))
    assert found == code


PATCHES = {kind: {"Content-Type": f"application/{kind}-patch+json"} for kind in ("json", "merge", "strategic-merge")}


@pytest.fixture(scope="module")
def patched(api: ApiServer) -> str:
    """A ConfigMap of 200 kB with 5000 finalizers."""
    meta = {"name": "patched", "finalizers": [f"x.io/f{i}" for i in range(5_000)]}
    code, _ = api.request("POST", MAPS, {**config_map("patched", data={"a": "x" * 100_000}), "metadata": meta})
    assert code == 201
    return f"{MAPS}/patched"


@pytest.mark.parametrize(
    ("operations", "code", "why"),
    [
        (
            [{"op": "copy", "from": "/metadata", "path": f"/metadata/annotations/a{i}"} for i in range(40)],
            422,
            "Unable to complete the copy, the accumulated size increase of copy is",
        ),
        (
            [{"op": "remove", "path": "/metadata/finalizers/" + "1" * 5_000}],
            422,
            "an index of 5000 digits is out of bounds",
        ),
        (
            [{"op": "test", "path": "/x"}] * 10_001,
            413,
            "The allowed maximum operations in a JSON patch is 10000, got 10001",
        ),
    ],
    ids=["copies", "index", "operations"],
)
def test_json_patches(api: ApiServer, patched: str, operations: list[Any], code: int, why: str) -> None:
    """Copies have a budget of bytes, indexes and operations a bound."""
    before = [{"op": "add", "path": "/metadata/annotations", "value": {}}] if code == 422 else []
    found, answer = api.request("PATCH", patched, [*before, *operations], headers=PATCHES["json"])
    assert found == code
    assert why in json.dumps(answer)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("strategic-merge", {"metadata": {"$deleteFromPrimitiveList/finalizers": [f"z{i}" for i in range(40_000)]}}),
        ("strategic-merge", {"metadata": {"$setElementOrder/finalizers": [f"x.io/f{i}" for i in range(4_999, 0, -1)]}}),
        ("merge", {"metadata": {"managedFields": [{"manager": "m", "operation": "Update", "apiVersion": "v1"}] * 2}}),
    ],
)
def test_other_patches(api: ApiServer, patched: str, kind: str, content: Any) -> None:
    """Lists are merged and ordered by look-up."""
    code, _ = api.request("PATCH", f"{patched}?dryRun=All", content, headers=PATCHES[kind])
    assert code in (200, 422)


def test_an_object_does_not_grow_without_end(api: ApiServer) -> None:
    """Patches that each are small enough make no object larger than a request may be."""
    assert api.request("POST", f"{PODS}", pod("grows"))[0] == 201
    for index in range(3):
        annotations = {f"x.io/{index}-{i}": "" for i in range(60_000)}
        status = {"status": {"conditions": [{"type": name, "status": "True"} for name in annotations]}}
        code, answer = api.request(
            "PATCH", f"{PODS}/grows/status", status, headers={"Content-Type": "application/strategic-merge-patch+json"}
        )
        if code == 413:
            break
    assert (code, answer["reason"]) == (413, "RequestEntityTooLarge")


def token_of(api: ApiServer, name: str) -> str:
    """A token of a service account that may view."""
    account = {"metadata": {"name": name, "annotations": {"nodeagent.dev/cluster-role": "view"}}}
    assert api.request("POST", "/api/v1/namespaces/default/serviceaccounts", account)[0] == 201
    code, answer = api.request("POST", f"/api/v1/namespaces/default/serviceaccounts/{name}/token", {})
    assert code == 201
    return str(answer["status"]["token"])


def asked(api: ApiServer, token: str, path: str) -> ssl.SSLSocket:
    """A connection with a GET on it, of a client that takes in as little as it can."""
    host, _, port = api.url.removeprefix("https://").rpartition(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(60)
    plain.connect((host, int(port)))
    tls = api.tls(None).wrap_socket(plain, server_hostname=host)
    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return tls


def status_line(connection: ssl.SSLSocket) -> bytes:
    return connection.recv(32).partition(b"\r\n")[0]


def test_the_number_of_watches(api: ApiServer) -> None:
    """200 of one client; the next is 429, others' still begin, and one that ends makes room."""
    token, other = token_of(api, "many"), token_of(api, "other")
    path = f"{MAPS}?watch=true&fieldSelector=metadata.name%3Dnone&allowWatchBookmarks=true&sendInitialEvents=true"
    path += "&resourceVersionMatch=NotOlderThan"
    with ExitStack() as stack:
        opened = [stack.enter_context(asked(api, token, path)) for _ in range(200)]
        assert {status_line(connection) for connection in opened} == {b"HTTP/1.1 200 OK"}
        assert status_line(stack.enter_context(asked(api, token, path))) == b"HTTP/1.1 429 Too Many Requests"
        assert status_line(stack.enter_context(asked(api, other, path))) == b"HTTP/1.1 200 OK"
        assert api.request("GET", f"{MAPS}?watch=true&timeoutSeconds=1")[0] == 200
    with ExitStack() as stack:
        eventually(
            lambda: status_line(stack.enter_context(asked(api, token, path))) == b"HTTP/1.1 200 OK", "room for another"
        )


def test_watches_and_lists_that_nobody_reads(api: ApiServer) -> None:
    """What is made for clients and not taken has a bound in all; who reads gets everything, those who stand still go first."""
    tokens = [token_of(api, f"stalled{index}") for index in range(2)]
    code, answer = api.request("POST", MAPS, config_map("written", data={"a": "x" * 400_000}))
    assert code == 201
    since = answer["metadata"]["resourceVersion"]
    before = rss(api)
    selected = "fieldSelector=metadata.name%3Dwritten"
    with ExitStack() as stack:
        for token in tokens:
            for _ in range(100):
                stack.enter_context(asked(api, token, f"{MAPS}?watch=true&resourceVersion={since}&{selected}"))
                stack.enter_context(asked(api, token, f"{MAPS}?{selected}"))
        for index in range(20):
            body = {"data": {"a": str(index % 10) * 400_000}}
            code, answer = api.request("PATCH", f"{MAPS}/written", body, headers=PATCHES["merge"])
            assert code == 200
            assert rss(api) - before < MOST_GROWTH_BYTES
        newest = answer["metadata"]["resourceVersion"]
        reader = api.url + f"{MAPS}?watch=true&timeoutSeconds=60&resourceVersion={since}&{selected}"
        with urllib.request.urlopen(reader, timeout=60, context=api.tls()) as lines:
            for line in lines:
                if json.loads(line)["object"]["metadata"]["resourceVersion"] == newest:
                    break
        assert rss(api) - before < MOST_GROWTH_BYTES


def test_damaged_files_have_names(tmp_path: Path) -> None:
    """A damaged store, CA or signing key: one line with the file, the reason and the way out; no traceback."""
    server = ApiServer(tmp_path / "state")
    server.start()
    server.request("POST", MAPS, config_map("one"))
    server.stop()
    state = server.state_dir
    whole = {
        path: path.read_bytes()
        for path in (state / "state.db", *(state / "pki" / n for n in ("ca.key", "ca.crt", "sa.key")))
    }

    def line() -> str:
        command = [
            sys.executable,
            "-m",
            "nodeagent.apiserver",
            "--state-dir",
            str(state),
            "--node-name",
            "n1",
            "--port",
            "0",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        return done.stderr

    for name, way_out in (
        ("ca.key", "remove ca.key and ca.crt"),
        ("ca.crt", "remove ca.key and ca.crt"),
        ("sa.key", "remove it"),
    ):
        file = state / "pki" / name
        file.write_bytes(b"-----BEGIN PRIVATE KEY-----\ngarbage\n")
        said = line()
        assert said.startswith(f"nodeagent.apiserver: {file}: cannot be read as a ")
        assert "restore it from a copy" in said
        assert way_out in said
        file.write_bytes(whole[file])
    with sqlite3.connect(state / "state.db") as database:
        database.execute("UPDATE journal SET data = ? WHERE name = 'one'", (b'{"kind": "Conf',))
    database.close()
    said = line()
    assert said.startswith(f"nodeagent.apiserver: cannot use {state / 'state.db'}: row ")
    assert "(configmaps default/one) is damaged: Input data was truncated; restore it from a copy" in said
    garbage = bytearray(whole[state / "state.db"])
    garbage[4096:] = b"\xff" * (len(garbage) - 4096)
    (state / "state.db").write_bytes(garbage)
    said = line()
    assert said.startswith(f"nodeagent.apiserver: cannot use {state / 'state.db'}: ")
    assert "restore it from a copy" in said


def test_deep_objects_and_long_questions(own_api: ApiServer) -> None:
    """What is stored is listed, watched and read again at start, however deep; selectors cost their length."""
    deep: Any = {}
    for _ in range(800):
        deep = {"f:a": deep}
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": deep}
    code, _ = own_api.request(
        "POST", MAPS, {**config_map("deep"), "metadata": {"name": "deep", "managedFields": [entry]}}
    )
    assert code in (201, 400, 422)
    own_api.stop()
    own_api.start()
    assert own_api.request("GET", MAPS)[0] == 200
    for query, expected in (
        ("labelSelector=" + "a," * 3_000, 400),
        ("labelSelector=a+in+(" + "b," * 3_000 + "b)", 200),
        ("fieldSelector=" + "metadata.name%3Da," * 400, 200),
        ("continue=" + "a" * 7_000, 400),
        ("resourceVersion=" + "9" * 7_000, 400),
        ("limit=" + "9" * 7_000, 400),
    ):
        assert own_api.request("GET", f"{MAPS}?{query}")[0] == expected, query[:40]


def test_a_damaged_log_of_the_store_is_no_end(own_api: ApiServer) -> None:
    """A torn or foreign write-ahead log, or an empty file, starts; a damaged leaf certificate is made again."""
    own_api.stop(signal.SIGKILL)
    state = own_api.state_dir
    wal = state / "state.db-wal"
    wal.write_bytes(wal.read_bytes()[:-100] if wal.exists() else b"garbage")
    (state / "pki" / "apiserver.crt").write_bytes(b"garbage")
    own_api.start()
    own_api.stop()
    (state / "state.db").write_bytes(b"")
    own_api.start()
    assert own_api.request("GET", MAPS)[0] == 200
