"""Defaults, rules and immutabilities of the kinds other than pods."""

import base64
import copy
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nodeagent.apiserver.contract import ServiceNetwork, UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import hooks_for
from nodeagent.apiserver.kinds.service_network import free_address, free_node_port


def create(cluster: Any, resource: str, obj: Any, **context: Any) -> tuple[Any, list[str]]:
    """(stored object, causes) of a create."""
    obj = copy.deepcopy(obj)
    obj.setdefault("metadata", {}).setdefault("name", "x")
    hooks = hooks_for(resource)
    hooks.prepare_create(
        obj, cluster.context(resource, context.pop("namespace", ""), obj["metadata"]["name"], **context)
    )
    return obj, [str(error) for error in hooks.validate_create(obj)]


def update(cluster: Any, resource: str, old: Any, new: Any, subresource: str | None = None) -> list[str]:
    new = copy.deepcopy(new)
    hooks = hooks_for(resource)
    hooks.prepare_update(new, old, cluster.context(resource, "", "x"), subresource)
    return [str(error) for error in hooks.validate_update(new, old, subresource)]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_namespace(cluster: Any) -> None:
    """A namespace gets its label, its finalizer and its phase, and keeps the finalizer until it is finalized."""
    stored, causes = create(cluster, "namespaces", {"metadata": {"name": "a", "labels": {"k": "v"}}})
    assert causes == []
    assert stored == {
        "metadata": {"name": "a", "labels": {"k": "v", "kubernetes.io/metadata.name": "a"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    assert create(cluster, "namespaces", {"metadata": {"name": "a.b"}})[1] == [
        'metadata.name: Invalid value: "a.b": must not contain dots'
    ]
    hooks, ctx = hooks_for("namespaces"), cluster.context("namespaces", "", "a")
    new = {"metadata": {"name": "a"}, "spec": {}}
    hooks.prepare_update(new, stored, ctx, None)
    assert new["spec"] == {"finalizers": ["kubernetes"]}
    hooks.prepare_delete(stored, ctx)
    assert stored["status"] == {"phase": "Terminating"}
    for name in ("default", "kube-system", "kube-public"):
        with pytest.raises(ApiError) as refused:
            hooks.prepare_delete({"metadata": {"name": name}}, ctx)
        assert (refused.value.code, refused.value.message) == (
            403,
            f'namespaces "{name}" is forbidden: this namespace may not be deleted',
        )


def test_node(cluster: Any) -> None:
    """A new node is not ready yet; what it has is what it gives, in canonical quantities."""
    stored, causes = create(cluster, "nodes", {"status": {"capacity": {"cpu": "2000m", "memory": "1024Mi"}}})
    assert causes == []
    assert stored["spec"] == {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}
    assert stored["status"] == {
        "capacity": {"cpu": "2", "memory": "1Gi"},
        "allocatable": {"cpu": "2", "memory": "1Gi"},
    }
    taints = [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "x"}]
    assert update(cluster, "nodes", stored, {**stored, "spec": {"taints": taints}}) == [
        'spec.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair',
        'spec.taints[2].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ]
    with_id = {**stored, "spec": {"providerID": "a"}}
    assert update(cluster, "nodes", stored, with_id) == []
    assert update(cluster, "nodes", with_id, stored) == [
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid'
    ]
    assert update(cluster, "nodes", stored, {**stored, "status": {"capacity": {"cpu": "-1"}}}, "status") == [
        f'status.{which}[cpu]: Invalid value: "-1": must be greater than or equal to 0'
        for which in ("capacity", "allocatable")
    ]


def test_secret_defaults(cluster: Any) -> None:
    """The type defaults to Opaque, stringData becomes data."""
    stored, causes = create(
        cluster, "secrets", {"data": {"a": b64("1"), "b": b64("2")}, "stringData": {"b": "ü"}}, namespace="default"
    )
    assert causes == []
    assert stored == {"metadata": {"name": "x"}, "type": "Opaque", "data": {"a": b64("1"), "b": b64("ü")}}


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ({"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        ({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}, []),
        ({"type": "kubernetes.io/dockerconfigjson"}, ["data[.dockerconfigjson]: Required value"]),
        (
            {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{"}},
            ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character in JSON text'],
        ),
        ({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}}, []),
        (
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        ({"type": "kubernetes.io/basic-auth"}, ["data[username]: Required value", "data[password]: Required value"]),
        ({"type": "kubernetes.io/basic-auth", "stringData": {"username": "u"}}, []),
        ({"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required value"]),
        ({"data": {"x": "A" * 1400000}}, ["data: Too long: may not be more than 1048576 bytes"]),
    ],
)
def test_secret_types(cluster: Any, secret: Any, expected: list[str]) -> None:
    """Typed secrets have the keys of their type."""
    assert create(cluster, "secrets", secret, namespace="default")[1] == expected


def test_configmap_rules(cluster: Any) -> None:
    """Keys are config keys, each in one of the two maps."""
    causes = create(
        cluster, "configmaps", {"data": {"a": "x", "b/c": "y"}, "binaryData": {"a": "eA=="}}, namespace="default"
    )[1]
    assert causes == [
        'data[a]: Invalid value: "a": duplicate of key present in binaryData',
        "data[b/c]: Invalid value: \"b/c\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
        "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ]


@pytest.mark.parametrize("resource", ["configmaps", "secrets"])
def test_immutable_flag(cluster: Any, resource: str) -> None:
    """Once set, neither the content nor the flag changes; labels do."""
    old = {"metadata": {"name": "x"}, "immutable": True, "data": {"a": "eA=="}}
    hooks_for(resource).prepare_create(old, cluster.context(resource, "default", "x"))
    assert update(cluster, resource, old, {**old, "metadata": {"name": "x", "labels": {"a": "b"}}}) == []
    assert update(cluster, resource, old, {**old, "data": {"a": "eQ=="}, "immutable": False}) == [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
    ]


def test_secret_type_is_immutable(cluster: Any) -> None:
    """A secret keeps its type."""
    old = {"metadata": {"name": "x"}, "type": "a/b", "data": {}}
    assert update(cluster, "secrets", old, {"metadata": {"name": "x"}, "data": {}}) == [
        'type: Invalid value: "Opaque": field is immutable'
    ]


CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}
VOLUME = {"spec": {"capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/d"}}}


def test_claim(cluster: Any) -> None:
    """A claim starts Pending with the default class; afterwards only a bound one's size changes, only where its class allows
    that, and never to what there is or less: growing that has failed may be taken back so far."""
    marked = {"name": "std", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    cluster.put("storageclasses.storage.k8s.io", {"metadata": marked, "allowVolumeExpansion": True})
    stored, causes = create(cluster, "persistentvolumeclaims", CLAIM, namespace="default")
    assert causes == []
    assert stored["status"] == {"phase": "Pending"}
    assert stored["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeMode": "Filesystem",
        "storageClassName": "std",
    }

    def changed(storage: str, **spec: Any) -> Any:
        new = copy.deepcopy(stored)
        new["spec"].update({"resources": {"requests": {"storage": storage}}, **spec})
        return new

    fixed = (
        "spec: Forbidden: spec is immutable after creation except resources.requests and "
        "volumeAttributesClassName for bound claims"
    )
    resource = "persistentvolumeclaims"
    assert update(cluster, resource, stored, changed("1Gi", volumeName="pv")) == []
    assert update(cluster, resource, stored, changed("2Gi")) == [fixed]
    bound = {**stored, "status": {"phase": "Bound"}}
    assert update(cluster, resource, bound, changed("2Gi")) == []
    assert update(cluster, resource, bound, changed("1Mi")) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]
    failed = changed("2Gi")
    failed["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    assert update(cluster, resource, failed, changed("1536Mi")) == []
    assert update(cluster, resource, failed, changed("1Gi")) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]
    assert update(cluster, resource, bound, changed("1Gi", accessModes=["ReadWriteMany"])) == [fixed]
    cluster.put("storageclasses.storage.k8s.io", {"metadata": marked})
    with pytest.raises(ApiError) as rigid:
        update(cluster, resource, bound, changed("2Gi"))
    assert (rigid.value.code, rigid.value.message.partition("forbidden: ")[2]) == (
        403,
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
    assert update(cluster, resource, stored, changed("2Gi")) == [fixed]
    assert create(cluster, resource, {"spec": {}}, namespace="default")[1] == [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.resources[storage]: Required value",
    ]


CLASS = "volumeattributesclasses.storage.k8s.io"


def test_attributes_class(cluster: Any) -> None:
    """It is of a driver, says something, and stays as it is."""
    stored, causes = create(cluster, CLASS, {"driverName": "d", "parameters": {"a": "b"}})
    assert causes == []
    assert create(cluster, CLASS, {"parameters": {}})[1] == [
        "driverName: Required value",
        "parameters: Required value: must contain at least one key/value pair",
    ]
    assert create(cluster, CLASS, {"driverName": "d", "parameters": {"": "b"}})[1] == [
        'parameters: Invalid value: "": field can not be empty.'
    ]
    for much, limit in (({str(number): "" for number in range(513)}, 512), ({"a": "b" * 2**18}, 2**18)):
        assert create(cluster, CLASS, {"driverName": "d", "parameters": much})[1] == [
            f"parameters: Too long: may not be more than {limit} bytes"
        ]
    assert update(cluster, CLASS, stored, {**stored, "driverName": "e", "parameters": {"a": "c"}}) == [
        "driverName: Forbidden: updates to driverName are forbidden.",
        "parameters: Forbidden: updates to parameters are forbidden.",
    ]


def test_attributes_class_of_a_claim(cluster: Any) -> None:
    """A bound claim's may be set and changed, and taken back until the volume has it."""
    resource = "persistentvolumeclaims"
    stored, _ = create(cluster, resource, CLAIM, namespace="default")

    def named(name: str | None, current: str | None = None) -> Any:
        found = copy.deepcopy(stored)
        found["spec"]["volumeAttributesClassName"] = name
        found["status"] = {"phase": "Bound", "currentVolumeAttributesClassName": current}
        return found

    assert update(cluster, resource, named(None), named("gold")) == []
    assert update(cluster, resource, named("gold"), named(None)) == []
    assert update(cluster, resource, named("gold", "gold"), named("silver", "gold")) == []
    for nothing, text in ((None, "nil"), ("", "empty string")):
        assert update(cluster, resource, named("gold", "gold"), named(nothing, "gold")) == [
            f"spec.volumeAttributesClassName: Forbidden: update to {text} is forbidden when "
            "status.currentVolumeAttributesClassName is not nil"
        ]
    (cause,) = update(cluster, resource, named(None), named("Gold"))
    assert cause.startswith('spec.volumeAttributesClassName: Invalid value: "Gold": a lowercase RFC 1123 subdomain')


def test_attributes_class_of_a_volume(cluster: Any) -> None:
    """Only a CSI volume has one; it may be changed, not taken away."""
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": "gold"}
    stored, causes = create(
        cluster, "persistentvolumes", {"spec": {**spec, "csi": {"driver": "d", "volumeHandle": "h"}}}
    )
    assert causes == []
    other = copy.deepcopy(stored)
    other["spec"]["volumeAttributesClassName"] = "silver"
    assert update(cluster, "persistentvolumes", stored, other) == []
    del other["spec"]["volumeAttributesClassName"]
    assert update(cluster, "persistentvolumes", stored, other) == [
        "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"
    ]
    of_no_driver = {"spec": {**spec, "hostPath": {"path": "/d"}, "volumeAttributesClassName": ""}}
    assert create(cluster, "persistentvolumes", of_no_driver)[1] == [
        "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
        "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
    ]


def test_volume(cluster: Any) -> None:
    """A volume is retained by default, has exactly one source, and keeps it."""
    stored, causes = create(cluster, "persistentvolumes", VOLUME)
    assert causes == []
    assert stored["spec"] == {
        **VOLUME["spec"],
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": "Filesystem",
    }
    assert stored["status"] == {"phase": "Pending"}
    moved = copy.deepcopy(stored)
    moved["spec"]["hostPath"]["path"] = "/e"
    assert update(cluster, "persistentvolumes", stored, moved) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
    ]
    two = {"spec": {**VOLUME["spec"], "nfs": {"server": "s"}, "persistentVolumeReclaimPolicy": "Keep"}}
    assert create(cluster, "persistentvolumes", two)[1] == [
        'spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Recycle", "Retain"',
        "spec.nfs: Forbidden: may not specify more than 1 volume type",
        "spec.nfs.path: Required value",
    ]
    assert create(cluster, "persistentvolumes", {"spec": {}})[1] == [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.capacity: Required value",
        "spec: Required value: must specify a volume type",
    ]


@pytest.mark.parametrize(
    ("resource", "written", "stored", "changed", "causes"),
    [
        (
            "storageclasses.storage.k8s.io",
            {"provisioner": "p"},
            {"provisioner": "p", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
            {"provisioner": "q"},
            ["provisioner: Forbidden: updates to provisioner are forbidden."],
        ),
        (
            "csidrivers.storage.k8s.io",
            {"spec": {}},
            {
                "spec": {
                    "attachRequired": True,
                    "podInfoOnMount": False,
                    "storageCapacity": False,
                    "fsGroupPolicy": "ReadWriteOnceWithFSType",
                    "requiresRepublish": False,
                    "seLinuxMount": False,
                    "volumeLifecycleModes": ["Persistent"],
                }
            },
            {"spec": {"volumeLifecycleModes": ["Ephemeral"]}},
            ['spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable'],
        ),
        (
            "csinodes.storage.k8s.io",
            {},
            {"spec": {"drivers": []}},
            {"spec": {"drivers": [{"name": "a", "nodeID": ""}, {"name": "a", "nodeID": "n"}]}},
            ["spec.drivers[0].nodeID: Required value", 'spec.drivers[1].name: Duplicate value: "a"'],
        ),
        (
            "volumeattachments.storage.k8s.io",
            {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"}}},
            {
                "spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"}},
                "status": {"attached": False},
            },
            {"spec": {"attacher": "b", "nodeName": "n", "source": {"persistentVolumeName": "p"}}},
            [
                'spec: Invalid value: {"attacher":"b","nodeName":"n","source":{"persistentVolumeName":"p"}}: field is immutable'
            ],
        ),
        (
            "runtimeclasses.node.k8s.io",
            {"handler": "runc", "overhead": {"podFixed": {"cpu": "0.1"}}},
            {"handler": "runc", "overhead": {"podFixed": {"cpu": "100m"}}},
            {"handler": "crun"},
            ['handler: Invalid value: "crun": field is immutable'],
        ),
        (
            "priorityclasses.scheduling.k8s.io",
            {"value": 5},
            {"value": 5, "preemptionPolicy": "PreemptLowerPriority"},
            {"value": 6},
            ["value: Forbidden: may not be changed in an update."],
        ),
        (
            "leases.coordination.k8s.io",
            {"spec": {"leaseDurationSeconds": 40}},
            {"spec": {"leaseDurationSeconds": 40}},
            {"spec": {"leaseDurationSeconds": 0}},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            "endpointslices.discovery.k8s.io",
            {"addressType": "IPv4", "ports": [{"port": 1}], "endpoints": [{"addresses": ["1.2.3.4"]}]},
            {
                "addressType": "IPv4",
                "ports": [{"port": 1, "name": "", "protocol": "TCP"}],
                "endpoints": [{"addresses": ["1.2.3.4"]}],
            },
            {"addressType": "FQDN", "endpoints": [{"addresses": []}]},
            [
                "endpoints[0].addresses: Required value: must contain at least 1 address",
                'addressType: Invalid value: "FQDN": field is immutable',
            ],
        ),
    ],
)
def test_plain_kinds(cluster: Any, resource: str, written: Any, stored: Any, changed: Any, causes: list[str]) -> None:
    """Each kind's defaults, and what an update may not do to it."""
    made, refused = create(cluster, resource, written)
    assert (made, refused) == ({"metadata": {"name": "x"}, **stored}, [])
    assert update(cluster, resource, made, {**made, **changed}) == causes


def test_priority_classes(cluster: Any) -> None:
    """System names and high values are reserved, the built-in ones stay, and there is one default."""
    resource = "priorityclasses.scheduling.k8s.io"
    assert create(cluster, resource, {"metadata": {"name": "system-x"}, "value": 1})[1] == [
        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only"
    ]
    assert create(cluster, resource, {"value": 1000000001})[1] == [
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"
    ]
    with pytest.raises(ApiError):
        hooks_for(resource).prepare_delete(
            {"metadata": {"name": "system-node-critical"}}, cluster.context(resource, "")
        )
    cluster.put(resource, {"metadata": {"name": "one"}, "value": 1, "globalDefault": True})
    with pytest.raises(ApiError) as second:
        create(cluster, resource, {"value": 2, "globalDefault": True})
    assert second.value.code == 403


def test_events(cluster: Any) -> None:
    """An event lives in the namespace of what it is about; cluster-scoped objects have theirs in default."""
    hooks = hooks_for("events")

    def causes(own: str, involved: str) -> list[str]:
        obj = {"metadata": {"name": "e", "namespace": own}, "involvedObject": {"namespace": involved}}
        return [str(error) for error in hooks.validate_create(obj)]

    assert causes("a", "a") == [] == causes("default", "")
    assert causes("a", "b") == ['involvedObject.namespace: Invalid value: "b": does not match event.namespace']


SERVICE = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}


def test_service(cluster: Any) -> None:
    """Defaults, an address from the range that stays, and rules for ports and names."""
    stored, causes = create(cluster, "services", SERVICE, namespace="default")
    assert causes == []
    address = stored["spec"]["clusterIP"]
    assert ipaddress.IPv4Address(address) in ServiceNetwork().ranges[0]
    assert stored["spec"] == {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "clusterIP": address,
        "clusterIPs": [address],
    }
    hooks, new = hooks_for("services"), copy.deepcopy(SERVICE)
    hooks.prepare_update(new, stored, cluster.context("services", "default", "web"), None)
    assert new["spec"]["clusterIP"] == address
    moved = copy.deepcopy(stored)
    moved["spec"].update(clusterIP="10.96.0.99", clusterIPs=["10.96.0.99"])
    assert update(cluster, "services", stored, moved) == [
        'spec.clusterIPs[0]: Invalid value: "10.96.0.99": field is immutable'
    ]
    bad = {"metadata": {"name": "1web"}, "spec": {"ports": [{"port": 0}, {"port": 1, "nodePort": 30001}]}}
    assert [text.split(": ")[0] for text in create(cluster, "services", bad, namespace="default")[1]] == [
        "metadata.name",
        "spec.ports[0].name",
        "spec.ports[0].port",
        "spec.ports[0].targetPort",
        "spec.ports[1].name",
        "spec.ports[1].nodePort",
    ]
    client = {"clientIP": {"timeoutSeconds": 0}}
    bad = copy.deepcopy(SERVICE)
    bad["spec"].update(internalTrafficPolicy="x", sessionAffinity="ClientIP", sessionAffinityConfig=client)
    assert create(cluster, "services", bad, namespace="default")[1] == [
        'spec.internalTrafficPolicy: Unsupported value: "x": supported values: "Cluster", "Local"',
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400",
    ]


def test_service_kinds(cluster: Any) -> None:
    """Headless services keep None, node ports come from their range, a taken address or port is refused."""
    headless = {**SERVICE, "spec": {"ports": [{"port": 80}], "clusterIP": "None"}}
    assert create(cluster, "services", headless, namespace="default")[0]["spec"]["clusterIPs"] == ["None"]
    node_port = {**SERVICE, "spec": {"ports": [{"port": 80}], "type": "NodePort"}}
    stored = create(cluster, "services", node_port, namespace="default")[0]
    assert stored["spec"]["ports"][0]["nodePort"] == 30000
    assert stored["spec"]["externalTrafficPolicy"] == "Cluster"
    cluster.put("services", stored)
    for spec in (
        {"ports": [{"port": 80}], "clusterIP": stored["spec"]["clusterIP"]},
        {"ports": [{"port": 80, "nodePort": 30000}], "type": "NodePort"},
        {"ports": [{"port": 80, "nodePort": 80}], "type": "NodePort"},
    ):
        with pytest.raises(ApiError) as refused:
            create(
                cluster,
                "services",
                {"metadata": {"name": "other", "namespace": "default"}, "spec": spec},
                namespace="default",
            )
        assert refused.value.code == 422
    external = {**SERVICE, "spec": {"type": "ExternalName", "externalName": "a.b"}}
    made, causes = create(cluster, "services", external, namespace="default")
    assert causes == [] and "clusterIP" not in made["spec"]


def test_free_numbers() -> None:
    """An allocated address or port was free; of a small range every one but the first and the last is given in the end."""
    network = ServiceNetwork()
    taken = {f"10.96.0.{last}" for last in range(256)}
    assert free_address(taken, network.ranges[0]) not in taken
    assert free_node_port({30000, 30001}, network.node_ports) == 30002
    with pytest.raises(ApiError):
        free_node_port(set(network.node_ports), network.node_ports)
    given: set[str] = set()
    for _ in range(4):
        given.add(free_address(given, ipaddress.IPv4Network("10.0.0.0/29")))
    assert given == {f"10.0.0.{last}" for last in range(3, 7)}
    with pytest.raises(ApiError):
        free_address(given, ipaddress.IPv4Network("10.0.0.0/29"))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
        ("10.0.0.1", ""),
    ],
)
def test_addresses_that_nothing_may_be_led_to(cluster: Any, address: str, why: str) -> None:
    """In slices, endpoints and external addresses alike."""
    piece = {"addressType": f"IPv{ipaddress.ip_address(address).version}", "endpoints": [{"addresses": [address]}]}
    endpoints = {"subsets": [{"addresses": [{"ip": address}]}]}
    service = {"spec": {"ports": [{"port": 80}], "externalIPs": [address]}}
    for resource, body, where in (
        ("endpointslices.discovery.k8s.io", piece, "endpoints[0].addresses[0]"),
        ("endpoints", endpoints, "subsets[0].addresses[0].ip"),
        ("services", service, "spec.externalIPs[0]"),
    ):
        causes = create(cluster, resource, {"metadata": {"name": "web"}, **body}, namespace="default")[1]
        assert causes == ([f'{where}: Invalid value: "{address}": {why}'] if why else [])


def test_affinity_has_an_end(cluster: Any) -> None:
    """A day at most."""
    for seconds, told in ((1, []), (86400, []), (0, [True]), (86401, [True])):
        spec = {"ports": [{"port": 80}], "sessionAffinity": "ClientIP"}
        service = {**SERVICE, "spec": {**spec, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}}}
        causes = create(cluster, "services", service, namespace="default")[1]
        assert ["must be greater than 0 and less than 86400" in cause for cause in causes] == told


