"""Who gets in over TLS, and what they get."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest

from nodeagent.apiserver.pki import Pki

pytestmark = pytest.mark.node

REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def test_anonymous(server: Any) -> None:
    """Without credentials there is health and version, nothing else."""
    assert server.request("GET", "/healthz", identity=None) == (200, "ok")
    assert server.request("GET", "/readyz", identity=None) == (200, "ok")
    assert server.request("GET", "/version", identity=None)[0] == 200
    for method, path in (("GET", "/api"), ("GET", "/api/v1/pods"), ("POST", REVIEW), ("GET", "/no/such/path")):
        status, body = server.request(method, path, {} if method == "POST" else None, identity=None)
        assert (status, body["reason"], body["message"]) == (401, "Unauthorized", "Unauthorized")


def test_bad_token(server: Any) -> None:
    """A token that is none is 401, even where nobody needs one."""
    for token in ("rubbish", "a.b.c", ""):
        headers = {"Authorization": f"Bearer {token}"}
        assert server.request("GET", "/version", identity=None, headers=headers)[0] == 401
    assert server.request("GET", "/version", identity=None, headers={"Authorization": "Basic YTpi"})[0] == 401


def test_foreign_certificate(server: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A certificate of another CA does not get through the handshake."""
    foreign = Pki(tmp_path_factory.mktemp("pki"), "n1", ())
    context = server.tls(None)
    context.load_cert_chain(foreign.admin.certificate, foreign.admin.key)
    with pytest.raises((urllib.error.URLError, ssl.SSLError, OSError)):
        urllib.request.urlopen(server.url + "/api", context=context, timeout=30).read()


def test_admin(server: Any) -> None:
    """The admin's certificate is system:masters."""
    review = {"spec": {"resourceAttributes": {"verb": "*", "group": "*", "resource": "*"}}}
    status, answer = server.request("POST", REVIEW, review)
    assert (status, answer["status"]["allowed"]) == (201, True)


def test_node(server: Any) -> None:
    """The node registers itself and sees only what is its own."""
    node: dict[str, Any] = {"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "1"}}}
    assert server.request("POST", "/api/v1/nodes", node, identity="node")[0] in (201, 409)
    assert server.request("GET", "/api/v1/nodes/n1", identity="node")[0] == 200
    status, refused = server.request("GET", "/api/v1/nodes/n2", identity="node")
    assert (status, refused["message"]) == (
        403,
        'nodes "n2" is forbidden: User "system:node:n1" cannot get resource "nodes" in API group "" at the cluster scope: '
        "node 'n1' cannot read all nodes, only its own Node object",
    )
    assert server.request("GET", "/api/v1/pods", identity="node")[0] == 403
    assert server.request("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", identity="node")[0] == 200
    assert server.request("GET", "/api/v1/secrets", identity="node")[0] == 403
    lease = {"metadata": {"name": "n1", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "n1"}}
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    assert server.request("POST", path, lease, identity="node")[0] in (201, 409)
    held = server.request("GET", f"{path}/n1", identity="node")[1]
    assert server.request("PUT", f"{path}/n1", held, identity="node")[0] == 200


def test_service_account_token(server: Any) -> None:
    """A token is its account: nothing by default, what the role annotation says otherwise, and nothing once it is gone."""
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    assert server.request("POST", accounts, {"metadata": {"name": "robot"}})[0] == 201
    status, answer = server.request("POST", f"{accounts}/robot/token", {"spec": {"expirationSeconds": 600}})
    assert status == 201
    bearer = {"Authorization": f"Bearer {answer['status']['token']}"}

    def get(path: str) -> int:
        code: int = server.request("GET", path, identity=None, headers=bearer)[0]
        return code

    assert (get("/api"), get("/api/v1/pods"), get("/api/v1/secrets")) == (200, 403, 403)
    role = {"metadata": {"annotations": {"nodeagent.dev/cluster-role": "view"}}}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert server.request("PATCH", f"{accounts}/robot", role, headers=merge)[0] == 200
    assert (get("/api/v1/pods"), get("/api/v1/secrets")) == (200, 403)
    review = {"spec": {"token": answer["status"]["token"]}}
    status, reviewed = server.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert (status, reviewed["status"]["user"]["username"]) == (201, "system:serviceaccount:default:robot")
    who = server.request(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, identity=None, headers=bearer
    )[1]
    assert "system:serviceaccounts:default" in who["status"]["userInfo"]["groups"]
    assert server.request("DELETE", f"{accounts}/robot")[0] == 200
    assert get("/api") == 401
    _, reviewed = server.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert reviewed["status"].get("authenticated") in (None, False)


def test_node_gets_tokens_for_its_pods_only(server: Any) -> None:
    """A token asked for by a node must be bound to a pod that it runs; with the pod it is gone at once."""
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i:1"}]}
    status, pod = server.request(
        "POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "mine"}, "spec": spec}
    )
    assert status == 201

    def ask(bound: dict[str, str] | None) -> int:
        body = {"spec": {"boundObjectRef": bound} if bound else {}}
        code: int = server.request("POST", f"{accounts}/default/token", body, identity="node")[0]
        return code

    reference = {"kind": "Pod", "apiVersion": "v1", "name": "mine", "uid": pod["metadata"]["uid"]}
    assert ask(reference) == 201
    assert ask({**reference, "uid": "other"}) == 403
    assert ask(None) == 403
    body = {"spec": {"boundObjectRef": reference}}
    token = server.request("POST", f"{accounts}/default/token", body, identity="node")[1]["status"]["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert server.request("GET", "/api", identity=None, headers=bearer)[0] == 200
    assert server.request("DELETE", "/api/v1/namespaces/default/pods/mine?gracePeriodSeconds=0")[0] == 200
    assert server.request("GET", "/api", identity=None, headers=bearer)[0] == 401


def test_token_keys_are_published(server: Any) -> None:
    """The keys that verify tokens can be read by admins and service accounts; others have no use for them."""
    assert server.request("GET", "/openid/v1/jwks", identity="node")[0] == 403
    status, keys = server.request("GET", "/openid/v1/jwks")
    assert (status, keys["keys"][0]["kty"]) == (200, "RSA")
    assert json.dumps(keys).count('"d"') == 0
