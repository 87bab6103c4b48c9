"""The whole HTTPS surface of a real agent: every endpoint with its methods, answers, and what of a node one must be allowed."""

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_fixtures import started_node
from node_under_test import NodeUnderTest, eventually, free_port, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-surface")]

READ_ONLY = free_port()
OFF = "Debug endpoints are disabled."


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """With everything switched on that a kubelet can serve, and a pod that prints to both of its streams."""
    kubelet = {
        "enableSystemLogQuery": True,
        "readOnlyPort": READ_ONLY,
        "featureGates": {"PodLogsQuerySplitStreams": True},
    }
    for made in started_node(tmp_path_factory.mktemp("node"), demo_image, kubelet=kubelet):
        made.apply(pod_object("talker", "sh", "-c", "echo out; echo err >&2; exec sleep 100000"))
        made.running("talker")
        yield made


def asked(
    node: NodeUnderTest, method: str, path: str, *, token: str = "", body: str | None = None, **headers: str
) -> tuple[int, str]:
    """At the node's endpoint: as its administrator, or who the token is of."""
    pki = node.directory / "state" / "pki"
    context = ssl.create_default_context(cafile=pki / "ca.crt")
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if token:
        headers["Authorization"] = f"Bearer {token}"
    else:
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    return _answer(
        http.client.HTTPSConnection("127.0.0.1", node.port, context=context, timeout=60), method, path, body, headers
    )


def _answer(connection: Any, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, str]:
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


TALKER = "default/talker/c"
NO_STREAM = (400, "you must specify at least 1 of stdin, stdout, stderr")
# method, path, the administrator's answer (its beginning), subresources of `nodes`, and the status at the read-only port
ENDPOINTS: tuple[tuple[str, str, tuple[int, str], str, int], ...] = (
    ("GET", "/healthz", (200, "ok"), "healthz proxy", 200),
    ("GET", "/healthz/ping", (200, "ok"), "healthz proxy", 200),
    ("GET", "/healthz/log", (200, "ok"), "healthz proxy", 200),
    ("GET", "/healthz/syncloop", (200, "ok"), "healthz proxy", 200),
    ("GET", "/healthz?verbose", (200, "[+]ping ok\n[+]log ok\n[+]syncloop ok\n"), "healthz proxy", 200),
    ("GET", "/pods", (200, '{"kind":"PodList","apiVersion":"v1"'), "pods proxy", 200),
    ("GET", "/runningpods/", (200, '{"kind":"PodList","apiVersion":"v1"'), "pods proxy", 405),
    ("GET", "/stats/summary", (200, "{"), "stats", 200),
    ("POST", "/stats/summary", (200, "{"), "stats", 200),
    ("GET", "/metrics", (200, "# HELP "), "metrics", 200),
    ("GET", "/metrics/cadvisor", (200, "# HELP "), "metrics", 200),
    ("GET", "/metrics/resource", (200, "# HELP "), "metrics", 200),
    ("GET", "/metrics/probes", (200, ""), "metrics", 200),
    ("GET", "/metrics/slis", (200, "# HELP kubernetes_healthcheck "), "metrics", 200),
    ("GET", "/configz", (200, '{"kubeletconfig":{'), "configz proxy", 404),
    ("GET", "/flagz", (200, "\nnodeagent flags\nWarning: "), "configz", 404),
    ("GET", "/statusz", (200, "\nnodeagent statusz\nWarning: "), "statusz", 404),
    ("GET", f"/containerLogs/{TALKER}?stream=Stdout", (200, "out\n"), "proxy", 405),
    ("GET", f"/containerLogs/{TALKER}?stream=Stderr", (200, "err\n"), "proxy", 405),
    ("GET", f"/containerLogs/{TALKER}?stream=Stderr&tailLines=1", (422, '{"message": "Invalid'), "proxy", 405),
    ("GET", f"/containerLogs/{TALKER}?follow=perhaps&limitBytes=0", (422, '{"message": "Invalid'), "proxy", 405),
    ("POST", f"/run/{TALKER}?cmd=echo%20hello", (200, "hello\n"), "proxy", 405),
    ("GET", f"/run/{TALKER}?cmd=echo", (405, ""), "proxy", 405),
    ("GET", f"/exec/{TALKER}?command=true", NO_STREAM, "proxy", 405),
    ("POST", f"/exec/{TALKER}?command=true", NO_STREAM, "proxy", 405),
    ("POST", "/exec/default/none/c?command=true&output=1", (404, "pod does not exist"), "proxy", 405),
    ("POST", "/exec/default/talker/d?command=true&output=1", (500, 'container not found ("d")'), "proxy", 405),
    ("GET", f"/attach/{TALKER}", NO_STREAM, "proxy", 405),
    ("POST", "/attach/default/talker/d?output=1", (500, "container d not found in pod talker_default"), "proxy", 405),
    ("POST", "/portForward/default/none", (404, "pod does not exist"), "proxy", 405),
    ("POST", "/portForward/default/talker/no-such-uid", (404, "pod not found"), "proxy", 405),
    ("POST", f"/checkpoint/{TALKER}", (501, "checkpointing of default/talker/c failed (runtime "), "checkpoint", 404),
    ("POST", "/checkpoint/default/none/c", (404, "pod does not exist"), "checkpoint", 404),
    ("POST", f"/checkpoint/{TALKER}?timeout=x", (404, "cannot parse value of timeout parameter"), "checkpoint", 404),
    ("GET", "/logs/", (200, "<!doctype html>\n<pre>\n"), "log", 405),
    ("GET", "/logs/?query=no-such-service", (200, "\nlog not found for no-such-service\n"), "log", 405),
    ("GET", "/logs/?query=a&boot=x", (400, "boot: Invalid value"), "log", 405),
    ("GET", "/logs/?query=a&boot=1", (406, "boot: Invalid value: 1: must be less than 1"), "log", 405),
    ("GET", "/debug/pprof/", (200, "/debug/pprof/\n"), "proxy", 405),
    ("GET", "/debug/pprof/profile?seconds=1", (200, ""), "proxy", 405),
    ("GET", "/debug/pprof/goroutine?debug=2", (200, "thread "), "proxy", 405),
    ("PUT", "/debug/flags/v", (400, "failed to set klog.logging.verbosity"), "proxy", 405),
    ("GET", "/nothing", (404, "404: Page Not Found"), "proxy", 404),
    ("DELETE", "/pods", (405, ""), "pods proxy", 405),
    ("PATCH", "/configz", (405, ""), "configz proxy", 404),
)
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def test_every_endpoint(node: NodeUnderTest) -> None:
    """Each with its method, status and beginning of its text; an administrator may ask for all of it."""
    asked(node, "GET", "/healthz")
    eventually(lambda: "err" in node.kubectl("logs", "talker"), "what the pod prints")
    found = [(method, path, asked(node, method, path)) for method, path, *_ in ENDPOINTS]
    shown = [
        (method, path, (answer[0], answer[1][: len(wanted[1])]))
        for (method, path, answer), (_, _, wanted, *_) in zip(found, ENDPOINTS, strict=True)
    ]
    assert shown == [(method, path, wanted) for method, path, wanted, *_ in ENDPOINTS]


