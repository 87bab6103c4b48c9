"""An API server that fails in every way it can, a full disk and a wrong clock: what runs goes on, the agent recovers by
itself, and its requests stay few."""

import contextlib
import platform
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import faulty_api
import pytest
from components import needs
from faulty_api import FaultyAPI
from joined_node import JoinedNode, joined_node, second_node
from node_under_test import eventually, free_port, is_ready, pod_object, restart_count
from prometheus_client.parser import text_string_to_metric_families
from small_disk import small_disk

FAKE_TIME = f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketimeMT.so.1"
FAULTY_NAMES = Path(faulty_api.__file__).with_name("faulty_names.c")
HOST = "api.faults.test"
# of an agent with a dozen watches, all of which are cut at once
BURST, PER_SECOND = 120, 12.0
DISK_MEBIBYTES = 48
# Three of the longest back-offs of a hurried agent (tests/support/joined_node.py); of a real one they take minutes, and ten of
# them are in tests/unit/nodeagent/api/test_outages.py.
AWAY_SECONDS = 6

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("agent-api-faults"),
    pytest.mark.timeout(400),
    needs(FAKE_TIME, "cc", "mkfs.ext4"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def node(folder: Path, demo_image: Path) -> Iterator[JoinedNode]:
    """With a clock, a disk and names that tests can spoil, and a pod `steady` that must never notice anything."""
    names = folder / "faulty_names.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", names, FAULTY_NAMES], check=True, timeout=120)
    spoiled = (
        *("env", f"LD_PRELOAD={FAKE_TIME}:{names}", f"FAKETIME_TIMESTAMP_FILE={folder / 'clock'}"),
        *("FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_CACHE_DURATION=1"),
        *(f"FAULTY_NAME={HOST}", f"FAULTY_NAME_FILE={folder / 'address'}"),
    )
    (folder / "clock").write_text("+0\n")
    name_leads_to(folder, "127.0.0.1")
    kubelet: dict[str, Any] = {
        "nodeLeaseDurationSeconds": 4,
        "evictionHard": {"memory.available": "1Mi"},  # the full disk is to be met by the agent itself, not by evictions
        "readOnlyPort": free_port(),  # metrics, also while nobody can be asked who may read them
    }
    with (
        small_disk(folder, DISK_MEBIBYTES) as disk,
        joined_node(folder, demo_image, disk=disk, inside=spoiled, host=HOST, **kubelet) as made,
    ):
        made.start()
        made.apply(pod_object("steady", "sleep", "100000", nodeName=made.name))
        made.running("steady")
        yield made


@pytest.fixture
def proxy(node: JoinedNode) -> Iterator[FaultyAPI]:
    """Well again after the test, whose faults left `steady` as it was, broke nothing in the agent, and led to no hot loop and no
    request that is refused."""
    assert node.proxy is not None
    before, asked, began = node.pod("steady"), len(node.proxy.seen), time.monotonic()
    logged, attempts = len(node.log()), counted(node, ATTEMPTS)
    yield node.proxy
    node.proxy.clear()
    assert counted(node, ATTEMPTS) - attempts <= BURST + PER_SECOND * (time.monotonic() - began)
    # the API lets nodes do what kubelets may, and no more; a pod that it has lost meanwhile gets no token
    refused = [each for each in node.proxy.seen[asked:] if each.code == 403 and each.resource != "serviceaccounts"]
    assert refused == []
    eventually(node._ready, "the node is Ready")
    after = node.pod("steady")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert node.log()[logged:].split("Traceback")[1:] == []


# answered or not: also those that found nobody, or no address
ATTEMPTS, LOOKUPS = "rest_client_requests_total", "rest_client_dns_resolution_duration_seconds_count"


