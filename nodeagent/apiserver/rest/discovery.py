"""What the API has, told to clients: the aggregated form of modern ones and the legacy documents."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource, Subresource
from nodeagent.apiserver.rest.negotiation import JSON, offers
from runtimes.kube.json_object import JsonObject

_GROUP = "apidiscovery.k8s.io"
_LIST = "APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A fixed answer."""

    body: bytes
    content_type: str = JSON

    @property
    def etag(self) -> str:
        return '"' + hashlib.sha512(self.body).hexdigest().upper() + '"'


def aggregated_version(accept: str) -> str:
    """`v2` or `v2beta1` if the client takes the aggregated form before the legacy one, else ""."""
    for offer in offers(accept):
        if offer.media not in (JSON, "*/*"):
            continue
        wanted = offer.parameters
        if wanted.get("as") == _LIST and wanted.get("g") == _GROUP and wanted.get("v") in ("v2", "v2beta1"):
            return wanted["v"]
        if "as" not in wanted:
            return ""
    return ""


class Discovery:
    """Built from the registry once."""

    def __init__(self, registry: Registry, server_address: str) -> None:
        """`server_address`: host:port, as the legacy document names it."""
        self._registry = registry
        self._address = server_address
        self._cache: dict[str, Document] = {}

    def aggregated(self, root: str, version: str) -> Document:
        """`root`: `api` or `apis`."""
        key = f"{root};{version}"
        if key not in self._cache:
            groups = [""] if root == "api" else list(self._registry.groups())
            body: JsonObject = {
                "kind": _LIST,
                "apiVersion": f"{_GROUP}/{version}",
                "metadata": {},
                "items": [self._aggregated_group(group) for group in groups],
            }
            media = f"{JSON};g={_GROUP};v={version};as={_LIST}"
            self._cache[key] = Document(body=msgspec.json.encode(body), content_type=media)
        return self._cache[key]

    def _aggregated_group(self, group: str) -> JsonObject:
        resources = self._registry.in_group(group)
        versions = dict.fromkeys(resource.version for resource in resources)
        return {
            "metadata": {"name": group} if group else {},
            "versions": [
                {
                    "version": version,
                    "resources": [_aggregated(r) for r in resources if r.version == version],
                    "freshness": "Current",
                }
                for version in versions
            ],
        }

    def legacy(self, path: str) -> Document | None:
        """The document at `/api`, `/apis`, `/apis/GROUP`, `/api/v1`, `/apis/GROUP/VERSION`; None: no such path."""
        return self._legacy.get(path.rstrip("/"))

    @cached_property
    def _legacy(self) -> dict[str, Document]:
        groups = [self._group(group) for group in self._registry.groups()]
        address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}
        found: dict[str, JsonObject] = {
            "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        }
        for group in groups:
            found[f"/apis/{group['name']}"] = {"kind": "APIGroup", "apiVersion": "v1", **group}
        for version in {resource.group_version: resource for resource in self._registry.resources}.values():
            root = "/apis/" if version.group else "/api/"
            members = [r for r in self._registry.in_group(version.group) if r.version == version.version]
            found[root + version.group_version] = _resource_list(version.group_version, members)
        return {path: Document(body=msgspec.json.encode(body)) for path, body in found.items()}

    def _group(self, group: str) -> JsonObject:
        versions = dict.fromkeys(r.version for r in self._registry.in_group(group))
        named = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
        return {"name": group, "versions": named, "preferredVersion": named[0]}


def _aggregated(resource: Resource) -> JsonObject:
    body: JsonObject = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular_name,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        body["shortNames"] = list(resource.short_names)
    if resource.categories:
        body["categories"] = list(resource.categories)
    if resource.subresources:
        body["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": dict(zip(("group", "version", "kind"), _kind(resource, sub), strict=True)),
                "verbs": sorted(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return body


def _kind(resource: Resource, sub: Subresource) -> tuple[str, str, str]:
    group = resource.group if sub.group is None else sub.group
    return group, sub.version or resource.version, sub.kind or resource.kind


def _resource_list(group_version: str, resources: Sequence[Resource]) -> JsonObject:
    entries: list[JsonObject] = []
    for resource in resources:
        entry: JsonObject = {
            "name": resource.plural,
            "singularName": resource.singular_name,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": sorted(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        entries.append(entry)
        entries += [_legacy_subresource(resource, sub) for sub in resource.subresources]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _legacy_subresource(resource: Resource, sub: Subresource) -> JsonObject:
    group, version, kind = _kind(resource, sub)
    entry: JsonObject = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": sorted(sub.verbs),
    }
    if (group, version) != (resource.group, resource.version):
        entry["group"], entry["version"] = group, version
    return entry