def test_what_one_must_be_allowed(node: NodeUnderTest) -> None:
    """Who may nothing hears which verb on which subresources of the node would have done, for every endpoint."""
    account = "api/v1/namespaces/default/serviceaccounts"
    assert node.api.request("POST", account, {"metadata": {"name": "nobody"}})[0] == 201
    token = node.api.request("POST", f"{account}/nobody/token", {"spec": {}})[1]["status"]["token"]
    for method, path, _, subresources, _ in ENDPOINTS:
        text = f"Forbidden (user=system:serviceaccount:default:nobody, verb={VERBS[method]}, resource=nodes, "
        assert (method, path, asked(node, method, path, token=token)) == (
            *(method, path),
            (403, f"{text}subresource(s)=[{subresources}])\n"),
        )


def test_the_read_only_port(node: NodeUnderTest) -> None:
    """What shows is there, what enters pods is refused in a kubelet's words, what tells how the node is set up is absent."""
    for method, path, _, _, status in ENDPOINTS:
        found = _answer(http.client.HTTPConnection("127.0.0.1", READ_ONLY, timeout=60), method, path, None, {})
        assert (method, path, found[0]) == (method, path, status)
        assert path == "/pods" or status != 405 or found[1] == OFF


def test_as_kubectl_asks(node: NodeUnderTest) -> None:
    """`kubectl get --raw` reaches queries of the node's logs, flags and profiles through the API."""
    proxy = f"/api/v1/nodes/{node.name}/proxy"
    assert node.kubectl("get", "--raw", f"{proxy}/logs/?query=none") == "\nlog not found for none\n"
    assert f"node-name={node.name}\n" in node.kubectl("get", "--raw", f"{proxy}/flagz")
    assert "task " in node.kubectl("get", "--raw", f"{proxy}/debug/pprof/goroutine")
    slis = node.kubectl("get", "--raw", f"{proxy}/metrics/slis")
    assert 'kubernetes_healthcheck{name="syncloop",type="healthz"} 1.0' in slis
    gates = json.loads(node.kubectl("get", "--raw", f"{proxy}/configz"))["kubeletconfig"]["featureGates"]
    assert gates["PodLogsQuerySplitStreams"] is True
