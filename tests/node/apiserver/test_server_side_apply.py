"""Server-side apply as stock kubectl, old and new, does it: owners, conflicts, what is left out, diff, dry runs."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.node

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: web
  labels: {app: web}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80}
  - {name: dns, port: 53, protocol: UDP}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeName: nowhere
  containers:
  - name: main
    image: busybox:1
    ports: [{containerPort: 80}]
"""


def config_map(data: dict[str, str], **metadata: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}, "data": data})


def apply(kubectl: Any, manifest: str, *arguments: str, manager: str = "kubectl") -> str:
    out: str = kubectl("apply", "--server-side", f"--field-manager={manager}", *arguments, "-f", "-", stdin=manifest)
    return out


def refused(kubectl: Any, manifest: str, *arguments: str, manager: str = "kubectl") -> str:
    done = kubectl.run("apply", "--server-side", f"--field-manager={manager}", *arguments, "-f", "-", stdin=manifest)
    assert done.code == 1
    err: str = done.err
    return err


def shown(kubectl: Any, *target: str) -> Any:
    """The object with its managed fields, which newer programs hide."""
    flags = ("--show-managed-fields",) if kubectl.minor >= 21 else ()
    return kubectl.json("get", *target, *flags)


def owners(obj: Any) -> dict[str, Any]:
    entries = obj["metadata"].get("managedFields", [])
    return {f"{entry['manager']} {entry['operation']}": entry["fieldsV1"] for entry in entries}


def data(kubectl: Any) -> Any:
    return kubectl.json("get", "cm", "c").get("data")


def test_two_managers_of_one_object(kubectl: Any) -> None:
    """Each keeps to its own fields; a conflict names the owner and the way out; force takes; leaving out gives back."""
    assert apply(kubectl, config_map({"a": "1", "b": "1"}), manager="one") == "configmap/c serverside-applied\n"
    apply(kubectl, config_map({"c": "2"}), manager="two")
    assert data(kubectl) == {"a": "1", "b": "1", "c": "2"}
    err = refused(kubectl, config_map({"a": "2", "c": "2"}), manager="two")
    assert 'Apply failed with 1 conflict: conflict with "one": .data.a' in err
    assert "--force-conflicts" in err
    apply(kubectl, config_map({"a": "2"}), "--force-conflicts", manager="two")
    assert data(kubectl) == {"a": "2", "b": "1"}
    assert owners(shown(kubectl, "cm", "c")) == {
        "one Apply": {"f:data": {"f:b": {}}},
        "two Apply": {"f:data": {"f:a": {}}},
    }
    apply(kubectl, config_map({}), manager="two")
    assert data(kubectl) == {"b": "1"}


def test_ports_of_a_service(kubectl: Any) -> None:
    """Ports are told apart by number and protocol; a port left out goes, what the API allocated stays."""
    apply(kubectl, SERVICE)
    first = kubectl.json("get", "svc", "web")
    udp = "\n  - {name: dns-tcp, port: 53, targetPort: 5353}\n"
    apply(kubectl, SERVICE.replace("\n  - {name: dns, port: 53, protocol: UDP}\n", udp))
    second = kubectl.json("get", "svc", "web")
    ports = {(port["name"], port["port"], port["protocol"], port["targetPort"]) for port in second["spec"]["ports"]}
    assert ports == {("http", 80, "TCP", 80), ("dns-tcp", 53, "TCP", 5353)}
    assert second["spec"]["clusterIP"] == first["spec"]["clusterIP"]


def test_nothing_new_writes_nothing(kubectl: Any) -> None:
    """The same manifest again keeps the resourceVersion."""
    apply(kubectl, POD)
    before = shown(kubectl, "pod", "web")
    assert apply(kubectl, POD) == "pod/web serverside-applied\n"
    assert shown(kubectl, "pod", "web") == before


def test_who_else_writes(kubectl: Any) -> None:
    """annotate, label, edit and set image own what they change, and an apply that disagrees is told so."""
    apply(kubectl, POD)
    kubectl("annotate", "pod", "web", "note=v")
    kubectl("label", "pod", "web", "l=v")
    kubectl("set", "image", "pod/web", "main=busybox:2")
    kubectl("edit", "pod", "web", env={"KUBE_EDITOR": 'sed -i "s/note: v$/note: edited/"'})
    found = owners(shown(kubectl, "pod", "web"))
    image = {"f:spec": {"f:containers": {'k:{"name":"main"}': {"f:image": {}}}}}
    # programs before 1.21 say no name for these; their User-Agent does
    assert image in found.values()
    assert {"f:metadata": {"f:labels": {".": {}, "f:l": {}}}} in found.values()
    assert "f:annotations" in found["kubectl-edit Update"]["f:metadata"]
    err = refused(kubectl, POD)
    assert '.spec.containers[name="main"].image' in err
    apply(kubectl, POD, "--force-conflicts")
    pod = kubectl.json("get", "pod", "web")
    assert pod["spec"]["containers"][0]["image"] == "busybox:1"
    assert (pod["metadata"]["labels"], pod["metadata"]["annotations"]) == ({"l": "v"}, {"note": "edited"})


