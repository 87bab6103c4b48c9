"""Stock kubectl, old and new, against the server alone: no agent, so pods stay as they are written."""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.node

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  nodeName: nowhere
  terminationGracePeriodSeconds: 5
  containers:
  - name: main
    image: busybox:1
    env:
    - {name: A, value: "1"}
    - {name: B, value: "2"}
"""


def config_map(**data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})


def apply(kubectl: Any, manifest: str) -> str:
    out: str = kubectl("apply", "-f", "-", stdin=manifest)
    return out


def test_get(kubectl: Any) -> None:
    """Tables, wide and narrow; names, JSON, YAML; labels and fields; sorted; nothing found."""
    assert "No resources found" in kubectl.run("get", "pods").err
    apply(kubectl, POD)
    apply(kubectl, POD.replace("name: web", "name: api").replace("app: web", "app: api"))
    header, api, web = kubectl("get", "pods").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert (api.split()[:4], web.split()[:4]) == (["api", "0/1", "Pending", "0"], ["web", "0/1", "Pending", "0"])
    wide = kubectl("get", "po", "web", "-o", "wide").splitlines()
    assert wide[0].split("  ")[0] == "NAME"
    assert "nowhere" in wide[1]
    assert kubectl("get", "pod/web", "-o", "name") == "pod/web\n"
    assert kubectl.json("get", "pod", "web")["spec"]["containers"][0]["name"] == "main"
    assert [item["metadata"]["name"] for item in kubectl.json("get", "pods")["items"]] == ["api", "web"]
    assert "kind: Pod" in kubectl("get", "pod", "web", "-o", "yaml")
    assert kubectl("get", "pods", "-l", "app=web", "-o", "name") == "pod/web\n"
    assert kubectl("get", "pods", "-l", "app notin (web)", "-o", "name") == "pod/api\n"
    assert kubectl("get", "pods", "--field-selector", "metadata.name=api", "-o", "name") == "pod/api\n"
    assert kubectl("get", "pods", "--field-selector", "spec.nodeName=nowhere", "-o", "name").count("pod/") == 2
    assert kubectl("get", "pods", "--sort-by", "{.metadata.labels.app}", "--no-headers").split()[0] == "api"
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}") == "api web"
    assert "app=web" in kubectl("get", "pods", "--show-labels")
    assert kubectl("get", "pods", "-A").splitlines()[0].split()[0] == "NAMESPACE"
    missing = kubectl.run("get", "pod", "none")
    assert (missing.code, missing.err) == (1, 'Error from server (NotFound): pods "none" not found\n')


def test_get_all_kinds(kubectl: Any) -> None:
    """Every kind that can be listed can be got, by every one of its names."""
    listed = kubectl("api-resources", "--verbs", "list", "-o", "name").split()
    assert {"pods", "nodes", "leases.coordination.k8s.io", "endpointslices.discovery.k8s.io"} <= set(listed)
    for name in listed:
        assert kubectl.run("get", name).code == 0, name
    for short in ("po", "no", "ns", "cm", "sa", "svc", "ev", "pvc", "pv", "ep", "csr", "sc", "pc"):
        assert kubectl.run("get", short).code == 0, short
    assert kubectl.run("get", "all").code == 0


def test_watch(kubectl: Any) -> None:
    """get -w shows what there is, then each change as a row."""
    apply(kubectl, POD)
    watching = kubectl.start("get", "pods", "-w", "--no-headers")
    assert watching.stdout.readline().split()[:3] == ["web", "0/1", "Pending"]
    kubectl("delete", "pod", "web", "--wait=false")
    assert watching.stdout.readline().split()[:3] == ["web", "0/1", "Terminating"]
    kubectl("delete", "pod", "web", "--force", "--grace-period=0")
    assert watching.stdout.readline().split()[:3] == ["web", "0/1", "Terminating"]
    end(watching)
    watching = kubectl.start("get", "cm", "late", "-w", "--no-headers", "-o", "name")
    end(watching)


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def test_describe(kubectl: Any) -> None:
    """describe works for pods with their events, nodes, secrets, and more."""
    apply(kubectl, POD)
    text = kubectl("describe", "pod", "web")
    assert re.search(r"^Name:\s+web$", text, re.MULTILINE)
    assert "kube-api-access" in text
    kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    assert re.search(r"k:\s+1 bytes", kubectl("describe", "secret", "s"))
    assert "Status:" in kubectl("describe", "namespace", kubectl.namespace)
    kubectl("describe", "sa", "default")


def test_describe_node(kubectl: Any, server: Any) -> None:
    """A node is described with its lease and its pods."""
    name = f"node-{kubectl.namespace}"
    node = {
        "metadata": {"name": name},
        "status": {"capacity": {"cpu": "2", "memory": "1Gi", "pods": "10"}, "nodeInfo": node_info()},
    }
    assert server.request("POST", "/api/v1/nodes", node)[0] == 201
    apply(kubectl, POD.replace("nowhere", name))
    text = kubectl("describe", "node", name)
    assert "Non-terminated Pods:" in text
    assert "web" in text
    assert name in kubectl("get", "nodes")
    kubectl("cordon", name)
    assert "SchedulingDisabled" in kubectl("get", "node", name)
    kubectl("uncordon", name)
    kubectl("taint", "nodes", name, "a=b:NoSchedule")
    taints = kubectl.json("get", "node", name)["spec"]["taints"]
    assert {"key": "a", "value": "b", "effect": "NoSchedule"} in taints
    kubectl("taint", "nodes", name, "a-")
    kubectl("label", "node", name, "x=y")
    kubectl("delete", "node", name)


def node_info() -> dict[str, str]:
    names = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion")
    more = ("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture")
    return dict.fromkeys((*names, *more), "x")


def test_apply(kubectl: Any) -> None:
    """apply creates, says when nothing changed, changes, and takes away what the manifest no longer has."""
    assert apply(kubectl, POD) == "pod/web created\n"
    assert apply(kubectl, POD) == "pod/web unchanged\n"
    assert apply(kubectl, POD.replace("busybox:1", "busybox:2")) == "pod/web configured\n"
    assert kubectl("get", "pod", "web", "-o", "jsonpath={.spec.containers[0].image}") == "busybox:2"
    apply(kubectl, config_map(a="1", b="2"))
    assert apply(kubectl, config_map(b="3", d="4")) == "configmap/c configured\n"
    assert kubectl.json("get", "cm", "c")["data"] == {"b": "3", "d": "4"}


def test_apply_prunes_list_elements(kubectl: Any) -> None:
    """An element that left a list with a merge key leaves the object; others' elements stay."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"selector": {"a": "b"}, "ports": [{"name": "x", "port": 80}, {"name": "y", "port": 81}]},
    }
    apply(kubectl, json.dumps(service))
    kubectl("patch", "svc", "s", "-p", '{"spec":{"ports":[{"name":"z","port":82}]}}')
    service["spec"]["ports"] = [{"name": "y", "port": 81}]  # type: ignore[index]
    apply(kubectl, json.dumps(service))
    ports = {p["name"]: p["port"] for p in kubectl.json("get", "svc", "s")["spec"]["ports"]}
    assert ports == {"y": 81, "z": 82}


