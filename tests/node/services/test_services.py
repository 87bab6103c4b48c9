"""Services of a standalone node, from the API to the packet: pods that serve, clients in pods and on the machine."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually, is_ready, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("services")]

SERVE = "mkdir -p /www && hostname > /www/name && exec httpd -f -p 8080 -h /www"
CLIENT = "client"


def server(name: str, app: str, **spec: Any) -> dict[str, Any]:
    """A pod that answers with its name at port 8080, which is called `http`."""
    ports = [{"name": "http", "containerPort": 8080}]
    pod = pod_object(name, "sh", "-c", SERVE, ports=ports, terminationGracePeriodSeconds=1, **spec)
    pod["metadata"]["labels"] = {"app": app}
    return pod


def service(name: str, **spec: Any) -> dict[str, Any]:
    """Of the pods with the label `app` of its name."""
    ports = [{"name": "web", "port": 80, "targetPort": "http"}]
    whole = {"selector": {"app": name}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": whole}


def spec_of(node: NodeUnderTest, name: str) -> dict[str, Any]:
    found = node.api.get(f"api/v1/namespaces/default/services/{name}")
    assert found is not None
    spec: dict[str, Any] = found["spec"]
    return spec


def node_port(node: NodeUnderTest, name: str) -> int:
    port: int = spec_of(node, name)["ports"][0]["nodePort"]
    return port


def address_of(node: NodeUnderTest) -> str:
    found = node.api.get(f"api/v1/nodes/{node.name}")
    assert found is not None
    return str(found["status"]["addresses"][0]["address"])


def at_node_port(node: NodeUnderTest, name: str) -> str:
    """Who answers at the node's address; empty: the connection is refused."""
    url = f"http://{address_of(node)}:{node_port(node, name)}/name"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode().strip())
    except (urllib.error.URLError, OSError):
        return ""


def in_client(node: NodeUnderTest, *command: str) -> str:
    return node.kubectl("exec", CLIENT, "--", *command, check=False).strip()


@pytest.fixture(scope="module", autouse=True)
def client(node: NodeUnderTest) -> None:
    """A pod to ask from."""
    node.apply(pod_object(CLIENT, "sleep", "100000", terminationGracePeriodSeconds=1))
    node.running(CLIENT)


@pytest.fixture
def web(node: NodeUnderTest) -> Iterator[str]:
    """A Service of type NodePort with two pods behind it, answering."""
    node.apply(service("web", type="NodePort"), server("one", "web"), server("two", "web"))
    for name in ("one", "two"):
        node.running(name)
    eventually(lambda: {at_node_port(node, "web") for _ in range(20)} == {"one", "two"}, "both serve")
    yield "web"
    node.kubectl("delete", "service/web", "pod/one", "pod/two", "--ignore-not-found", "--wait")


def test_in_cluster_configuration(node: NodeUnderTest) -> None:
    """What every pod is given leads to the API, whose certificate is good for that address; the token is accepted."""
    host, port = in_client(node, "sh", "-c", "echo $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT").split()
    assert (host, port) == (node.service_range.replace(".0/24", ".1"), "443")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    authority, token = (in_client(node, "cat", f"{folder}/{name}") for name in ("ca.crt", "token"))
    program = (
        "import json, ssl, sys, urllib.request as r; asked = json.load(sys.stdin);"
        "context = ssl.create_default_context(cadata=asked['authority']);"
        "request = r.Request(asked['url'], headers={'Authorization': 'Bearer ' + asked['token']});"
        "print(r.urlopen(request, timeout=20, context=context).read().decode())"
    )
    url = f"https://{host}:{port}/api"
    enter = ["nsenter", f"--net=/proc/{pid_of(node, CLIENT)}/ns/net", "python3", "-c", program]
    asked = json.dumps({"authority": authority, "token": token, "url": url})
    done = subprocess.run(enter, input=asked, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "APIVersions"


def pid_of(node: NodeUnderTest, pod: str) -> int:
    """The process of the pod's container: the one that sees the pod's name as its host's."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if f"HOSTNAME={pod}".encode() in variables and str(node.service_range[:-5]).encode() in b" ".join(
                variables
            ):
                return int(folder.name)
    raise AssertionError(f"no process of {pod}")


def is_refused(node: NodeUnderTest, address: str) -> bool:
    """Whether a connection from the client's pod is refused. (busybox's wget, linked statically, crashes when it says so.)"""
    program = f"import socket; socket.create_connection(({address!r}, 80), timeout=10)"
    enter = ["nsenter", f"--net=/proc/{pid_of(node, CLIENT)}/ns/net", "python3", "-c", program]
    done = subprocess.run(enter, capture_output=True, text=True, check=False, timeout=60)
    return "ConnectionRefusedError" in done.stderr


def test_cluster_address_and_node_port(node: NodeUnderTest, web: str) -> None:
    """Both pods serve, by both ways in, a client in a pod and one on the machine; the pods themselves, too."""
    address = spec_of(node, web)["clusterIP"]
    for place in (CLIENT, "one"):
        found = {node.kubectl("exec", place, "--", "wget", "-qO-", f"http://{address}/name").strip() for _ in range(12)}
        assert found == {"one", "two"}, place
    pods = node.api.get("api/v1/namespaces/default/pods", labelSelector="app=web")
    assert pods is not None and len(pods["items"]) == 2


def test_names(node: NodeUnderTest, web: str) -> None:
    """A pod's resolver finds Services, the pods of a headless one, and nothing that is not there."""
    full = f"{web}.default.svc.cluster.local"
    assert spec_of(node, web)["clusterIP"] in in_client(node, "nslookup", full)
    node.apply(service("all", selector={"app": web}, clusterIP="None"))
    try:
        pods = node.api.get("api/v1/namespaces/default/pods", labelSelector=f"app={web}")
        assert pods is not None
        addresses = {pod["status"]["podIP"] for pod in pods["items"]}
        eventually(
            lambda: all(
                address in in_client(node, "nslookup", "all.default.svc.cluster.local") for address in addresses
            ),
            "the headless Service has its pods' addresses",
        )
    finally:
        node.kubectl("delete", "service/all")
    assert "exit code 1" in in_client(node, "nslookup", "nobody.default.svc.cluster.local")
    resolver = in_client(node, "cat", "/etc/resolv.conf").splitlines()
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in resolver[0]


