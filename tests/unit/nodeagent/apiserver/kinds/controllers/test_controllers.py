"""The other loops: namespaces, nodes, certificates, volumes, endpoints, old events."""

import base64
import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nodeagent.apiserver.kinds.controllers import controllers, nodes
from nodeagent.apiserver.kinds.controllers.certificates import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    CertificateController,
    approval,
)
from nodeagent.apiserver.kinds.controllers.endpoints import EndpointsController
from nodeagent.apiserver.kinds.controllers.events import EventExpiry, last_seen
from nodeagent.apiserver.kinds.controllers.namespaces import NamespaceController
from nodeagent.apiserver.kinds.controllers.nodes import NodeController, silent_conditions, wanted_taints
from nodeagent.apiserver.kinds.controllers.own_service import OwnService
from nodeagent.apiserver.kinds.controllers.volumes import VolumeBinder, best
from nodeagent.apiserver.kinds.endpoints import slices_of


def keys(cluster: Any, resource: str) -> list[tuple[str, str]]:
    return [(ns, name) for where, ns, name in sorted(cluster.objects) if where == resource]


async def test_builtin_objects(cluster: Any, running: Any, settled: Any) -> None:
    """The four namespaces, their accounts and CA bundles, and the system priority classes are there, and come back."""
    async with running(NamespaceController(cluster)):
        names = ["default", "kube-node-lease", "kube-public", "kube-system"]
        assert keys(cluster, "namespaces") == [("", name) for name in names]
        assert keys(cluster, "serviceaccounts") == [(name, "default") for name in names]
        assert keys(cluster, "configmaps") == [(name, "kube-root-ca.crt") for name in names]
        assert keys(cluster, "priorityclasses.scheduling.k8s.io") == [
            ("", "system-cluster-critical"),
            ("", "system-node-critical"),
        ]
        bundle = cluster.objects[("configmaps", "default", "kube-root-ca.crt")]
        assert bundle["data"] == {"ca.crt": cluster.ca_pem.decode()}
        assert set(bundle["metadata"]["annotations"]) == {"kubernetes.io/description"}
        await cluster.delete("configmaps", "default", "kube-root-ca.crt")
        await cluster.delete("serviceaccounts", "kube-system", "default")
        cluster.put(
            "configmaps", {**bundle, "metadata": {"name": "kube-root-ca.crt", "namespace": "kube-public"}, "data": {}}
        )
        await cluster.create("namespaces", {"metadata": {"name": "new"}})
        await settled()
        assert len(keys(cluster, "serviceaccounts")) == len(keys(cluster, "configmaps")) == 5
        assert cluster.objects[("configmaps", "kube-public", "kube-root-ca.crt")]["data"] == bundle["data"]


async def test_namespace_ends_after_its_contents(cluster: Any, new_pod: Any, running: Any, settled: Any) -> None:
    """A deleted namespace is emptied, waits for its pods, is finalized, and only then goes."""
    async with running(NamespaceController(cluster)):
        await cluster.create("namespaces", {"metadata": {"name": "ns"}})
        await settled()
        for name in ("p", "q"):
            pod = new_pod(name, nodeName="node1")
            pod["metadata"]["namespace"] = "ns"
            cluster.put("pods", pod)
        cluster.put("secrets", {"metadata": {"name": "s", "namespace": "ns"}})
        await cluster.delete("namespaces", "", "ns")
        await settled()
        assert [key for key in cluster.objects if key[1] == "ns"] == [("pods", "ns", "p"), ("pods", "ns", "q")]
        cluster.remove("pods", "ns", "p")
        await settled()
        assert cluster.objects[("namespaces", "", "ns")]["status"]["phase"] == "Terminating"
        cluster.remove("pods", "ns", "q")
        await settled()
        assert ("namespaces", "", "ns") not in cluster.objects
        assert ("update/finalize", "namespaces", "ns") in cluster.log
        await cluster.create("namespaces", {"metadata": {"name": "ns"}})
        await settled()
        assert ("serviceaccounts", "ns", "default") in cluster.objects


def conditions(ready: str, **others: str) -> Any:
    return [{"type": kind, "status": status} for kind, status in {"Ready": ready, **others}.items()]


NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
OWN = {"key": "mine", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "status", "taints"),
    [
        ({"taints": [OWN, NOT_READY]}, conditions("True"), [OWN]),
        ({"taints": [OWN, NOT_READY]}, conditions("False"), [OWN, NOT_READY]),
        ({}, [], [NOT_READY]),
        (
            {"taints": [NOT_READY]},
            conditions("Unknown"),
            [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}],
        ),
        (
            {"unschedulable": True},
            conditions("True", MemoryPressure="True", DiskPressure="False"),
            [
                {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
            ],
        ),
        (
            {"taints": [{**NOT_READY, "effect": "NoExecute"}]},
            conditions("True"),
            [{**NOT_READY, "effect": "NoExecute"}],
        ),
    ],
)
def test_wanted_taints(spec: Any, status: Any, taints: Any) -> None:
    """Conditions and the cordon show as NoSchedule taints; other taints stay as they are."""
    assert wanted_taints({"metadata": {"name": "n"}, "spec": spec, "status": {"conditions": status}}) == taints


async def test_ready_node_loses_its_taint(cluster: Any, running: Any, settled: Any) -> None:
    """The moment a node says that it is ready, pods may come."""
    async with running(NodeController(cluster)):
        await cluster.create("nodes", {"metadata": {"name": "n"}})
        await settled()
        assert cluster.objects[("nodes", "", "n")]["spec"]["taints"] == [NOT_READY]
        await cluster.patch("nodes", "", "n", {"status": {"conditions": conditions("True")}}, subresource="status")
        await settled()
        assert "taints" not in cluster.objects[("nodes", "", "n")]["spec"]


