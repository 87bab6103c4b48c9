"""The embedded API and the node's endpoint are as strict as a real cluster's: who may act as whom, see what, and get which
certificates; and certificates last as long as the node."""

import base64
import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from node_under_test import NodeUnderTest, eventually, pod_object

from nodeagent.api.certificates import serving_certificate
from nodeagent.apiserver.pki import Pki

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-api-rights")]

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
VIEWER = "system:serviceaccount:default:viewer"
SIGNER = "kubernetes.io"
OWN_PATHS = (
    *("/pods", "/runningpods/", "/configz", "/healthz", "/metrics", "/metrics/cadvisor", "/stats/summary"),
    *("/logs/", "/logs/syslog", "/debug/pprof/", "/checkpoint/a/b/c", "/", "/x"),
    *(f"/{verb}/default/p/c" for verb in ("containerLogs", "exec", "attach", "run")),
    "/portForward/default/p",
)


class Clients:
    """HTTPS to a node and its API with a chosen identity: the name of a pair in pki/, or a token."""

    def __init__(self, node: NodeUnderTest) -> None:
        self.node = node
        self.pki = node.directory / "state" / "pki"
        self.api = str(yaml.safe_load(node.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
        self.endpoint = f"https://127.0.0.1:{node.port}"

    def __call__(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        identity: str = "admin",
        token: str = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=self.pki / "ca.crt")
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if identity and not token:
            context.load_cert_chain(self.pki / f"{identity}.crt", self.pki / f"{identity}.key")
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def token(self, account: str, role: str = "") -> str:
        annotations = {"nodeagent.dev/cluster-role": role} if role else {}
        body = {"metadata": {"name": account, "annotations": annotations}}
        assert self("POST", self.api + ACCOUNTS, body)[0] in (201, 409)
        status, answer = self("POST", f"{self.api}{ACCOUNTS}/{account}/token", {"spec": {}})
        assert status == 201, answer
        return str(answer["status"]["token"])


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


@pytest.fixture(scope="module")
def call(node: NodeUnderTest) -> Clients:
    return Clients(node)


def acting_as(user: str, *, group: str = "") -> dict[str, str]:
    return {"Impersonate-User": user, **({"Impersonate-Group": group} if group else {})}


def can_i(node: NodeUnderTest, verb: str, resource: str) -> str:
    """What kubectl says for the viewer: its status is 1 for a no."""
    command = ["kubectl", f"--kubeconfig={node.kubeconfig}", "auth", "can-i", verb, resource, f"--as={VIEWER}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


def test_acting_as_another_has_the_others_rights(node: NodeUnderTest, call: Clients) -> None:
    """kubectl --as shows what the other may do: reads, watches, self reviews; never the caller's own rights."""
    call.token("viewer", "view")
    node.kubectl("create", "secret", "generic", "s1", "--from-literal=key=TOPSECRET")
    for resource, allowed in (("secrets", "no"), ("pods", "yes"), ("nodes/log", "no")):
        assert (resource, can_i(node, "get", resource)) == (resource, allowed)
    refused = node.kubectl("get", "secret", "s1", "--as=nobody", "-o", "yaml", check=False)
    assert "TOPSECRET" not in refused and base64.b64encode(b"TOPSECRET").decode() not in refused
    assert "s1" in node.kubectl("get", "secret", "s1", "--as=nobody", "--as-group=system:masters")
    for path in ("/api/v1/secrets", "/api/v1/secrets?watch=true"):
        status, said = call("GET", call.api + path, headers=acting_as("nobody"))
        assert (status, said["reason"]) == (403, "Forbidden")
        assert said["message"].startswith('secrets is forbidden: User "nobody" cannot ')
    review = f"{call.api}/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {**acting_as("jane", group="dev"), "Impersonate-Uid": "7", "Impersonate-Extra-Scopes": "a"}
    assert call("POST", review, {}, headers=headers)[1]["status"]["userInfo"] == {
        "username": "jane",
        "uid": "7",
        "groups": ["dev", "system:authenticated"],
        "extra": {"scopes": ["a"]},
    }
    status, said = call("GET", f"{call.api}/api/v1/secrets", headers=acting_as("system:anonymous"))
    assert (status, said["reason"]) == (403, "Forbidden")


def test_who_may_act_as_another(call: Clients) -> None:
    """Only who may impersonate every part: nobody but masters and cluster-admins; a part without a user is 400."""
    url = f"{call.api}/api/v1/pods"
    viewer, boss = call.token("viewer", "view"), call.token("boss", "cluster-admin")
    for headers in (acting_as("kubernetes-admin"), acting_as(VIEWER), acting_as("x", group="system:masters")):
        for caller in ({"token": viewer}, {"identity": "node"}, {"identity": "apiserver-kubelet-client"}):
            status, said = call("GET", url, headers=headers, **caller)
            assert (status, said["reason"], "impersonate" in said["message"]) == (403, "Forbidden", True)
        assert call("GET", url, headers=headers, identity="")[0] == 401
    assert call("GET", url, token=boss, headers=acting_as(VIEWER))[0] == 200
    for name in ("Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Key"):
        status, said = call("GET", url, headers={name: "system:masters"})
        assert (status, said["reason"]) == (400, "BadRequest")


def test_streams_of_another(node: NodeUnderTest, call: Clients) -> None:
    """exec, log and the node's proxy ask for the rights of whom they are done as."""
    call.token("viewer", "view")
    node.apply(pod_object("streamed", "sh", "-c", "echo hello; exec sleep 600"))
    node.running("streamed")
    assert "hello" in eventually(lambda: node.kubectl("logs", "streamed", f"--as={VIEWER}", check=False), "the log")
    assert (
        node.kubectl("exec", "streamed", "--as=nobody", "--as-group=system:masters", "--", "echo", "in").strip() == "in"
    )
    refused = node.kubectl("exec", "streamed", f"--as={VIEWER}", "--", "echo", "in", check=False)
    assert f'User "{VIEWER}" cannot create resource "pods/exec"' in refused
    for path in ("proxy/configz", "proxy/metrics", "proxy/pods"):
        url = f"{call.api}/api/v1/nodes/{node.name}/{path}"
        assert call("GET", url)[0] == 200
        assert call("GET", url, headers=acting_as(VIEWER))[0] == 403
    node.delete_pods("streamed")


def test_what_each_role_sees_of_the_host(node: NodeUnderTest, call: Clients) -> None:
    """No service account but an admin's, no node and no stranger reads anything at the node's own endpoint."""
    for token in (call.token("viewer", "view"), call.token("plain")):
        for path in OWN_PATHS:
            assert (path, call("GET", call.endpoint + path, token=token)[0]) == (path, 403)
    for path in OWN_PATHS:
        assert (path, call("GET", call.endpoint + path, identity="node")[0]) == (path, 403)
        assert (path, call("GET", call.endpoint + path, identity="")) == (path, (401, "Unauthorized"))
    boss = call.token("boss", "cluster-admin")
    for path in ("/pods", "/configz", "/logs/"):
        assert call("GET", call.endpoint + path, token=boss)[0] == 200
    audience = {"spec": {"audiences": ["vault"]}}
    other = call("POST", f"{call.api}{ACCOUNTS}/boss/token", audience)[1]["status"]["token"]
    assert call("GET", f"{call.endpoint}/pods", token=other)[0] == 401
    for bad in ("rubbish", "a.b.c"):
        assert call("GET", f"{call.endpoint}/pods", token=bad)[0] == 401
    with pytest.raises(OSError):  # it is no client's certificate
        call("GET", f"{call.endpoint}/pods", identity="apiserver")


def test_what_the_api_refuses(call: Clients) -> None:
    """Nobody, a plain account, a viewer and a node get what the review saw refused, and no more."""
    assert call("GET", f"{call.api}/api/v1/pods", identity="")[0] == 401
    assert call("GET", f"{call.api}/api/v1/pods", token=call.token("plain"))[0] == 403
    viewer = call.token("viewer", "view")
    pod = "/api/v1/namespaces/default/pods/p"
    for path in ("/api/v1/secrets", "/api/v1/nodes", "/api/v1/persistentvolumes", CSRS, f"{pod}/exec", f"{pod}/attach"):
        assert (path, call("GET", call.api + path, token=viewer)[0]) == (path, 403)
    assert call("POST", f"{call.api}{ACCOUNTS}/boss/token", {"spec": {}}, token=viewer)[0] == 403
    assert call("POST", f"{call.api}{ACCOUNTS}/default/token", {"spec": {}}, identity="node")[0] == 403
    assert call("GET", f"{call.api}/api/v1/secrets", identity="node")[0] == 403
    assert call("GET", f"{call.api}/api/v1/secrets", identity="apiserver-kubelet-client")[0] == 403


def csr(common_name: str, *groups: str, names: tuple[x509.GeneralName, ...] = ()) -> str:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def asked(name: str, request: str, signer: str, *usages: str) -> dict[str, Any]:
    spec = {"request": request, "signerName": f"{SIGNER}/{signer}", "usages": usages}
    return {"metadata": {"name": name}, "spec": spec}


def test_certificates_for_the_node_only(node: NodeUnderTest, call: Clients) -> None:
    """A serving certificate comes by itself for the node's own names; for any other name it waits; masters are refused."""
    url = call.api + CSRS
    user = f"system:node:{node.name}"
    serving = ("kubelet-serving", "digital signature", "server auth")
    good, bad = x509.DNSName(node.name), x509.DNSName("kubernetes")
    for name, names in (("good", (good,)), ("bad", (good, bad))):
        body = asked(name, csr(user, "system:nodes", names=names), *serving)
        assert call("POST", url, body, identity="node")[0] == 201
    eventually(lambda: call("GET", f"{url}/good")[1]["status"].get("certificate"), "the node's own certificate")
    assert call("GET", f"{url}/bad")[1]["status"] == {}
    bodies = (
        asked("m", csr("eve", "system:masters"), "kube-apiserver-client", "client auth"),
        asked("m", csr("eve", "dev", "system:masters"), "kube-apiserver-client", "client auth"),
    )
    for body in bodies:
        status, said = call("POST", url, body)
        assert (status, said["reason"]) == (403, "Forbidden")
        assert said["message"].endswith("signer with system:masters group is not allowed")
    # another node's name, by this node; and its decision on its own request
    other = asked("o", csr("system:node:other", "system:nodes"), "kube-apiserver-client-kubelet", "client auth")
    assert call("POST", url, other, identity="node")[0] == 403
    assert call("PUT", f"{url}/bad/approval", call("GET", f"{url}/bad")[1], identity="node")[0] == 403


def shown(port: int) -> bytes:
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as tls:
        return tls.getpeercert(binary_form=True) or b""


def left(data: bytes) -> timedelta:
    return x509.load_der_x509_certificate(data).not_valid_after_utc - datetime.now(UTC)


def near_their_end(pki: Path, name: str) -> None:
    """Leaves with 80 days to go, as a year's certificates have after 285 days."""
    for path in pki.glob("*.crt"):
        if path.name != "ca.crt":
            path.unlink()
    Pki(pki, name, (), clock=lambda: datetime.now(UTC) - timedelta(days=285))


def test_certificates_last_as_long_as_the_node(node: NodeUnderTest, call: Clients) -> None:
    """Leaves near their end are replaced while everything runs; who connects sees the new ones, and the node goes on."""
    api, agent = int(call.api.rpartition(":")[2]), node.port
    before = (shown(api), shown(agent))
    near_their_end(call.pki, node.name)
    folder = node.root_dir / "pki"
    (folder / "kubelet.crt").unlink()
    serving_certificate(folder, node.name, now=datetime.now(UTC) - timedelta(days=285))
    leaves = ("apiserver", "admin", "node", "apiserver-kubelet-client")

    def renewed() -> bool:
        files = [x509.load_pem_x509_certificate((call.pki / f"{leaf}.crt").read_bytes()) for leaf in leaves]
        ends = [file.not_valid_after_utc - datetime.now(UTC) for file in files]
        return min(*ends, left(shown(api)), left(shown(agent))) > timedelta(days=360)

    eventually(_without_gaps(renewed), "new certificates")
    assert (shown(api) != before[0], shown(agent) != before[1]) == (True, True)
    admin = base64.b64encode((call.pki / "admin.crt").read_bytes()).decode()
    eventually(lambda: admin in node.kubeconfig.read_text(), "the admin's kubeconfig")
    # both ways between the two: the agent with the node's certificate, the API with its own
    node.apply(pod_object("after", "sh", "-c", "echo hello; exec sleep 600"))
    node.running("after")
    assert "hello" in eventually(lambda: node.kubectl("logs", "after", check=False), "the log")
    node.delete_pods("after")


def _without_gaps(check: Callable[[], bool]) -> Callable[[], bool]:
    """A file that is just being replaced is no answer yet."""

    def look() -> bool:
        try:
            return check()
        except (OSError, ValueError):
            return False

    return look