BOTH = ServiceNetwork(ranges=(ipaddress.IPv4Network("10.96.0.0/12"), ipaddress.IPv6Network("fd96::/108")))


@pytest.mark.parametrize(
    ("asked", "families", "policy"),
    [
        ({}, ["IPv4"], "SingleStack"),
        ({"ipFamilies": ["IPv6"]}, ["IPv6"], "SingleStack"),
        ({"clusterIP": "fd96::99"}, ["IPv6"], "SingleStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"], "PreferDualStack"),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"], "RequireDualStack"),
        ({"ipFamilies": ["IPv6", "IPv4"]}, ["IPv6", "IPv4"], "RequireDualStack"),
        ({"clusterIPs": ["10.96.0.99", "fd96::99"], "clusterIP": "10.96.0.99"}, ["IPv4", "IPv6"], "RequireDualStack"),
    ],
)
def test_service_families(cluster: Any, asked: dict[str, Any], families: list[str], policy: str) -> None:
    """Of a cluster with both: the families asked for, or those of the addresses, or the first; an address of each."""
    cluster.service_network = BOTH
    service = {**SERVICE, "spec": {"ports": [{"port": 80}], **asked}}
    spec = create(cluster, "services", service, namespace="default")[0]["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (families, policy)
    assert [f"IPv{ipaddress.ip_address(address).version}" for address in spec["clusterIPs"]] == families
    assert spec["clusterIP"] == spec["clusterIPs"][0]


def test_a_service_changes_its_families(cluster: Any) -> None:
    """It gets a second address when it wants both, loses it when it wants one, and the first stays."""
    cluster.service_network = BOTH
    hooks, stored = hooks_for("services"), create(cluster, "services", SERVICE, namespace="default")[0]
    first, context = stored["spec"]["clusterIP"], cluster.context("services", "default", "web")
    both = copy.deepcopy(stored)
    both["spec"].update(ipFamilyPolicy="PreferDualStack")
    hooks.prepare_update(both, stored, context, None)
    assert (both["spec"]["clusterIP"], both["spec"]["ipFamilies"]) == (first, ["IPv4", "IPv6"])
    assert len(both["spec"]["clusterIPs"]) == 2
    one = copy.deepcopy(both)
    one["spec"].update(ipFamilyPolicy="SingleStack")
    hooks.prepare_update(one, both, context, None)
    assert one["spec"]["clusterIPs"] == [first]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
        ),
        (
            {"clusterIP": "1.2.3.4"},
            "the provided IP (1.2.3.4) is not in the valid range. The range of valid IPs is 10.96.0.0/12",
        ),
    ],
)
def test_what_a_cluster_of_one_family_cannot_give(cluster: Any, asked: dict[str, Any], told: str) -> None:
    """Refused with the field."""
    service = {**SERVICE, "spec": {"ports": [{"port": 80}], **asked}}
    with pytest.raises(ApiError) as refused:
        create(cluster, "services", service, namespace="default")
    assert told in str(refused.value)
    preferred = {**SERVICE, "spec": {"ports": [{"port": 80}], "ipFamilyPolicy": "PreferDualStack"}}
    assert create(cluster, "services", preferred, namespace="default")[0]["spec"]["ipFamilies"] == ["IPv4"]