def counted(node: JoinedNode, name: str) -> float:
    """A metric of the agent, all series together."""
    with urllib.request.urlopen(
        f"http://127.0.0.1:{node.config['kubelet']['readOnlyPort']}/metrics", timeout=30
    ) as page:
        families = text_string_to_metric_families(page.read().decode())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def name_leads_to(folder: Path, address: str) -> None:
    """From now on; to nothing if empty."""
    fresh = folder / "address.fresh"
    fresh.write_text(address)
    fresh.replace(folder / "address")


def told(node: JoinedNode, name: str, script: str, **spec: Any) -> dict[str, Any]:
    """A running pod that does as `script` says as soon as it is told so by `tell`."""
    wait = "until [ -e /told/go ]; do sleep 0.1; done; "
    volumes = [{"name": "told", "emptyDir": {}}]
    mounts = [{"name": "told", "mountPath": "/told"}]
    spec |= {"volumes": volumes, "volumeMounts": mounts, "nodeName": node.name, "terminationGracePeriodSeconds": 1}
    node.apply(pod_object(name, "sh", "-c", wait + script, **spec))
    return node.running(name)


def tell(node: JoinedNode, pod: dict[str, Any]) -> Path:
    """Returns the folder that the pod sees as /told."""
    path = node.root_dir / "pods" / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~empty-dir" / "told"
    (path / "go").touch()
    return path


def has_ended(pod: dict[str, Any]) -> Any:
    """The exit code of the pod's container, as text."""
    state = pod["status"].get("containerStatuses", [{}])[0].get("state", {})
    return str(state["terminated"]["exitCode"]) if "terminated" in state else ""


def test_answers_of_bad_days(node: JoinedNode, proxy: FaultyAPI) -> None:
    """429 with Retry-After, 500, pages, halves and resets by turns, whatever is asked: what ended meanwhile is told later."""
    pod = told(node, "ends", "touch /told/done; exit 3", restartPolicy="Never")
    busy = faulty_api.status(429, "TooManyRequests", "later", **{"Retry-After": "1"})
    broken = faulty_api.status(500, "InternalError", "no")
    asked = len(proxy.seen)
    proxy.inject(
        faulty_api.by_turns(
            *(busy, broken, faulty_api.html, faulty_api.truncated, faulty_api.cut, faulty_api.reset),
        )
    )
    done = tell(node, pod) / "done"
    # the folder goes with a pod that has ended
    eventually(lambda: done.exists() or not done.parent.exists(), "it ended")
    eventually(lambda: len(proxy.seen) > asked + 20, "all of it has been met")
    assert node.pod("ends")["status"]["phase"] == "Running"
    proxy.clear()
    assert has_ended(node.pod_when("ends", has_ended)) == "3"


def test_a_status_that_is_refused(node: JoinedNode, proxy: FaultyAPI) -> None:
    """422 for one pod's status: the others' are written, and that one is tried now and then until it is taken."""
    proxy.inject(faulty_api.status(422, "Invalid", "no"), resource="pods", subresource="status", name="odd")
    for name in ("odd", "even"):
        node.apply(pod_object(name, "sleep", "100000", nodeName=node.name))
    node.running("even")
    tries = [asked for asked in proxy.seen if (asked.name, asked.subresource) == ("odd", "status")]
    assert 1 <= len(tries) <= 10
    assert not is_ready(node.pod("odd"))
    proxy.clear()
    node.running("odd")


def test_credentials_that_are_revoked_and_replaced(node: JoinedNode, proxy: FaultyAPI) -> None:
    """401 for the old token: with the new one in its file the agent goes on, without a restart."""
    proxy.replace_token()
    node.apply(pod_object("later", "sleep", "100000", nodeName=node.name))
    eventually(lambda: "Unauthorized" in node.log(), "the agent says so")
    assert "containerStatuses" not in node.pod("later")["status"]
    proxy.hand_out_token()
    node.running("later")