def test_apply_refusals(kubectl: Any) -> None:
    """A manifest that does not validate is refused with every cause, a misspelt field by its name."""
    bad = POD.replace("name: main", "name: Main_").replace("image: busybox:1", "image: ''")
    result = kubectl.run("apply", "-f", "-", stdin=bad)
    assert result.code == 1
    assert "spec.containers[0].name" in result.err
    assert "spec.containers[0].image" in result.err
    misspelt = kubectl.run("create", "-f", "-", stdin=POD.replace("nodeName", "nodename"))
    assert misspelt.code == 1
    # told by the server to the new one; the old one knows from the schema
    assert 'unknown field "spec.nodename"' in misspelt.err or 'unknown field "nodename"' in misspelt.err
    broken = kubectl.run("apply", "-f", "-", stdin="a: [b")
    assert broken.code == 1


def test_diff(kubectl: Any) -> None:
    """diff shows what an apply would change, and changes nothing."""
    apply(kubectl, config_map(a="1"))
    result = kubectl.run("diff", "-f", "-", stdin=config_map(a="2"))
    assert (result.code, '+  a: "2"' in result.out) == (1, True)
    assert kubectl.json("get", "cm", "c")["data"] == {"a": "1"}


def test_create(kubectl: Any, tmp_path: Path) -> None:
    """The imperative creates, which newer kubectls send as protobuf."""
    (tmp_path / "file").write_bytes(b"\x00\xffbinary")
    kubectl("create", "configmap", "c", "--from-literal=a=b", f"--from-file=f={tmp_path}/file")
    created = kubectl.json("get", "cm", "c")
    assert (created["data"], created["binaryData"]) == ({"a": "b"}, {"f": "AP9iaW5hcnk="})
    kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    secret = kubectl.json("get", "secret", "s")
    assert (secret["data"], secret["type"]) == ({"k": "dg=="}, "Opaque")
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "namespace", f"{kubectl.namespace}-x")
    kubectl("delete", "namespace", f"{kubectl.namespace}-x")
    kubectl("create", "priorityclass", f"p-{kubectl.namespace}", "--value=10")
    kubectl("delete", "priorityclass", f"p-{kubectl.namespace}")
    kubectl("create", "service", "clusterip", "svc", "--tcp=80:8080")
    assert kubectl.json("get", "svc", "svc")["spec"]["ports"][0]["targetPort"] == 8080
    kubectl("run", "p", "--image=busybox:1", "--restart=Never")
    assert kubectl.json("get", "pod", "p")["spec"]["restartPolicy"] == "Never"
    again = kubectl.run("create", "configmap", "c")
    assert "(AlreadyExists)" in again.err or "already exists" in again.err
    if kubectl.minor >= 24:
        token = kubectl("create", "token", "robot").strip()
        assert token.count(".") == 2


