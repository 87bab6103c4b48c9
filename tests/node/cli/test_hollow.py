"""`nodeagent hollow` against a real API server, looked at with kubectl."""

import contextlib
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer

from runtimes.hollow.chance import Chance

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("cli-hollow"), pytest.mark.timeout(300)]

DEADLINE_SECONDS = 120
QUICK = ("--start-seconds=0", "--pull-seconds=0", "--stop-seconds=0")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One for all fleets."""
    directory = tmp_path_factory.mktemp("api") / "state"
    directory.mkdir()
    server = ApiServer(directory)
    server.start()
    yield server
    server.stop()


def kubectl(api: ApiServer, *arguments: str) -> Any:
    done = subprocess.run(
        ["kubectl", f"--kubeconfig={api.kubeconfig}", *arguments, "-o", "json"], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(api: ApiServer, *arguments: str) -> str:
    """What kubectl says of it."""
    done = subprocess.run(
        ["kubectl", f"--kubeconfig={api.kubeconfig}", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0, done.stdout
    return done.stderr


def names(api: ApiServer, kind: str, *arguments: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in kubectl(api, "get", kind, *arguments)["items"])


def command(api: ApiServer, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "nodeagent", "hollow", f"--kubeconfig={api.kubeconfig}", *arguments]


def samples(report: Path) -> dict[str, dict[str, Any]]:
    """The last of each phase."""
    lines = report.read_text().splitlines() if report.exists() else []
    return {sample["phase"]: sample for sample in map(json.loads, lines)}


@contextlib.contextmanager
def fleet(api: ApiServer, report: Path, phase: str, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """A fleet that has come as far as `phase`; told to go by SIGTERM, which is no failure."""
    report.unlink(missing_ok=True)
    with subprocess.Popen(command(api, f"--report={report}", *arguments), stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + DEADLINE_SECONDS
            while phase not in samples(report):
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < until, samples(report)
                time.sleep(0.1)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                _, told = process.communicate(timeout=DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()  # or it would be waited for without end
                raise
        assert process.returncode == 0, told


def test_a_fleet_is_nodes_with_pods_and_goes_again(api: ApiServer, tmp_path: Path) -> None:
    """Each node is Ready, has its lease and its own pods, which run; it spoke to the API with a node's rights and was refused
    nothing. The sandboxes that fail are those of the seed. Who wants into a pod reads why there is nothing. When it is told to
    go, all of it goes; what others have made stays."""
    api.request("POST", "/api/v1/nodes", {"metadata": {"name": "other-0"}})
    report = tmp_path / "report"
    with fleet(api, report, "pods", "--nodes=3", "--pods-per-node=4", "--name=f", "--seed=7", "--failures=0.3", *QUICK):
        nodes = kubectl(api, "get", "nodes", "-l", "hollow.nodeagent.dev/fleet=f")["items"]
        ready = {item["metadata"]["name"]: item["status"]["conditions"][-1]["status"] for item in nodes}
        assert ready == {"f-0": "True", "f-1": "True", "f-2": "True"}
        assert {item["spec"]["taints"][0]["key"] for item in nodes} == {"hollow.nodeagent.dev/node"}
        assert names(api, "leases", "-n", "kube-node-lease") == ["f-0", "f-1", "f-2"]
        pods = kubectl(api, "get", "pods")["items"]
        assert {item["status"]["phase"] for item in pods} == {"Running"}
        assert len({item["status"]["podIP"] for item in pods if item["spec"]["nodeName"] == "f-1"}) == 4
        events = kubectl(api, "get", "events")["items"]
        assert {"Starting", "Pulled", "Created", "Started"} <= {item["reason"] for item in events}
        failed = {item["involvedObject"]["name"] for item in events if item["reason"] == "FailedCreatePodSandBox"}
        assert failed == {
            f"f-{node}-{pod}"
            for node, pod in itertools.product(range(3), range(4))
            if Chance(f"7/f-{node}").share("sandbox fails", "default", f"f-{node}-{pod}", 0) < 0.3
        }
        assert failed
        for asked in (("logs", "f-0-0"), ("exec", "f-0-0", "--", "ls")):
            assert "one of a fleet of `nodeagent hollow`, runs nothing, and " in refused(api, *asked)
    assert samples(report)["end"]["failed"] == {}
    left = (
        names(api, "nodes"),
        names(api, "pods"),
        names(api, "leases", "-n", "kube-node-lease"),
        names(api, "csinodes"),
    )
    assert left == (["other-0"], [], [], [])


def test_a_fleet_takes_no_node_that_is_another_s(api: ApiServer) -> None:
    """One line, status 2, and nothing is touched."""
    api.request("POST", "/api/v1/nodes", {"metadata": {"name": "other-0"}})
    done = subprocess.run(command(api, "--name=other"), capture_output=True, text=True, timeout=60)
    told = [line for line in done.stderr.splitlines() if " WARNING " not in line]
    assert (done.returncode, len(told)) == (2, 1), done.stderr
    assert "node other-0 is there already" in told[0]
    assert names(api, "nodes") == ["other-0"]


def test_calls_for_a_pod_do_not_grow_with_the_pods(api: ApiServer, tmp_path: Path) -> None:
    """Ten times as many pods on a node are ten times as many requests of each kind; watches are the node's."""
    spent: dict[int, dict[str, int]] = {}
    for pods in (5, 50):
        report = tmp_path / f"report-{pods}"
        with fleet(api, report, "pods", "--nodes=1", f"--pods={pods}", "--name=g", *QUICK):
            pass
        spent[pods] = samples(report)["pods"]["calls"]
    for name, calls in spent[50].items():
        if name.endswith("pods/status"):
            assert calls <= 3 * 50, (
                calls
            )  # what is shown for a moment is told with what follows, where that comes in time
        elif name.endswith("serviceaccounts/token"):
            assert calls / 50 <= max(1.0, spent[5][name] / 5) * 1.5, (name, calls, spent[5][name])
        elif name != "create events" and not name.endswith("leases"):
            assert calls <= spent[5].get(name, 0) + 2, (name, calls, spent[5].get(name))