def csr_pem(*groups: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    name = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, "u")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def test_certificate_request(cluster: Any) -> None:
    """The requestor is who really asked; the request must be one; afterwards its spec does not change."""
    resource = "certificatesigningrequests.certificates.k8s.io"
    spec = {
        "request": base64.b64encode(csr_pem()).decode(),
        "signerName": "a.b/c",
        "usages": ["client auth"],
        "username": "somebody else",
    }
    user = UserInfo(name="u", groups=("g",), extra={"k": ("v",)})
    stored, causes = create(cluster, resource, {"spec": spec}, user=user)
    assert causes == []
    assert stored["spec"] == {**spec, "username": "u", "groups": ["g"], "extra": {"k": ["v"]}}
    assert update(cluster, resource, stored, {**stored, "spec": {}}) == ["spec: Invalid value: {}: field is immutable"]
    bad = {"spec": {"request": "eA==", "signerName": "x", "expirationSeconds": 5}}
    assert [text.split(": ")[0] for text in create(cluster, resource, bad)[1]] == [
        "spec.request",
        "spec.usages",
        "spec.signerName",
        "spec.expirationSeconds",
    ]


def test_nobody_asks_to_be_a_master(cluster: Any) -> None:
    """A client certificate of system:masters cannot even be asked for, whatever groups stand beside it."""
    resource, signer = "certificatesigningrequests.certificates.k8s.io", "kubernetes.io/kube-apiserver-client"

    def ask(name: str, *groups: str) -> Any:
        spec = {"request": base64.b64encode(csr_pem(*groups)).decode(), "signerName": name, "usages": ["client auth"]}
        return create(cluster, resource, {"spec": spec})

    for groups in (("system:masters",), ("dev", "system:masters")):
        with pytest.raises(ApiError) as refused:
            ask(signer, *groups)
        assert refused.value.code == 403
        message = refused.value.status()["message"]
        assert message.endswith(f"use of {signer} signer with system:masters group is not allowed")
    assert ask(signer, "dev")[1] == []
    legacy = ask("kubernetes.io/legacy-unknown", "system:masters")[1]
    assert [text.partition(": ")[0] for text in legacy] == ["spec.signerName"]