def test_dry_run(kubectl: Any) -> None:
    """A server-side dry run shows the defaulted object and stores nothing."""
    out = kubectl("create", "-f", "-", "--dry-run=server", "-o", "json", stdin=POD)
    assert json.loads(out)["spec"]["restartPolicy"] == "Always"
    assert kubectl.run("get", "pod", "web").code == 1


def test_edit(kubectl: Any) -> None:
    """edit sends what the editor changed."""
    apply(kubectl, config_map(a="1"))
    kubectl("edit", "cm", "c", env={"KUBE_EDITOR": 'sed -i "s/a: .1./a: changed/"'})
    assert kubectl.json("get", "cm", "c")["data"] == {"a": "changed"}
    assert "no changes made" in kubectl.run("edit", "cm", "c", env={"KUBE_EDITOR": "true"}).err.lower()


def test_label_and_annotate(kubectl: Any) -> None:
    """Labels and annotations come, change only when told so, and go."""
    apply(kubectl, config_map(a="1"))
    kubectl("label", "cm", "c", "x=1")
    assert kubectl.run("label", "cm", "c", "x=2").code == 1
    kubectl("label", "cm", "c", "x=2", "--overwrite")
    kubectl("annotate", "cm", "c", "n=v")
    meta = kubectl.json("get", "cm", "c")["metadata"]
    assert (meta["labels"], meta["annotations"]["n"]) == ({"x": "2"}, "v")
    kubectl("label", "cm", "c", "x-")
    assert not kubectl.json("get", "cm", "c")["metadata"].get("labels")
    assert kubectl.run("label", "cm", "c", "bad key=1").code == 1


def test_patch(kubectl: Any) -> None:
    """All three patch types."""
    apply(kubectl, POD)
    kubectl("patch", "pod", "web", "-p", '{"spec":{"containers":[{"name":"main","image":"busybox:9"}]}}')
    kubectl("patch", "pod", "web", "--type=merge", "-p", '{"metadata":{"labels":{"m":"1"}}}')
    operations = '[{"op":"replace","path":"/metadata/labels/m","value":"2"}]'
    kubectl("patch", "pod", "web", "--type=json", "-p", operations)
    pod = kubectl.json("get", "pod", "web")
    assert (pod["spec"]["containers"][0]["image"], pod["metadata"]["labels"]["m"]) == ("busybox:9", "2")
    assert len(pod["spec"]["containers"][0]["env"]) == 2
    if kubectl.minor >= 24:
        kubectl("patch", "pod", "web", "--subresource=status", "-p", '{"status":{"phase":"Running"}}')
        assert kubectl.json("get", "pod", "web")["status"]["phase"] == "Running"
    refused = kubectl.run("patch", "pod", "web", "--type=json", "-p", '[{"op":"remove","path":"/none"}]')
    assert refused.code == 1


