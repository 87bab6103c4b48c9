"""What the streaming benchmarks share: a kubeconfig's credentials, its API, one node's endpoint, and a pod to talk to."""

import base64
import json
import ssl
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

_DEADLINE_SECONDS = 120


@dataclass(frozen=True)
class Cluster:
    """`api` and `node` are base URLs. Client certificates and tokens in the kubeconfig itself are understood."""

    kubeconfig: str
    api: str
    node: str
    node_name: str
    context: ssl.SSLContext
    headers: dict[str, str]

    def session(self, base: str) -> aiohttp.ClientSession:
        """A new connection for every request, as kubectl makes them."""
        connector = aiohttp.TCPConnector(ssl=self.context, force_close=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_DEADLINE_SECONDS)
        return aiohttp.ClientSession(base, connector=connector, headers=self.headers, timeout=timeout)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
        )
        if done.returncode:
            raise SystemExit(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def run(self, script: str, *, image: str, runtime_class: str = "") -> str:
        """Start a pod of one container `c` on the node; its name, once it is Ready."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        spec: dict[str, Any] = {
            "nodeName": self.node_name,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {"name": "c", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
            ],
        }
        if runtime_class:
            spec["runtimeClassName"] = runtime_class
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
        self.kubectl("create", "-f", "-", stdin=json.dumps(pod))
        self.kubectl("wait", "-n", "default", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        return name

    def container_id(self, pod: str) -> str:
        path = "jsonpath={.status.containerStatuses[0].containerID}"
        return self.kubectl("get", "pod", "-n", "default", pod, "-o", path).rpartition("://")[2]

    def delete(self, pod: str) -> None:
        self.kubectl("delete", "pod", "-n", "default", pod, "--wait=false")


def connect(kubeconfig: str, node_name: str = "") -> Cluster:
    """The kubeconfig's current context; without a name its only node."""
    document = yaml.safe_load(Path(kubeconfig).read_text())
    names = {item["name"]: item["context"] for item in document["contexts"]}
    current = names[document["current-context"]]
    server = next(item["cluster"] for item in document["clusters"] if item["name"] == current["cluster"])["server"]
    user = next(item["user"] for item in document["users"] if item["name"] == current["user"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # figures, not secrets, pass here
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
            pair.flush()
            context.load_cert_chain(pair.name)
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    listed = subprocess.run(
        ["kubectl", f"--kubeconfig={kubeconfig}", "get", "nodes", "-o", "json"], capture_output=True, check=True
    )
    nodes = {item["metadata"]["name"]: item for item in json.loads(listed.stdout)["items"]}
    if not node_name and len(nodes) != 1:
        raise SystemExit(f"--node is needed: one of {', '.join(sorted(nodes))}")
    name = node_name or next(iter(nodes))
    status = nodes[name]["status"]
    host = next(item["address"] for item in status["addresses"] if item["type"] == "InternalIP")
    port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    return Cluster(kubeconfig, server, f"https://{host}:{port}", name, context, headers)