def test_unknown_kinds_need_their_namespace_too(cluster: Any) -> None:
    """A kind without rules of its own cannot be created in a namespace that does not exist."""
    with pytest.raises(ApiError) as missing:
        create(cluster, "flowers.example.com", {}, namespace="ghost")
    assert missing.value.code == 404
    assert create(cluster, "flowers.example.com", {}, namespace="default") == ({"metadata": {"name": "x"}}, [])


def _authority(name: str, *, authority: bool = True) -> str:
    """A certificate that signs itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    builder = builder.serial_number(1).not_valid_before(moment).not_valid_after(moment + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_cluster_trust_bundle(cluster: Any) -> None:
    """Authorities' certificates, each once and nothing else; those of a signer are named after it, for good."""
    one, other = _authority("one"), _authority("other")
    resource = "clustertrustbundles.certificates.k8s.io"

    def causes(bundle: str, name: str = "x", **spec: str) -> list[str]:
        return create(cluster, resource, {"metadata": {"name": name}, "spec": {"trustBundle": bundle, **spec}})[1]

    assert causes(one + other) == []
    assert causes(one, "example.com:s:v1", signerName="example.com/s") == []
    for bundle, why in (
        (one + one, "contains duplicate trust anchors"),
        ("", "at least one trust anchor must be provided"),
        (_authority("leaf", authority=False), "every certificate must have the CA bit set"),
        (one + b64("x"), ""),
        (one + "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", "must be of type CERTIFICATE"),
    ):
        assert [why in cause for cause in causes(bundle)] == ([True] if why else [])
    assert "must be named with prefix example.com:s:" in causes(one, signerName="example.com/s")[0]
    assert 'must not have ":" in its name' in causes(one, "a:b")[0]
    old = {"metadata": {"name": "x"}, "spec": {"trustBundle": one, "signerName": "a/b"}}
    changed = {"metadata": {"name": "c:d:x"}, "spec": {"trustBundle": one, "signerName": "c/d"}}
    assert ["spec.signerName" in cause for cause in update(cluster, resource, old, changed)] == [True]