def test_replace(kubectl: Any) -> None:
    """replace puts the whole object, --force deletes first; a stale one is a conflict."""
    apply(kubectl, config_map(a="1"))
    stale = kubectl("get", "cm", "c", "-o", "json")
    kubectl("replace", "-f", "-", stdin=config_map(b="2"))
    assert kubectl.json("get", "cm", "c")["data"] == {"b": "2"}
    conflict = kubectl.run("replace", "-f", "-", stdin=stale)
    assert "(Conflict)" in conflict.err
    uid = kubectl.json("get", "cm", "c")["metadata"]["uid"]
    kubectl("replace", "--force", "-f", "-", stdin=config_map(b="3"))
    assert kubectl.json("get", "cm", "c")["metadata"]["uid"] != uid


WRITTEN_OUT = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: {}
  labels: {app: web}
spec:
  nodeName: nowhere
  hostNetwork: false
  hostname: ""
  nodeSelector: {}
  tolerations: []
  imagePullSecrets:
  serviceAccountName: default
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  securityContext: {}
  containers:
  - name: main
    image: busybox:1
    args: []
    workingDir: ""
    stdin: false
    env:
    - {name: A, value: ""}
    ports:
    - {containerPort: 80, hostPort: 0, protocol: TCP}
    resources:
      limits: {cpu: 0.5, memory: 1024Mi}
    readinessProbe:
      httpGet: {port: 80, host: ""}
      initialDelaySeconds: 0
    securityContext: {privileged: false, capabilities: {add: []}}
    volumeMounts:
    - {name: d, mountPath: /d, readOnly: false, subPath: ""}
  volumes:
  - name: d
    emptyDir: {medium: "", sizeLimit: 1024Mi}
  - name: s
    secret: {secretName: s, items: [], optional: false}