def test_only_ready_pods_serve(node: NodeUnderTest, web: str) -> None:
    """One that fails its probe gets nothing, one that is deleted gets nothing more; without any, connections are refused."""
    probe = {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    third = server("three", "web")
    third["spec"]["containers"][0]["readinessProbe"] = probe
    node.apply(third)
    node.pod_when("three", lambda pod: pod["status"].get("podIP") and pod["status"]["phase"] == "Running")
    assert {at_node_port(node, web) for _ in range(30)} == {"one", "two"}
    node.kubectl("exec", "three", "--", "touch", "/ready")
    node.pod_when("three", is_ready)
    eventually(lambda: "three" in {at_node_port(node, web) for _ in range(10)}, "the third serves")
    node.kubectl("delete", "pod/one", "pod/two", "--wait")
    assert {at_node_port(node, web) for _ in range(10)} == {"three"}
    node.kubectl("delete", "pod/three", "--wait")
    assert at_node_port(node, web) == ""
    address = spec_of(node, web)["clusterIP"]
    assert is_refused(node, address)


def test_affinity(node: NodeUnderTest, web: str) -> None:
    """A client in a pod comes to the same pod each time."""
    node.kubectl("patch", "service", web, "-p", '{"spec": {"sessionAffinity": "ClientIP"}}')
    address = spec_of(node, web)["clusterIP"]
    ask = ["sh", "-c", f"for i in 1 2 3 4 5 6 7 8; do wget -qO- http://{address}/name; done"]
    eventually(lambda: len(set(in_client(node, *ask).split())) == 1, "affinity is in force")
    assert len(set(in_client(node, *ask).split())) == 1


def test_services_outlive_the_agent(node: NodeUnderTest, web: str) -> None:
    """With the agent killed they go on; the next one changes nothing but what has changed meanwhile."""
    table = ["nft", "list", "table", "inet", f"{node.bridge}-services"]

    def rules() -> str:
        return subprocess.run(table, capture_output=True, text=True, check=True).stdout

    before, port, address = rules(), node_port(node, web), address_of(node)
    node.kill()
    with urllib.request.urlopen(f"http://{address}:{port}/name", timeout=5) as answer:
        assert answer.read().decode().strip() in ("one", "two")
    node.start()
    node.running("one")
    assert rules() == before
    node.kubectl("delete", "pod/one", "--wait")
    eventually(lambda: {at_node_port(node, web) for _ in range(10)} == {"two"}, "only the second serves")


def test_when_they_are_turned_off(node: NodeUnderTest, web: str) -> None:
    """The rules of the agent before go."""
    try:
        node.stop()
        node.config["services"] = {"enabled": False}
        node.start()
        eventually(lambda: at_node_port(node, web) == "", "the rules are gone")
    finally:
        node.config["services"] = {"enabled": True}
