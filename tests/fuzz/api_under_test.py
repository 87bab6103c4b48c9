"""The embedded API's objects over a store in memory: every write is a dry run, so nothing of one input stays for the next."""

import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from nodeagent.apiserver import kinds
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.objects import create as creating
from nodeagent.apiserver.objects import patch as patching
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.engine import Engine, Outcome
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.journal import Journal, Row
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key

_USER = UserInfo(name="kubernetes-admin", groups=("system:masters", "system:authenticated"))
_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# what a store holds that the inputs may speak of
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "labels": {"app": "x"}, "annotations": {"a": "b"}},
    "spec": {
        "nodeName": "n1",
        "containers": [
            {
                "name": "c",
                "image": "busybox:1",
                "env": [{"name": "A", "value": "x"}, {"name": "B", "value": "$(A)$(A)"}],
                "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a"}],
            }
        ],
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
        "tolerations": [{"operator": "Exists"}],
    },
}


@cache
def engine() -> Engine:
    registry = Registry(RESOURCES)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:  # SQLite goes on with a file that has no name any more
        journal = Journal(Path(folder) / "state.db")
        rows = [
            _row(registry, 1, "namespaces", {"metadata": {"name": "default"}, "spec": {"finalizers": ["kubernetes"]}}),
            _row(registry, 2, "serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}}),
            _row(registry, 3, "pods", POD),
        ]
        journal.append(rows)
        store = Store(journal, registry.index)
    return Engine(store=store, registry=registry, hooks_for=kinds.hooks_for, node_name="n1", clock=lambda: _NOW)


def _row(registry: Registry, revision: int, resource: str, obj: dict[str, Any]) -> Row:
    kind = registry.by_id(resource)
    assert kind is not None
    metadata = {**obj["metadata"], "uid": f"u{revision}", "creationTimestamp": "2026-01-02T03:04:05Z"}
    stated = {"apiVersion": kind.group_version, "kind": kind.kind, **obj, "metadata": metadata}
    key = Key(metadata.get("namespace", ""), metadata["name"])
    return Row(revision=revision, resource=resource, key=key, data=msgspec.json.encode(stated))


def kind_of(resource: str, made: Engine) -> Resource:
    kind = made.registry.by_id(resource)
    assert kind is not None
    return kind


def context(kind: Resource, made: Engine, name: str = "") -> Context:
    return made.context(kind, "default", name, _USER, dry_run=True)


def create(resource: str, body: Any, made: Engine | None = None, **options: Any) -> Outcome:
    """As POST does. Raises ApiError."""
    made = made or engine()
    kind = kind_of(resource, made)
    return creating.create(made, kind, body, context(kind, made), WriteOptions(dry_run=True, **options))


def patch(resource: str, name: str, change: Any, subresource: str | None = None) -> Outcome:
    """As PATCH does. Raises ApiError."""
    made = engine()
    kind = kind_of(resource, made)
    return patching.patch(made, kind, change, context(kind, made, name), WriteOptions(dry_run=True), subresource)