def test_a_certificate_that_expires(node: JoinedNode, proxy: FaultyAPI) -> None:
    """Nobody talks to the agent any more: with the one that follows in the same files it goes on, without a restart."""
    pod = told(node, "certified", "exit 6", restartPolicy="Never")
    begin = len(node.log())
    proxy.go_away()  # or else the agent has the time to tell by what it has read before
    proxy.let_certificate_expire()
    eventually(lambda: "client certificate changed" in node.log()[begin:], "it is the agent's")
    proxy.come_back()
    attempts = counted(node, ATTEMPTS)
    tell(node, pod)
    eventually(lambda: counted(node, ATTEMPTS) >= attempts + 10, "it tries")
    assert has_ended(node.pod("certified")) == ""
    proxy.hand_out_certificate()
    assert has_ended(node.pod_when("certified", has_ended)) == "6"


def test_a_cluster_ca_that_is_rotated(node: JoinedNode, proxy: FaultyAPI) -> None:
    """The agent believes nobody until the file has the other authority: then it goes on, without a restart."""
    pod = told(node, "believes", "exit 7", restartPolicy="Never")
    proxy.rotate_authority()
    attempts = counted(node, ATTEMPTS)
    tell(node, pod)
    eventually(lambda: counted(node, ATTEMPTS) >= attempts + 10, "it tries")
    assert has_ended(node.pod("believes")) == ""
    proxy.hand_out_authority()
    assert has_ended(node.pod_when("believes", has_ended)) == "7"


def test_watches_that_stop_without_an_end(node: JoinedNode, proxy: FaultyAPI) -> None:
    """The connections stand and nothing comes: they are given up, and watching goes on where it was, without a list."""
    eventually(lambda: proxy.is_watched("pods"), "the pods are watched")
    asked = len(proxy.seen)
    proxy.stall_watches()
    node.apply(pod_object("unseen", "sleep", "100000", nodeName=node.name))
    node.running("unseen")
    forms = {each.form for each in proxy.seen[asked:] if each.resource == "pods" and not each.name}
    assert forms == {"watch"}


def test_a_name_that_does_not_resolve(node: JoinedNode, proxy: FaultyAPI, folder: Path) -> None:
    """For a time it leads nowhere, then somewhere else: name servers are asked again, and what has ended meanwhile is told."""
    pod = told(node, "named", "exit 4", restartPolicy="Never")
    name_leads_to(folder, "")
    proxy.go_away()
    lookups = counted(node, LOOKUPS)
    tell(node, pod)
    eventually(lambda: counted(node, LOOKUPS) >= lookups + 10, "it asks for the name")
    proxy.come_back("127.0.0.2")
    assert has_ended(node.pod("named")) == ""
    name_leads_to(folder, "127.0.0.2")
    assert has_ended(node.pod_when("named", has_ended)) == "4"


def test_an_api_that_comes_back_from_a_backup(node: JoinedNode, proxy: FaultyAPI, tmp_path: Path) -> None:
    """Versions go back: what has ended since is told again, what the API no longer knows is stopped, and what is new is seen."""
    ends = told(node, "known", "exit 0", restartPolicy="Never")
    node.api_process.back_up(tmp_path / "backup")
    lost = told(node, "lost", "sleep 100000")
    tell(node, ends)
    for number in range(100):  # the versions are not to be reached again before the agent is back
        node.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"many-{number}"}})
    node.pod_when("known", has_ended)
    told(node, "last", "sleep 100000")  # it runs: the agent's watch has come beyond them
    proxy.go_away()
    node.api_process.restore(tmp_path / "backup")
    assert node.find_pod("lost") is None
    proxy.come_back()
    node.apply(pod_object("new", "sleep", "100000", nodeName=node.name))
    node.running("new")
    assert has_ended(node.pod_when("known", has_ended)) == "0"
    eventually(lambda: not (node.root_dir / "pods" / lost["metadata"]["uid"]).exists(), "the lost pod is stopped")


