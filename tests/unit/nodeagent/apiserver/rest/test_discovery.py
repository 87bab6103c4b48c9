"""Discovery and OpenAPI documents."""

import json
from typing import Any

from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.rest.discovery import Discovery, Document
from nodeagent.apiserver.rest.openapi import OpenApi
from nodeagent.apiserver.rest.openapi_v2 import openapi_v2


def loaded(document: Document | None) -> Any:
    assert document is not None
    return json.loads(document.body)


def test_aggregated(registry: Registry) -> None:
    """The core group alone under /api, all others under /apis, each kind with what clients look for."""
    discovery = Discovery(registry, "h:1")
    document = discovery.aggregated("api", "v2")
    assert document.content_type == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    (core,) = loaded(document)["items"]
    assert (core["metadata"], core["versions"][0]["version"], core["versions"][0]["freshness"]) == ({}, "v1", "Current")
    pods = next(r for r in core["versions"][0]["resources"] if r["resource"] == "pods")
    assert {k: v for k, v in pods.items() if k not in ("verbs", "subresources")} == {
        "resource": "pods",
        "responseKind": {"group": "", "version": "v1", "kind": "Pod"},
        "scope": "Namespaced",
        "singularResource": "pod",
        "shortNames": ["po"],
        "categories": ["all"],
    }
    eviction = next(s for s in pods["subresources"] if s["subresource"] == "eviction")
    assert eviction == {
        "subresource": "eviction",
        "responseKind": {"group": "policy", "version": "v1", "kind": "Eviction"},
        "verbs": ["create"],
    }
    groups = [item["metadata"]["name"] for item in loaded(discovery.aggregated("apis", "v2"))["items"]]
    assert "node.k8s.io" in groups
    assert "" not in groups


def test_legacy(registry: Registry) -> None:
    """The documents of older clients."""
    discovery = Discovery(registry, "h:1")
    assert loaded(discovery.legacy("/api")) == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "h:1"}],
    }
    assert loaded(discovery.legacy("/apis/node.k8s.io")) == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "node.k8s.io",
        "versions": [{"groupVersion": "node.k8s.io/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "node.k8s.io/v1", "version": "v1"},
    }
    core = loaded(discovery.legacy("/api/v1"))
    entries = {entry["name"]: entry for entry in core["resources"]}
    assert core["groupVersion"] == "v1"
    assert entries["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "kind": "Eviction",
        "verbs": ["create"],
        "group": "policy",
        "version": "v1",
    }
    assert entries["nodes"]["namespaced"] is False
    assert discovery.legacy("/apis/no.such.group") is None


def test_openapi_index(registry: Registry) -> None:
    """The index leads to a document of every group version, and its hash stays the same."""
    openapi = OpenApi(registry)
    paths = loaded(openapi.index())["paths"]
    assert paths["api/v1"]["serverRelativeURL"] == f"/openapi/v3/api/v1?hash={OpenApi(registry).hash('api/v1')}"
    assert all(openapi.document(path) is not None for path in paths)
    assert openapi.document("apis/no/v1") is None


def test_openapi_tells_kubectl_what_it_asks(registry: Registry) -> None:
    """Patch operations take fieldValidation and strategic merge; lists have their merge keys; fields their texts."""
    document = loaded(OpenApi(registry).document("api/v1"))
    patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    schemas = document["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert (containers["x-kubernetes-patch-merge-key"], containers["x-kubernetes-patch-strategy"]) == ("name", "merge")
    assert containers["description"].startswith("List of containers belonging to the pod.")
    assert (containers["x-kubernetes-list-type"], containers["x-kubernetes-list-map-keys"]) == ("map", ["name"])
    port = schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]
    assert (port["protocol"]["default"], port["containerPort"]["format"], port["containerPort"]["default"]) == (
        "TCP",
        "int32",
        0,
    )
    limits = schemas["io.k8s.api.core.v1.ResourceRequirements"]["properties"]["limits"]["additionalProperties"]
    assert limits == {"oneOf": [{"type": "string"}, {"type": "number"}]}
    assert schemas["io.k8s.api.core.v1.LocalObjectReference"]["x-kubernetes-map-type"] == "atomic"
    context = schemas["io.k8s.api.core.v1.SecurityContext"]["properties"]["runAsUser"]
    assert (context["type"], context["format"], "default" in context) == ("integer", "int64", False)
    volumes = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"]
    assert volumes["x-kubernetes-patch-strategy"] == "merge,retainKeys"


def test_openapi_references_lead_somewhere(registry: Registry) -> None:
    """Every $ref of every document has its schema in the same document."""

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(inner) for inner in value.values()))
        if isinstance(value, list):
            return set().union(*(references(inner) for inner in value))
        return set()

    openapi = OpenApi(registry)
    for path in loaded(openapi.index())["paths"]:
        document = loaded(openapi.document(path))
        assert references(document) <= set(document["components"]["schemas"]), path


def test_openapi_v2(registry: Registry) -> None:
    """The old document is a protobuf message in the dotted form of its media type, with every kind's schema in it."""
    document = openapi_v2(OpenApi(registry))
    assert document.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert document.body.startswith(b"\x0a\x032.0")
    assert b"io.k8s.api.core.v1.PodSpec" in document.body
    assert b"#/definitions/io.k8s.api.core.v1.Container" in document.body
    assert b"#/components/" not in document.body
