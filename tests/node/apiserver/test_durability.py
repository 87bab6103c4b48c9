"""What was answered with a 2xx is there after kill -9, and no resourceVersion is ever given twice."""

import concurrent.futures
import http.client
import json
import signal
import threading
import urllib.parse
from typing import Any

import pytest

pytestmark = pytest.mark.node

PATH = "/api/v1/namespaces/default/configmaps"


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"name": name}}


def test_kill_under_load(own_server: Any) -> None:
    """Killed while many writers are at it: every answered create is there after the restart, complete; the counter goes on."""
    enough = threading.Event()
    written: dict[str, int] = {}

    def write(worker: int) -> None:
        url = urllib.parse.urlsplit(own_server.url)
        connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=own_server.tls(), timeout=30)
        for number in range(10_000):
            name = f"w{worker}-{number}"
            try:
                connection.request("POST", PATH, json.dumps(config_map(name)), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                return
            assert answer.status == 201
            written[name] = int(body["metadata"]["resourceVersion"])
            if len(written) > 300:
                enough.set()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(write, worker) for worker in range(8)]
        assert enough.wait(60)
        own_server.stop(signal.SIGKILL)
        for worker in workers:
            worker.result(60)
    own_server.start()
    status, listed = own_server.request("GET", PATH)
    assert status == 200
    found = {item["metadata"]["name"]: item for item in listed["items"]}
    assert {name: int(found[name]["metadata"]["resourceVersion"]) for name in written} == written
    assert all(found[name]["data"] == {"name": name} for name in written)
    status, created = own_server.request("POST", PATH, config_map("after"))
    assert int(created["metadata"]["resourceVersion"]) > max(written.values())


def test_every_kind_of_write_survives(own_server: Any) -> None:
    """Updates and deletions are as durable as creates."""
    merge = {"Content-Type": "application/merge-patch+json"}
    for name in ("kept", "changed", "gone"):
        assert own_server.request("POST", PATH, config_map(name))[0] == 201
    assert own_server.request("PATCH", f"{PATH}/changed", {"data": {"x": "y"}}, headers=merge)[0] == 200
    status, _ = own_server.request("DELETE", f"{PATH}/gone")
    assert status == 200
    before = own_server.request("GET", PATH)[1]
    own_server.stop(signal.SIGKILL)
    own_server.start()
    after = own_server.request("GET", PATH)[1]
    assert after["items"] == before["items"]
    assert own_server.request("GET", f"{PATH}/gone")[0] == 404


def test_watch_goes_on_after_a_restart(own_server: Any) -> None:
    """A client that comes back with its resourceVersion gets what it missed, in order."""
    created = own_server.request("POST", PATH, config_map("a"))[1]
    own_server.request("POST", PATH, config_map("b"))
    own_server.request("DELETE", f"{PATH}/a")
    own_server.stop(signal.SIGKILL)
    own_server.start()
    revision = created["metadata"]["resourceVersion"]
    _, lines = own_server.request("GET", f"{PATH}?watch=true&resourceVersion={revision}&timeoutSeconds=1")
    events = [json.loads(line) for line in lines.splitlines()] if isinstance(lines, str) else [lines]
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "b"), ("DELETED", "a")]


def test_restart_keeps_identity(own_server: Any) -> None:
    """Keys, certificates, kubeconfigs and uids are the same after a clean stop and start."""
    files = sorted([*(own_server.state_dir / "pki").iterdir(), *own_server.state_dir.glob("*.kubeconfig")])
    before = {path.name: path.read_bytes() for path in files}
    uid = own_server.request("GET", "/api/v1/namespaces/default")[1]["metadata"]["uid"]
    assert own_server.stop() == 0
    own_server.start()
    assert {path.name: path.read_bytes() for path in files} == before
    assert own_server.request("GET", "/api/v1/namespaces/default")[1]["metadata"]["uid"] == uid
    modes = {path.stat().st_mode & 0o077 for path in own_server.state_dir.rglob("*")}
    assert modes == {0}
