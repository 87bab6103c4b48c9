"""Joining an API server that is not the node's own: one that streams lists, one that refuses to, one that talks rubbish."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faulty_api
import pytest
from joined_node import JoinedNode, joined_node
from node_under_test import eventually, pod_object
from otlp_collector import Collector, collector

UID = ("get", "-o=jsonpath={.metadata.uid}")
pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-joining"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path, traces: Collector) -> Iterator[JoinedNode]:
    with joined_node(tmp_path_factory.mktemp("joined"), demo_image) as made:
        made.config["kubelet"]["tracing"] = {"endpoint": traces.endpoint, "samplingRatePerMillion": 1_000_000}
        yield made


def runs(node: JoinedNode, name: str) -> dict[str, Any]:
    node.apply(pod_object(name, "sleep", "100000"))
    return node.running(name)


def warnings(node: JoinedNode, text: str, offset: int) -> list[str]:
    return [line for line in node.log()[offset:].splitlines() if "WARNING" in line and text in line]


def test_an_api_that_streams_lists(node: JoinedNode) -> None:
    """The node registers, its pods come by one stream a kind, and they run; /healthz and Ready are fine."""
    assert node.proxy is not None
    node.start()
    runs(node, "streamed")
    assert node.proxy.forms("pods")[0] == "stream"
    assert "list" not in node.proxy.forms("pods") + node.proxy.forms("nodes") + node.proxy.forms("services")
    assert node.healthz("?verbose")[1].splitlines()[3:] == ["[+]podsource ok", "healthz check passed"]
    assert node.ready_condition()["status"] == "True"


def test_a_pods_way_is_traced(node: JoinedNode, traces: Collector) -> None:
    """The collector gets the pass that started the pod: its steps, and within them the calls of the runtime."""
    created = {"k8s.pod.uid": node.pod("streamed")["metadata"]["uid"], "k8s.pod.update_type": "create"}
    whole = eventually(lambda: traces.named("syncPod", created), "traced")[0]
    assert (whole.attributes["k8s.pod"], whole.failed) == ("default/streamed", False)
    for step, call in (("sandbox", "RunPodSandbox"), ("containers", "CreateContainer"), ("starts", "StartContainer")):
        within = traces.child(whole, f"run {step}")
        assert within is not None
        called = traces.child(within, f"runtime.v1.RuntimeService/{call}")
        assert called is not None and within.began <= called.began <= called.ended <= within.ended


def test_an_api_that_refuses_to(node: JoinedNode) -> None:
    """With upstream's own words of refusal a plain list follows each stream at once; pods run, the others live on."""
    assert node.proxy is not None
    before = node.pod("streamed")["status"]["containerStatuses"]
    node.stop()
    node.proxy.refuse_streams()
    node.proxy.seen.clear()
    node.start()
    runs(node, "listed")
    for resource in ("nodes", "pods", "services", "runtimeclasses"):
        assert [form for form in node.proxy.forms(resource) if form in ("stream", "list", "watch")][:3] == [
            *("stream", "list", "watch")
        ]
    assert node.pod("streamed")["status"]["containerStatuses"] == before
    assert node.healthz() == (200, "ok")


def test_an_api_that_talks_rubbish_for_a_time(node: JoinedNode) -> None:
    """Pages, halves, other kinds and empty objects take no pod away; /healthz, Ready and the log say so; then all is well."""
    assert node.proxy is not None
    before = node.pod("listed")["status"]["containerStatuses"]
    begin = len(node.log())
    rubbish = (faulty_api.wrong_kind, faulty_api.empty_object, faulty_api.truncated, faulty_api.cut, faulty_api.html)
    node.proxy.inject(faulty_api.in_turn(*rubbish), resource="pods", form="stream|list|watch")
    node.apply(pod_object("late", "sleep", "100000"))
    _, text = eventually(lambda: found if (found := node.healthz())[0] == 500 else None, "unhealthy", 120)
    assert "[-]podsource failed: reason withheld" in text.splitlines()
    assert node.healthz("/podsource")[0] == 500
    eventually(lambda: node.ready_condition()["status"] == "False", "not ready")
    assert node.ready_condition()["message"].startswith("the pods of this node cannot be listed: ")
    assert warnings(node, "list of Pod", begin)
    assert "phase" not in node.pod("late")["status"] or node.pod("late")["status"]["phase"] == "Pending"
    assert node.pod("listed")["status"]["containerStatuses"] == before
    node.proxy.clear()
    node.running("late")
    eventually(lambda: node.healthz() == (200, "ok"), "healthy")
    eventually(lambda: node.ready_condition()["status"] == "True", "ready")
    assert node.log()[begin:].count("list of Pod spec.nodeName=" + node.name + ": works again") == 1
    assert node.pod("listed")["status"]["containerStatuses"] == before
    assert "Traceback" not in node.log()


def test_a_node_that_is_deleted_comes_back(node: JoinedNode) -> None:
    """Under the running agent: the Node is made again, Ready, and owns its lease and CSINode; the pods have gone on."""
    before, uid = node.pod("listed")["status"]["containerStatuses"], node.kubectl(*UID, "node", node.name)
    node.kubectl("delete", "node", node.name)
    eventually(node._ready, "registered again")
    again = node.kubectl(*UID, "node", node.name)
    assert again != uid
    for kind in (("lease", "--namespace=kube-node-lease"), ("csinode",)):
        owners = ("get", *kind, node.name, "-o=jsonpath={.metadata.ownerReferences[*].uid}")
        eventually(lambda owners=owners: node.kubectl(*owners, check=False) == again, f"{kind[0]} of the new Node", 60)
    assert node.pod("listed")["status"]["containerStatuses"] == before


def test_what_the_node_may_not_read(node: JoinedNode) -> None:
    """403 on services and tokens, 404 on RuntimeClasses, events refused: each says so; what can run runs when it may."""
    assert node.proxy is not None
    node.stop()
    node.proxy.inject(faulty_api.status(403, "Forbidden", "services is forbidden"), resource="services")
    node.proxy.inject(faulty_api.page_404, resource="runtimeclasses")
    node.proxy.inject(faulty_api.status(403, "Forbidden", "no tokens"), resource="serviceaccounts", subresource="token")
    begin = len(node.log())
    node.join()
    eventually(lambda: "services cannot be listed: " in node.ready_condition()["message"], "not ready", 120)
    assert warnings(node, "list of Service spec.clusterIP!=None: services is forbidden", begin)
    assert warnings(node, "list of RuntimeClass: the server answered 404: 404 page not found", begin)
    node.apply(pod_object("waits", "sleep", "100000", nodeName=node.name))  # no scheduler would choose this node
    assert "no tokens" in node.event_when("waits", "FailedMount")
    assert node.running("listed")
    node.proxy.clear()
    node.running("waits")
    assert "Traceback" not in node.log()


def test_a_registration_that_is_refused(node: JoinedNode) -> None:
    """The API refuses the Node for good: the reason is told again and again; the pods that ran go on."""
    assert node.proxy is not None
    node.stop()
    node.kubectl("delete", "node", node.name)
    refusal = 'nodes "x" is forbidden: is not allowed to set the following labels: node-restriction.kubernetes.io/a'
    node.proxy.inject(faulty_api.status(403, "Forbidden", refusal), resource="nodes", form="POST")
    begin = len(node.log())
    node.join()
    eventually(lambda: len(warnings(node, refusal, begin)) >= 3, "told three times")
    node.proxy.clear()
    eventually(node._ready, "registered after all")