def test_a_clock_that_jumps(node: JoinedNode, proxy: FaultyAPI, folder: Path) -> None:
    """Two days ahead and back: the lease says what the clock says, pods start and end as ever."""
    for jump, name in ((timedelta(days=2), "ahead"), (timedelta(), "back")):
        (folder / "clock").write_text(f"+{jump.days}d\n" if jump else "+0\n")
        expected = datetime.now(UTC) + jump
        eventually(lambda: abs(renewed(node) - expected) < timedelta(hours=1), "the agent's clock has jumped")  # noqa: B023
        pod = told(node, name, "exit 5", restartPolicy="Never")
        tell(node, pod)
        assert has_ended(node.pod_when(name, has_ended)) == "5"


def renewed(node: JoinedNode) -> datetime:
    lease = node.api.get(f"apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node.name}")
    assert lease is not None
    return datetime.fromisoformat(lease["spec"]["renewTime"])


def test_a_disk_that_is_full(node: JoinedNode, proxy: FaultyAPI) -> None:
    """Nothing new can start, and the pod says why; it starts when there is room again."""
    fill = node.directory / "fill"
    with contextlib.suppress(OSError), fill.open("wb", buffering=0) as file:
        for _ in range(DISK_MEBIBYTES * 16):
            file.write(bytes(65536))
    with contextlib.suppress(OSError), fill.open("ab", buffering=0) as file:
        while file.write(b"0"):
            pass
    node.apply(pod_object("cramped", "sleep", "100000", nodeName=node.name))
    eventually(lambda: "No space left on device" in str(node.events("cramped")), "the pod says why")
    fill.unlink()
    node.running("cramped")


def test_a_time_without_an_api(node: JoinedNode, proxy: FaultyAPI) -> None:
    """Nobody listens, while pods crash, finish, are deleted and made: after that all of it is known, on both sides."""
    crashes = told(node, "crashes", "rm /told/go; exit 1")
    finishes = told(node, "finishes", "exit 0", restartPolicy="Never")
    deleted = told(node, "deleted", "sleep 100000")
    proxy.go_away()
    away = time.monotonic()
    tell(node, crashes)
    tell(node, finishes)
    node.kubectl("delete", "pod", "deleted", "--wait=false")
    node.apply(pod_object("made", "sleep", "100000", nodeName=node.name))
    eventually(lambda: time.monotonic() - away >= AWAY_SECONDS, "some time")
    assert [restart_count(node.pod("crashes")), has_ended(node.pod("finishes"))] == [0, ""]
    assert (node.root_dir / "pods" / deleted["metadata"]["uid"]).exists()
    proxy.come_back()
    node.running("made")
    node.pod_when("crashes", lambda pod: restart_count(pod) == 1 and is_ready(pod))
    assert has_ended(node.pod_when("finishes", has_ended)) == "0"
    eventually(lambda: node.find_pod("deleted") is None, "the deleted pod is gone")


def test_two_agents_side_by_side(node: JoinedNode, proxy: FaultyAPI, tmp_path: Path, demo_image: Path) -> None:
    """Each runs its own pods, on its own cgroups, network and ports, by one API that lets neither touch the other's; what is
    removed of one leaves the other's as it is."""
    with second_node(node, tmp_path, demo_image) as other:
        other.start()
        for each in (node, other):
            each.apply(pod_object(f"on-{each.name}", "sleep", "100000", nodeName=each.name))
        pods = {each.name: each.running(f"on-{each.name}") for each in (node, other)}
        assert len({pod["status"]["podIP"] for pod in pods.values()}) == 2
        other.kubectl("delete", "pod", f"on-{other.name}", "--grace-period=1")
        eventually(lambda: other._pod_leaks() == [], "nothing left of the other's")
        assert node.pod(f"on-{node.name}")["status"] == pods[node.name]["status"]
        assert other.proxy is not None
        refused = [asked for asked in other.proxy.seen if asked.code == 403]
        assert refused == []