"""


def without_empty(manifest: str) -> str:
    """The same pod, as somebody writes it who leaves out what says nothing."""
    lines = ("annotations", "hostNetwork", "hostname", "nodeSelector", "tolerations", "imagePullSecrets", "args")
    lines += ("workingDir", "stdin:", "initialDelaySeconds")
    words = (', value: ""', ", hostPort: 0", ', host: ""', ', readOnly: false, subPath: ""', ", items: []", "add: []")
    text = "\n".join(line for line in manifest.splitlines() if not line.strip().startswith(lines))
    for word in (*words, 'medium: "", '):
        text = text.replace(word, "")
    return text


def test_values_that_say_nothing(kubectl: Any) -> None:
    """A default that a manifest writes out may be left out later, and the other way round: no apply, replace or edit changes
    the pod by it. What is a pointer keeps its zero."""
    bare = without_empty(WRITTEN_OUT)
    assert apply(kubectl, WRITTEN_OUT) == "pod/web created\n"
    made = kubectl.json("get", "pod", "web")
    spec = made["spec"]
    kept = (spec["automountServiceAccountToken"], spec["terminationGracePeriodSeconds"], spec["volumes"][1]["secret"])
    assert kept == (False, 0, {"secretName": "s", "defaultMode": 420, "optional": False})
    container = spec["containers"][0]
    assert (container["securityContext"], container["resources"]["limits"], container["env"]) == (
        {"privileged": False, "capabilities": {}},
        {"cpu": "500m", "memory": "1Gi"},
        [{"name": "A"}],
    )
    assert not {"args", "workingDir", "stdin"} & container.keys()
    assert not {"hostNetwork", "hostname", "nodeSelector", "imagePullSecrets"} & spec.keys()
    assert made["metadata"]["labels"] == {"app": "web"}
    apply(kubectl, WRITTEN_OUT)
    assert kubectl.json("get", "pod", "web") == made
    for manifest in (bare, WRITTEN_OUT, bare):
        assert kubectl.run("apply", "-f", "-", stdin=manifest).code == 0
        assert kubectl.run("diff", "-f", "-", stdin=manifest).code == 0
    for manifest in (bare, WRITTEN_OUT):
        assert kubectl("replace", "-f", "-", stdin=manifest) == "pod/web replaced\n"
    kubectl("edit", "pod", "web", env={"EDITOR": "sed -i 's/app: web/app: other/'"})
    after = kubectl.json("get", "pod", "web")
    assert (after["spec"], after["metadata"]["generation"]) == (spec, 1)
    assert after["metadata"]["labels"] == {"app": "other"}


def test_delete(kubectl: Any) -> None:
    """Deletes: waiting for the end, at once, by label, all."""
    for name in ("a", "b", "c", "d"):
        manifest = POD.replace("name: web", f"name: {name}").replace("app: web", f"app: {name}")
        apply(kubectl, manifest.replace("  nodeName: nowhere\n", "") if name == "a" else manifest)
    assert kubectl("delete", "pod", "a") == f'pod "a" deleted{suffix(kubectl)}\n'
    deleting = kubectl.start("delete", "pod", "b")
    assert deleting.stdout.readline().startswith('pod "b" deleted')
    assert kubectl.json("get", "pod", "b")["metadata"]["deletionGracePeriodSeconds"] == 5
    kubectl("delete", "pod", "b", "--force", "--grace-period=0")
    assert deleting.wait(30) == 0
    end(deleting)
    kubectl("delete", "pod", "c", "--now", "--wait=false")
    assert kubectl.json("get", "pod", "c")["metadata"]["deletionGracePeriodSeconds"] == 1
    kubectl("delete", "pod", "-l", "app=d", "--wait=false")
    assert "deletionTimestamp" in kubectl.json("get", "pod", "d")["metadata"]
    kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    assert kubectl.json("get", "pods")["items"] == []
    apply(kubectl, config_map(a="1"))
    kubectl("delete", "-f", "-", stdin=config_map())
    assert kubectl("delete", "cm", "c", "--ignore-not-found") == ""


def suffix(kubectl: Any) -> str:
    return f" from {kubectl.namespace} namespace" if kubectl.minor >= 34 else ""


def test_delete_namespace(kubectl: Any) -> None:
    """A namespace takes its contents with it; the first ones cannot be deleted."""
    name = f"{kubectl.namespace}-gone"
    kubectl("create", "namespace", name)
    kubectl("create", "configmap", "c", "-n", name)
    kubectl("delete", "namespace", name)
    assert kubectl.run("get", "namespace", name).code == 1
    assert kubectl.run("get", "cm", "c", "-n", name).code == 1
    assert "this namespace may not be deleted" in kubectl.run("delete", "namespace", "default").err


def test_wait(kubectl: Any, server: Any) -> None:
    """wait ends when the condition comes, when the object goes, and in time when neither does."""
    apply(kubectl, POD)
    waiting = kubectl.start("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/web"
    merge = {"Content-Type": "application/merge-patch+json"}
    assert server.request("PATCH", f"{path}/status", status, headers=merge)[0] == 200
    assert waiting.communicate(timeout=60)[0] == "pod/web condition met\n"
    waiting = kubectl.start("wait", "--for=delete", "pod/web", "--timeout=60s")
    server.request("DELETE", f"{path}?gracePeriodSeconds=0")
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0 or kubectl.minor < 24
    apply(kubectl, POD)
    late = kubectl.run("wait", "--for=condition=Never", "pod/web", "--timeout=1s")
    assert (late.code, "timed out waiting for the condition" in late.err) == (1, True)


def test_explain(kubectl: Any) -> None:
    """explain shows a field's type and text."""
    out = kubectl("explain", "pod.spec.containers.image")
    assert re.search(r"FIELD: +image <string>", out)
    assert "Container image name" in " ".join(out.split())
    assert re.search(r"containers\s+<\[\](Container|Object)> -required-", kubectl("explain", "pod.spec"))
    assert "recursive" not in kubectl("explain", "leases.spec", "--recursive")


def test_discovery(kubectl: Any) -> None:
    """api-resources, api-versions, version, cluster-info."""
    resources = kubectl("api-resources")
    assert re.search(r"^pods\s+po\s+(v1\s+)?true\s+Pod$", resources, re.MULTILINE)
    assert "storage.k8s.io/v1" in kubectl("api-versions").split()
    assert "Server Version" in kubectl("version")
    kubectl("cluster-info")


def test_auth(kubectl: Any) -> None:
    """auth can-i, for oneself and as shown in a list."""
    assert kubectl("auth", "can-i", "delete", "nodes").strip().splitlines()[-1] == "yes"
    assert "*.*" in kubectl("auth", "can-i", "--list")
    if kubectl.minor >= 28:
        assert "system:masters" in kubectl("auth", "whoami")


def test_events(kubectl: Any, server: Any) -> None:
    """Events are listed, newest last, with what they are about."""
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": kubectl.namespace},
        "reason": "Tested",
        "message": "it was",
        "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 2,
    }
    assert server.request("POST", f"/api/v1/namespaces/{kubectl.namespace}/events", event)[0] == 201
    assert "Tested" in kubectl("get", "events")
    assert "pod/web" in kubectl("get", "events", "--field-selector", "involvedObject.name=web")
    if kubectl.minor >= 26:
        assert "it was" in kubectl("events")
        assert "it was" in kubectl("events", "--for", "pod/web")