def test_dry_run_and_diff(kubectl: Any) -> None:
    """Both show what an apply would do, conflicts too, and store nothing."""
    apply(kubectl, config_map({"a": "1", "b": "1"}))
    apply(kubectl, config_map({"a": "2"}), "--dry-run=server")
    assert "conflict" in refused(kubectl, config_map({"a": "3"}), "--dry-run=server", manager="other")
    same = kubectl.run("diff", "--server-side", "-f", "-", stdin=config_map({"a": "1", "b": "1"}))
    assert (same.code, same.out) == (0, "")
    found = kubectl.run("diff", "--server-side", "-f", "-", stdin=config_map({"a": "2"}))
    assert found.code == 1
    assert '-  a: "1"' in found.out
    assert '+  a: "2"' in found.out
    assert '-  b: "1"' in found.out
    assert data(kubectl) == {"a": "1", "b": "1"}


def test_from_client_side_to_server_side(kubectl: Any) -> None:
    """An object of plain applies is taken over without a conflict; then what is left out goes as before."""
    kubectl("apply", "-f", "-", stdin=config_map({"a": "1", "b": "1"}))
    assert data(kubectl) == {"a": "1", "b": "1"}
    apply(kubectl, config_map({"a": "2", "b": "1"}))
    assert data(kubectl) == {"a": "2", "b": "1"}
    assert "kubectl Apply" in owners(shown(kubectl, "cm", "c"))
    if kubectl.minor >= 26:
        # these hand the entry of their old applies over
        assert "kubectl-client-side-apply Update" not in owners(shown(kubectl, "cm", "c"))
        apply(kubectl, config_map({"a": "2"}))
        assert data(kubectl) == {"a": "2"}
    # and back
    kubectl("apply", "-f", "-", stdin=config_map({"a": "3"}))
    assert data(kubectl)["a"] == "3"


def test_managed_fields_are_hidden(kubectl: Any) -> None:
    """Shown only when asked for, by the programs that know how."""
    apply(kubectl, config_map({"a": "1"}))
    text = kubectl("get", "cm", "c", "-o", "yaml")
    assert ("managedFields" in text) == (kubectl.minor < 21)
    if kubectl.minor >= 21:
        assert "f:data:" in kubectl("get", "cm", "c", "-o", "yaml", "--show-managed-fields")


def test_refusals(kubectl: Any) -> None:
    """A misspelt field and a wrong type are told with their path, and nothing is stored."""
    manifest = POD.replace("nodeName", "nodename")
    done = kubectl.run("apply", "--server-side", "--validate=false", "-f", "-", stdin=manifest)
    assert done.code == 1
    assert ".spec.nodename: field not declared in schema" in done.err
    wrong = json.loads(config_map({}))
    wrong["data"] = {"a": 1}
    done = kubectl.run("apply", "--server-side", "--validate=false", "-f", "-", stdin=json.dumps(wrong))
    assert ".data.a: expected string, got" in done.err
    assert kubectl.run("get", "pod", "web").code == 1


def test_over_http(server: Any) -> None:
    """What kubectl does not send: no manager, CBOR, a subresource that is not there, a YAML body; clients by their name."""
    path = "/api/v1/namespaces/default/configmaps/http"
    yaml = {"Content-Type": "application/apply-patch+yaml", "User-Agent": "my-client/v1 (linux)"}
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: http}\ndata: {a: '1'}\n"
    status, answer = server.request("PATCH", path, body, headers=yaml)
    assert status == 422
    assert answer["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    status, made = server.request("PATCH", f"{path}?fieldManager=m", body, headers=yaml)
    assert (status, owners(made)) == (201, {"m Apply": {"f:data": {"f:a": {}}}})
    cbor = {**yaml, "Content-Type": "application/apply-patch+cbor"}
    assert server.request("PATCH", f"{path}?fieldManager=m", b"\xa0", headers=cbor)[0] == 415
    merge = {**yaml, "Content-Type": "application/merge-patch+json"}
    status, changed = server.request("PATCH", path, {"data": {"a": "2"}}, headers=merge)
    assert (status, owners(changed)) == (200, {"my-client Update": {"f:data": {"f:a": {}}}})
    status, answer = server.request("PATCH", f"{path}?fieldManager=m", body, headers=yaml)
    assert (status, answer["details"]["causes"][0]["reason"]) == (409, "FieldManagerConflict")
    status, _ = server.request("PATCH", f"{path}?fieldManager=m&force=true", body, headers=yaml)
    assert status == 200
    status, _ = server.request("PATCH", f"{path}?force=true", {}, headers=merge)
    assert status == 422
    assert server.request("DELETE", path)[0] == 200