async def test_silent_node(cluster: Any, running: Any, settled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty seconds without a lease renewal or a status make a node Unknown and unreachable; a renewal prevents it."""
    clock = [1000.0]
    monkeypatch.setattr(nodes, "_now", lambda: clock[0])
    cluster.put("nodes", {"metadata": {"name": "n"}, "spec": {}, "status": {"conditions": conditions("True")}})
    lease = {"metadata": {"name": "n", "namespace": "kube-node-lease"}, "spec": {"renewTime": "a"}}
    async with running(NodeController(cluster)):
        clock[0] += 39
        cluster.put("leases.coordination.k8s.io", lease)
        await settled()
        clock[0] += 39
        cluster.put("leases.coordination.k8s.io", lease)  # written again, not renewed
        await settled()
        assert cluster.objects[("nodes", "", "n")]["status"]["conditions"] == conditions("True")
        clock[0] += 2
        cluster.put("leases.coordination.k8s.io", lease)
        await settled()
        stored = cluster.objects[("nodes", "", "n")]
        assert {item["type"]: item["status"] for item in stored["status"]["conditions"]} == dict.fromkeys(
            ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"), "Unknown"
        )
        assert stored["spec"]["taints"] == [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]
        assert [(e["reason"], e["message"]) for e in cluster.all("events")] == [
            ("NodeNotReady", "Node n status is now: NodeNotReady")
        ]
        assert silent_conditions(stored, "now") == []


def csr(common_name: str = "system:node:node1", organization: str = "system:nodes", names: Any = ()) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return base64.b64encode(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)).decode()


CLIENT_USAGES = ("digital signature", "client auth")
SERVING = ("digital signature", "server auth")
OWN = {"node1", "node1.example", "10.0.0.7", "127.0.0.1", "kubernetes", "::1"}


def request(
    pem: str, signer: str = KUBELET_CLIENT, usages: Any = CLIENT_USAGES, user: str = "system:node:node1"
) -> Any:
    groups = ["system:nodes"] if user.startswith("system:node:") else []
    spec = {"request": pem, "signerName": signer, "usages": list(usages), "username": user, "groups": groups}
    return {"metadata": {"name": "c"}, "spec": spec}


def dns(*names: str) -> Any:
    return [x509.DNSName(name) for name in names]


def ips(*texts: str) -> Any:
    return [x509.IPAddress(ipaddress.ip_address(text)) for text in texts]


def serving(names: Any) -> Any:
    return request(csr(names=names), KUBELET_SERVING, SERVING)


@pytest.mark.parametrize(
    ("asked", "approved"),
    [
        (request(csr()), True),
        (request(csr(), usages=(*CLIENT_USAGES, "key encipherment")), True),
        (serving(dns("node1")), True),
        (serving([*dns("NODE1.example"), *ips("10.0.0.7")]), True),
        (serving(dns("node1", "node2")), False),
        (serving(dns("*.example")), False),
        (serving(dns("kubernetes")), False),
        (serving(dns("kubernetes.default.svc")), False),
        (serving(dns("localhost")), False),
        (serving(ips("10.0.0.8")), False),
        # even when the node says that these are its own
        (serving(ips("127.0.0.1")), False),
        (serving([*ips("10.0.0.7"), *ips("::1")]), False),
        (serving([*dns("node1"), x509.RFC822Name("a@b.c")]), False),
        (serving([*dns("node1"), x509.UniformResourceIdentifier("spiffe://a/b")]), False),
        (serving(()), False),
        (request(csr(names=dns("node1"))), False),
        (request(csr("system:node:other")), False),
        (request(csr(organization="system:masters")), False),
        (request(csr(), user="eve"), False),
        (request(csr(), CLIENT), False),
        (request(csr(), usages=("client auth",)), False),
        (request(csr(), usages=(*CLIENT_USAGES, "code signing")), False),
        (request(csr(), usages=("digital signature",)), False),
        (request(csr(names=dns("node1")), KUBELET_SERVING, (*SERVING, "client auth")), False),
        (request("eA=="), False),
    ],
)
def test_approval(asked: Any, approved: bool) -> None:
    """By itself a node gets its client certificate, and the server's own node a serving one for its own names; nothing else is in
    them."""
    assert bool(approval(asked, "node1", OWN)) is approved


@pytest.mark.parametrize(
    ("groups", "client", "serving_too"),
    [
        (["system:masters"], True, True),
        (["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"], True, False),
        (["system:bootstrappers", "system:bootstrappers:other"], False, False),
        (["system:nodes"], False, False),  # another node, or who has no node's name
        ([], False, False),
    ],
)
def test_who_may_ask_for_a_node(groups: list[str], client: bool, serving_too: bool) -> None:
    """Client certificates of any node: masters and kubeadm's bootstrap tokens. Serving ones, of the own node: masters."""
    for pem, signer, usages, expected in (
        (csr("system:node:other"), KUBELET_CLIENT, CLIENT_USAGES, client),
        (csr(names=dns("node1")), KUBELET_SERVING, SERVING, serving_too),
        (csr("system:node:other", names=dns("node1")), KUBELET_SERVING, SERVING, False),
    ):
        asked = request(pem, signer, usages, user="somebody")
        asked["spec"]["groups"] = groups
        assert bool(approval(asked, "node1", OWN)) is expected


def test_another_node_asks_for_itself() -> None:
    """A joined node renews its client certificate without a person; what it serves with is for a person to judge."""
    user = "system:node:other"
    own = approval(request(csr(user), user=user), "node1", OWN)
    assert own == "Auto approving self kubelet client certificate after SubjectAccessReview."
    impostor = request(csr(user), user=user)
    impostor["spec"]["groups"] = ["system:authenticated"]  # a node is who is in the nodes' group, too
    assert not approval(impostor, "node1", OWN)
    assert not approval(
        request(csr(user, names=dns("other")), KUBELET_SERVING, SERVING, user), "node1", {*OWN, "other"}
    )


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (
            request(csr("u"), CLIENT, ("client auth", "server auth")),
            "invalid usage for client certificate: server auth",
        ),
        (
            request(csr("u"), CLIENT, ("digital signature",)),
            "missing required usage for client certificate: client auth",
        ),
        (request(csr("u"), KUBELET_CLIENT), "subject common name does not begin with system:node:"),
        (request(csr(organization="x"), KUBELET_SERVING, SERVING), "subject organization is not system:nodes"),
        (request(csr(names=dns("a"))), "DNS subjectAltNames are not allowed"),
        (
            request(csr(names=dns("a")), KUBELET_SERVING, CLIENT_USAGES),
            "usages did not match [digital signature key encipherment server auth]",
        ),
        (request(csr(), KUBELET_SERVING, SERVING), "DNS or IP subjectAltName is required"),
    ],
)
async def test_what_a_signer_refuses(cluster: Any, running: Any, settled: Any, asked: Any, why: str) -> None:
    """An approved request that its signer does not sign fails, with the reason; it is never signed."""
    asked["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    cluster.put("certificatesigningrequests.certificates.k8s.io", asked)
    async with running(CertificateController(cluster)):
        await settled()
    status = cluster.objects[("certificatesigningrequests.certificates.k8s.io", "", "c")]["status"]
    said = [(item["type"], item.get("reason"), item.get("message")) for item in status["conditions"]]
    assert said == [("Approved", None, None), ("Failed", "SignerValidationFailure", why)]
    assert (cluster.signed, "certificate" in status) == ([], False)


async def test_certificates(cluster: Any, running: Any, settled: Any) -> None:
    """The node's request is approved and signed; another waits for an admin, and is then signed for its time."""
    cluster.put("certificatesigningrequests.certificates.k8s.io", request(csr()))
    foreign = request(csr("user"), CLIENT, ("client auth",))
    foreign["metadata"]["name"] = "f"
    foreign["spec"]["expirationSeconds"] = 700
    async with running(CertificateController(cluster)):
        cluster.put("certificatesigningrequests.certificates.k8s.io", foreign)
        await settled()
        own = cluster.objects[("certificatesigningrequests.certificates.k8s.io", "", "c")]["status"]
        assert [item["type"] for item in own["conditions"]] == ["Approved"]
        assert own["certificate"] == base64.b64encode(b"signed").decode()
        assert len(cluster.signed) == 1
        foreign["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
        cluster.put("certificatesigningrequests.certificates.k8s.io", foreign)
        await settled()
    assert cluster.signed[1][1:] == (("client auth",), 700)


def volume(name: str, size: str = "1Gi", **spec: Any) -> Any:
    return {
        "metadata": {"name": name, "labels": {"n": name}},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/d"}, **spec},
    }


def claim(size: str = "1Gi", **spec: Any) -> Any:
    return {
        "metadata": {"name": "c", "namespace": "default", "uid": "u"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            "volumeMode": "Filesystem",
            **spec,
        },
    }


OTHERS = {"namespace": "default", "name": "other", "uid": "o"}


@pytest.mark.parametrize(
    ("volumes", "wanted", "chosen"),
    [
        ([volume("big", "5Gi"), volume("fit", "2Gi"), volume("small", "1Mi")], claim(), "fit"),
        ([volume("small", "1Mi")], claim(), None),
        ([volume("a", storageClassName="x")], claim(), None),
        ([volume("a", storageClassName="x")], claim(storageClassName="x"), "a"),
        ([volume("a", volumeAttributesClassName="x")], claim(), None),
        ([volume("a", volumeAttributesClassName="x")], claim(volumeAttributesClassName="x"), "a"),
        ([volume("a")], claim(accessModes=["ReadWriteMany"]), None),
        ([volume("a", volumeMode="Block")], claim(), None),
        ([volume("a"), volume("b")], claim(selector={"matchLabels": {"n": "b"}}), "b"),
        ([volume("a"), volume("b")], claim(volumeName="b"), "b"),
        ([volume("a", claimRef=OTHERS)], claim(), None),
        ([volume("a", claimRef=OTHERS)], claim(volumeName="a"), None),
        ([volume("a"), volume("z", "9Gi", claimRef={"namespace": "default", "name": "c"})], claim(), "z"),
    ],
)
def test_best_volume(volumes: Any, wanted: Any, chosen: str | None) -> None:
    """The volume that a claim names or that is reserved for it, else the smallest that satisfies it."""
    found = best(volumes, wanted)
    assert (found and found["metadata"]["name"]) == chosen


async def test_volume_binding(cluster: Any, running: Any, settled: Any) -> None:
    """Claim and volume find each other, are Bound both, and the volume is Released when the claim goes."""
    async with running(VolumeBinder(cluster)):
        await cluster.create("persistentvolumes", volume("v"))
        await settled()
        assert cluster.objects[("persistentvolumes", "", "v")]["status"] == {"phase": "Available"}
        await cluster.create("persistentvolumeclaims", claim())
        await settled()
        bound = cluster.objects[("persistentvolumeclaims", "default", "c")]
        assert bound["spec"]["volumeName"] == "v"
        assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
        held = cluster.objects[("persistentvolumes", "", "v")]
        assert (held["status"]["phase"], held["spec"]["claimRef"]["name"]) == ("Bound", "c")
        writes = len(cluster.log)
        cluster.put("persistentvolumes", held)
        await settled()
        assert len(cluster.log) == writes
        await cluster.delete("persistentvolumeclaims", "default", "c")
        await settled()
        assert cluster.objects[("persistentvolumes", "", "v")]["status"]["phase"] == "Released"


def backend(name: str, ip: str, ready: str = "True") -> Any:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "nodeName": "node1",
            "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}],
        },
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
    }