def test_pod_certificate_request(cluster: Any) -> None:
    """It names pod, account and node, proves its key, has a lifetime in bounds, and does not change."""
    resource = "podcertificaterequests.certificates.k8s.io"
    proof = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = proof.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    spec = {
        "signerName": "example.com/s",
        "stubPKCS10Request": base64.b64encode(signed.public_bytes(serialization.Encoding.DER)).decode(),
        **dict.fromkeys(("nodeName", "nodeUID", "podName", "podUID", "serviceAccountName", "serviceAccountUID"), "x"),
    }
    stored, causes = create(cluster, resource, {"spec": spec}, namespace="default")
    assert (causes, stored["spec"]["maxExpirationSeconds"]) == ([], 86400)
    for change, field in (
        ({"signerName": "none"}, "spec.signerName"),
        ({"podUID": ""}, "spec.podUID"),
        ({"maxExpirationSeconds": 60}, "spec.maxExpirationSeconds"),
        ({"stubPKCS10Request": b64("x")}, "spec.stubPKCS10Request"),
    ):
        found = create(cluster, resource, {"spec": {**spec, **change}}, namespace="default")[1]
        assert [cause.startswith(field) for cause in found] == [True]
    other = {**stored, "spec": {**stored["spec"], "podName": "y"}}
    assert [cause.startswith("spec") for cause in update(cluster, resource, stored, other)] == [True]