def test_top_without_a_node(kubectl: Any) -> None:
    """There is a metrics API, and nobody who measures: top says so, and does not fail otherwise."""
    result = kubectl.run("top", "nodes")
    assert (result.code, "metrics not available yet" in result.err.lower()) == (1, True), result


def test_drain(kubectl: Any, server: Any, until: Any) -> None:
    """drain cordons the node and evicts its pods."""
    name = f"drained-{kubectl.namespace}"
    assert server.request("POST", "/api/v1/nodes", {"metadata": {"name": name}})[0] == 201
    apply(kubectl, POD.replace("nowhere", name))
    draining = kubectl.start("drain", name, "--force", "--timeout=60s")
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/web"
    until(lambda: "deletionTimestamp" in str(server.request("GET", path)[1]))
    assert server.request("DELETE", f"{path}?gracePeriodSeconds=0")[0] == 200
    out, err = draining.communicate(timeout=60)
    assert (draining.returncode, "drained" in out or "evicted" in out) == (0, True), err
    kubectl("delete", "node", name)


def test_drain_by_a_budget(kubectl: Any, server: Any, until: Any) -> None:
    """drain tries again for as long as a budget refuses, and goes on when there is one more than it needs."""
    name = f"drained-{kubectl.namespace}"
    pods = f"/api/v1/namespaces/{kubectl.namespace}/pods"
    assert server.request("POST", "/api/v1/nodes", {"metadata": {"name": name}})[0] == 201
    budgets = f"/apis/policy/v1/namespaces/{kubectl.namespace}/poddisruptionbudgets"
    guard = {"metadata": {"name": "guard"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    assert server.request("POST", budgets, guard)[0] == 201
    apply(kubectl, POD.replace("nowhere", name))
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    merge = {"Content-Type": "application/merge-patch+json"}

    def allows(number: int, healthy: int) -> bool:
        status = server.request("GET", f"{budgets}/guard")[1].get("status") or {}
        return (status.get("disruptionsAllowed"), status.get("currentHealthy")) == (number, healthy)

    assert server.request("PATCH", f"{pods}/web/status", ready, headers=merge)[0] == 200
    until(lambda: allows(0, 1))
    assert "guard" in kubectl("get", "pdb")
    draining = kubectl.start("drain", name, "--force", "--timeout=60s")
    assert any("would violate the pod's disruption budget" in line for line in draining.stderr)
    apply(kubectl, POD.replace("nowhere", "elsewhere").replace("name: web", "name: other"))
    assert server.request("PATCH", f"{pods}/other/status", ready, headers=merge)[0] == 200
    until(lambda: "deletionTimestamp" in str(server.request("GET", f"{pods}/web")[1]))
    until(lambda: allows(0, 1))
    assert server.request("DELETE", f"{pods}/web?gracePeriodSeconds=0")[0] == 200
    _, err = draining.communicate(timeout=60)
    assert draining.returncode == 0, err
    kubectl("delete", "node", name)


def test_runtime_class_and_storage(kubectl: Any) -> None:
    """Cluster-scoped kinds of other groups."""
    name = kubectl.namespace
    apply(
        kubectl,
        json.dumps(
            {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "runc"}
        ),
    )
    assert kubectl("get", "runtimeclass", name, "--no-headers").split()[:2] == [name, "runc"]
    kubectl("delete", "runtimeclass", name)
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "example.com/x",
    }
    apply(kubectl, json.dumps(storage))
    assert "example.com/x" in kubectl("get", "sc", name)
    kubectl("delete", "sc", name)


def test_debug_adds_an_ephemeral_container(kubectl: Any) -> None:
    """kubectl debug reaches the subresource."""
    if kubectl.minor < 24:
        pytest.skip("1.20 has debug as an alpha command of another form")
    apply(kubectl, POD)
    kubectl("debug", "web", "--image=busybox:1", "--container=dbg", "--attach=false", "--stdin=false")
    assert kubectl.json("get", "pod", "web")["spec"]["ephemeralContainers"][0]["name"] == "dbg"


EVERYTHING = """\
apiVersion: v1
kind: Pod
metadata:
  name: full
  labels: {app: full}
spec:
  nodeName: nowhere
  serviceAccountName: robot
  priorityClassName: system-node-critical
  runtimeClassName: %s
  tolerations:
  - {key: own, operator: Exists, effect: NoExecute}
  containers:
  - {name: main, image: "busybox:1"}
"""


def test_what_admission_adds_is_no_change(kubectl: Any, server: Any) -> None:
    """A pod with tolerations, a service account, a priority class and a runtime class is applied again as often as one likes:
    what admission added is added again before the comparison, and a PUT or a patch that leaves it out changes nothing."""
    name = kubectl.namespace
    scheduling = {"tolerations": [{"key": "of-class", "operator": "Exists"}]}
    overhead = {"podFixed": {"memory": "16Mi"}}
    kind = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "runc"}
    apply(kubectl, json.dumps({**kind, "overhead": overhead}))
    kubectl("create", "serviceaccount", "robot")
    manifest = EVERYTHING % name
    assert apply(kubectl, manifest) == "pod/full created\n"
    first = kubectl.json("get", "pod", "full")
    keys = [item["key"] for item in first["spec"]["tolerations"]]
    assert keys == ["own", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
    assert (first["spec"]["priority"], first["spec"]["overhead"]) == (2000001000, {"memory": "16Mi"})
    assert apply(kubectl, manifest) in ("pod/full configured\n", "pod/full unchanged\n")
    # the class changes, the pod does not: its rules were merged when it was made
    apply(kubectl, json.dumps({**kind, "overhead": overhead, "scheduling": scheduling}))
    assert apply(kubectl, manifest.replace("app: full", "app: other")) == "pod/full configured\n"
    own = first["spec"]["tolerations"][:1]
    for kind_of_patch, patch in (
        ("strategic", {"spec": {"tolerations": own, "priority": None, "preemptionPolicy": None}}),
        ("merge", {"spec": {"tolerations": own, "priority": None, "preemptionPolicy": None}}),
        ("json", [{"op": "replace", "path": "/spec/tolerations", "value": own}]),
    ):
        kubectl("patch", "pod", "full", f"--type={kind_of_patch}", "-p", json.dumps(patch))
    body = kubectl.json("get", "pod", "full")
    body["spec"] = {**body["spec"], "tolerations": own}
    del body["spec"]["priority"], body["spec"]["preemptionPolicy"], body["metadata"]["resourceVersion"]
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/full"
    assert server.request("PUT", path, body)[0] == 200
    last = kubectl.json("get", "pod", "full")
    assert last["spec"] == first["spec"]
    assert last["metadata"]["labels"] == {"app": "other"}
    refused = kubectl.run("apply", "-f", "-", stdin=manifest.replace("key: own", "key: else"))
    assert "existing toleration can not be modified except its tolerationSeconds" in refused.err
    kubectl("delete", "pod", "full", "--force", "--grace-period=0")
    kubectl("delete", "runtimeclass", name)
    refused = kubectl.run("apply", "-f", "-", stdin=manifest)
    assert f'pods "full" is forbidden: pod rejected: RuntimeClass "{name}" not found' in refused.err


DOUBTFUL = """\
apiVersion: v1
kind: Pod
metadata: {name: doubtful}
spec:
  nodeSelector: {beta.kubernetes.io/os: linux}
  containers:
  - name: c
    image: busybox:1
    env: [{name: A, value: "1"}, {name: A, value: "2"}]
    ports: [{containerPort: 80}, {name: again, containerPort: 80}]
    resources: {limits: {memory: 100m}}
"""


def test_warnings(kubectl: Any) -> None:
    """kubectl prints what the server warns of, on a create (dry or not) and not on a pod's update, and goes on."""
    expected = [
        'Warning: spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        'Warning: spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
        'Warning: spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
        'Warning: spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        "Warning: spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
    ]
    for arguments in (("--dry-run=server",), ()):
        done = kubectl.run("create", *arguments, "-f", "-", stdin=DOUBTFUL)
        assert (done.code, done.err.splitlines()) == (0, expected)
    assert kubectl.run("label", "pod", "doubtful", "a=b").err == ""
    done = kubectl.run("get", "endpoints")
    told = "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert (done.code, done.err.splitlines()[0]) == (0, told)


GATED = """\
apiVersion: v1
kind: Pod
metadata: {name: gated}
spec:
  schedulingGates: [{name: a.b/one}, {name: a.b/two}]
  containers: [{name: c, image: "busybox:1"}]
"""


def test_scheduling_gates(kubectl: Any, server: Any, until: Any) -> None:
    """A gated pod shows SchedulingGated from the start, gets no node however many there are, and is bound when the last gate
    is off."""
    name = f"gate-{kubectl.namespace}"
    node = {"metadata": {"name": name}, "status": {"allocatable": {"pods": "10"}, "capacity": {"pods": "10"}}}
    assert server.request("POST", "/api/v1/nodes", node)[0] == 201
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert server.request("PATCH", f"/api/v1/nodes/{name}/status", ready, headers=merge)[0] == 200
    apply(kubectl, GATED)
    assert kubectl("get", "pod", "gated", "--no-headers").split()[2] == "SchedulingGated"
    refused = kubectl.run(
        "patch", "pod", "gated", "--type=merge", "-p", '{"spec": {"schedulingGates": [{"name": "a.b/three"}]}}'
    )
    assert "only deletion is allowed, but found new scheduling gate 'a.b/three'" in refused.err
    kubectl("patch", "pod", "gated", "--type=merge", "-p", '{"spec": {"schedulingGates": [{"name": "a.b/two"}]}}')
    assert kubectl("get", "pod", "gated", "--no-headers").split()[2] == "SchedulingGated"
    assert "nodeName" not in kubectl.json("get", "pod", "gated")["spec"]
    kubectl("patch", "pod", "gated", "--type=merge", "-p", '{"spec": {"schedulingGates": null}}')
    until(lambda: kubectl.json("get", "pod", "gated")["spec"].get("nodeName") == name)
    assert kubectl("get", "pod", "gated", "--no-headers").split()[2] == "Pending"
    kubectl("delete", "pod", "gated", "--force", "--grace-period=0")
    kubectl("delete", "node", name)


STORAGE = """\
apiVersion: v1
kind: PersistentVolume
metadata: {name: %(name)s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: %(name)s
  hostPath: {path: /tmp/none}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: %(name)s
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  nodeName: nowhere
  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]
  containers: [{name: c, image: "busybox:1"}]
"""


def test_claims_and_volumes_in_use_are_protected(kubectl: Any, until: Any) -> None:
    """A volume waits for its claim and a claim for the pod that uses it: deleted in the wrong order, all of them go only when
    the pod is gone."""
    name = f"pv-{kubectl.namespace}"
    apply(kubectl, STORAGE % {"name": name})
    until(lambda: kubectl.json("get", "pvc", "data")["status"].get("phase") == "Bound")
    assert kubectl.json("get", "pvc", "data")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert kubectl.json("get", "pv", name)["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    kubectl("delete", "pv", name, "--wait=false")
    kubectl("delete", "pvc", "data", "--wait=false")
    assert kubectl("get", "pvc", "data", "--no-headers").split()[1] == "Terminating"
    assert kubectl("get", "pv", name, "--no-headers").split()[4] == "Terminating"
    kubectl("label", "pod", "user", "a=b")
    assert kubectl.json("get", "pvc", "data")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    kubectl("delete", "pod", "user", "--force", "--grace-period=0")
    until(lambda: "NotFound" in kubectl.run("get", "pvc", "data").err)
    until(lambda: "NotFound" in kubectl.run("get", "pv", name).err)


def test_metrics(kubectl: Any, server: Any) -> None:
    """/metrics tells requests, objects and the process to an administrator, and to nobody else."""
    apply(kubectl, POD)
    lines = kubectl("get", "--raw", "/metrics").splitlines()
    labels = 'component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="POST"'
    assert [line for line in lines if line.startswith(f'apiserver_request_total{{code="201",{labels},version="v1"}} ')]
    assert [line for line in lines if line.startswith(f"apiserver_request_duration_seconds_count{{{labels}")]
    objects = next(line for line in lines if line.startswith('apiserver_storage_objects{resource="pods"} '))
    assert float(objects.split()[-1]) >= 1
    names = {re.split("[{ ]", line)[0] for line in lines if not line.startswith("#")}
    assert names >= {
        "apiserver_current_inflight_requests",
        "apiserver_response_sizes_bucket",
        "kubernetes_build_info",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    }
    assert [server.request("GET", "/metrics", identity=who)[0] for who in ("node", None)] == [403, 401]