async def test_endpoints(cluster: Any, running: Any, settled: Any) -> None:
    """The addresses behind a service follow its pods, ready and not, come back when deleted, and go with the service."""
    service = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]},
    }

    def addresses() -> Any:
        (subset,) = cluster.objects[("endpoints", "default", "web")]["subsets"]
        return [[item["ip"] for item in subset.get(key, [])] for key in ("addresses", "notReadyAddresses")] + [
            subset["ports"]
        ]

    async with running(EndpointsController(cluster)):
        cluster.put("services", service)
        cluster.put("pods", backend("a", "10.0.0.1"))
        cluster.put("pods", backend("b", "10.0.0.2", "False"))
        await settled()
        port = {"port": 8080, "protocol": "TCP"}
        assert addresses() == [["10.0.0.1"], ["10.0.0.2"], [port]]
        slices = cluster.objects[("endpointslices.discovery.k8s.io", "default", "web-ipv4")]
        assert [(e["addresses"], e["conditions"]["ready"]) for e in slices["endpoints"]] == [
            (["10.0.0.1"], True),
            (["10.0.0.2"], False),
        ]
        assert slices["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
        cluster.remove("pods", "default", "a")
        cluster.put("pods", backend("b", "10.0.0.2"))
        await settled()
        assert addresses() == [["10.0.0.2"], [], [port]]
        for resource, name in (("endpoints", "web"), ("endpointslices.discovery.k8s.io", "web-ipv4")):
            written = cluster.objects[(resource, "default", name)]
            cluster.remove(resource, "default", name)
            await settled()
            again = cluster.objects[(resource, "default", name)]
            assert {**again, "metadata": {}} == {**written, "metadata": {}}, "what others delete is put back"
        cluster.remove("services", "default", "web")
        await settled()
        assert keys(cluster, "endpoints") == [] == keys(cluster, "endpointslices.discovery.k8s.io")


async def test_slices_of_both_families(cluster: Any, running: Any, settled: Any) -> None:
    """A slice a family; pods that serve a named port at other numbers have one of their own; who terminates serves on."""
    service = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}],
            "ipFamilies": ["IPv4", "IPv6"],
        },
    }
    ending, other = backend("b", "10.0.0.2"), backend("c", "10.0.0.3")
    ending["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    ending["status"]["podIPs"] = [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]
    other["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090

    def slices() -> Any:
        found = cluster.all("endpointslices.discovery.k8s.io")
        return {
            item["metadata"]["name"]: (
                [(*e["addresses"], e["conditions"]) for e in item["endpoints"]],
                [p["port"] for p in item["ports"]],
            )
            for item in found
        }

    alive = {"ready": True, "serving": True, "terminating": False}
    dying = {"ready": False, "serving": True, "terminating": True}
    async with running(EndpointsController(cluster)):
        cluster.put("services", service)
        for pod in (backend("a", "10.0.0.1"), ending, other):
            cluster.put("pods", pod)
        await settled()
        assert slices() == {
            "web-ipv4": ([("10.0.0.1", alive), ("10.0.0.2", dying)], [8080]),
            "web-ipv4-1": ([("10.0.0.3", alive)], [9090]),
            "web-ipv6": ([("fd00::2", dying)], [8080]),
        }
        (subset, second) = cluster.objects[("endpoints", "default", "web")]["subsets"]
        assert [item["ip"] for item in subset["addresses"] + second["addresses"]] == ["10.0.0.1", "10.0.0.3"]
    cluster.remove("pods", "default", "c")  # while nobody looks
    async with running(EndpointsController(cluster)):
        assert list(slices()) == ["web-ipv4", "web-ipv6"]
        cluster.remove("services", "default", "web")
        await settled()
        assert slices() == {}


def test_slices_are_of_bounded_size() -> None:
    """A hundred endpoints in one; a service that nobody stands behind has a slice that says so."""
    service = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    pods = [backend(f"p{number:03}", f"10.0.1.{number}") for number in range(250)]
    assert [len(item["endpoints"]) for item in slices_of(service, pods)] == [100, 100, 50]
    assert [(item["metadata"]["name"], item["endpoints"]) for item in slices_of(service, [])] == [("web-ipv4", [])]


async def test_the_apis_own_service(cluster: Any, running: Any, settled: Any) -> None:
    """It has the first address of the range, leads to where the API is, and comes back however somebody changes it."""
    kinds = ("services", "endpoints", "endpointslices.discovery.k8s.io")

    def stored() -> Any:
        return [cluster.objects.get((kind, "default", "kubernetes")) for kind in kinds]

    async with running(OwnService(cluster, "10.88.0.1", 6443)):
        cluster.put("namespaces", {"metadata": {"name": "default"}})
        await settled()
        service, endpoints, piece = stored()
        assert service["spec"]["clusterIP"] == "10.96.0.1"
        assert service["spec"]["ports"] == [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]
        assert endpoints["subsets"][0]["addresses"] == [{"ip": "10.88.0.1"}]
        assert piece["metadata"]["labels"] == {"kubernetes.io/service-name": "kubernetes"}
        for kind in kinds:
            cluster.remove(kind, "default", "kubernetes")
        piece["endpoints"] = [{"addresses": ["10.0.0.66"]}]
        cluster.put("endpointslices.discovery.k8s.io", piece)
        await settled()
        assert None not in stored()
        assert stored()[2]["endpoints"][0]["addresses"] == ["10.88.0.1"]


async def test_old_events_go(cluster: Any, running: Any, settled: Any) -> None:
    """An event an hour after its last occurrence is deleted, a recent one stays."""
    old = {"metadata": {"name": "old", "namespace": "default"}, "lastTimestamp": "2020-01-01T00:00:00Z"}
    recent = {"metadata": {"name": "new", "namespace": "default"}, "lastTimestamp": "2100-01-01T00:00:00Z"}
    cluster.put("events", old)
    cluster.put("events", recent)
    async with running(EventExpiry(cluster)):
        await settled()
    assert keys(cluster, "events") == [("default", "new")]


def test_last_seen() -> None:
    """The newest of an event's times counts."""
    times = {
        "series": {"lastObservedTime": "2026-01-01T00:00:02.5Z"},
        "lastTimestamp": "2026-01-01T00:00:01Z",
        "metadata": {},
    }
    assert last_seen(times) == 1767225602.5


async def test_all_controllers_are_there(cluster: Any) -> None:
    """The server gets one loop for each controller, and as many again as it asks for."""
    made = {}
    for name, start in controllers(cluster).items():
        first, second = start(), start()
        assert first is not second
        made[name] = first.__qualname__
        first.close()
        second.close()
    assert made == {
        "attachments": "AttachmentController.run",
        "certificates": "CertificateController.run",
        "disruption budgets": "DisruptionController.run",
        "endpoints": "EndpointsController.run",
        "ephemeral claims": "EphemeralClaims.run",
        "events": "EventExpiry.run",
        "expiry": "Expiry.run",
        "namespaces": "NamespaceController.run",
        "nodes": "NodeController.run",
        "resource claims": "ResourceClaimController.run",
        "scheduler": "Scheduler.run",
        "storage protection": "StorageProtection.run",
        "volumes": "VolumeBinder.run",
    }
