"""The metadata of an object: filled on create, guarded on update, validated always."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nodeagent.apiserver.errors import ApiError, FieldError, forbidden, invalid, required, too_long
from nodeagent.apiserver.kinds import names
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Object

MAX_ANNOTATIONS_BYTES: Final = 256 << 10
_BASE_LENGTH: Final = 58
_SUFFIX_LENGTH: Final = 5
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_STANDARD_FINALIZERS: Final = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
# written by the server only
_SERVER_OWNED: Final = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "selfLink",
)
_RESTORED: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
# RBAC-like names may hold what a DNS name may not
_OPAQUE_NAMES: Final = frozenset({"certificatesigningrequests.certificates.k8s.io"})


def time_text(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def fill(obj: Object, resource: Resource, namespace: str, now: datetime) -> None:
    """Make ``metadata`` of a new object: what clients may not set goes, what the server sets comes."""
    meta = obj["metadata"]
    if meta.get("resourceVersion"):
        raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
    for field in _SERVER_OWNED:
        meta.pop(field, None)
    if not meta.get("name"):
        meta.pop("name", None)
        if meta.get("generateName"):
            meta["name"] = generated_name(meta["generateName"])
    if not meta.get("generateName"):
        meta.pop("generateName", None)
    meta.pop("namespace", None)
    if resource.namespaced:
        meta["namespace"] = namespace
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = time_text(now)
    if resource.generation:
        meta["generation"] = 1


def generated_name(base: str) -> str:
    return base[:_BASE_LENGTH] + "".join(random.choices(_ALPHABET, k=_SUFFIX_LENGTH))


def restore(new: Object, old: Object) -> None:
    """Put back what an update may not change."""
    meta, stored = new["metadata"], old["metadata"]
    meta.pop("managedFields", None)
    meta.pop("selfLink", None)
    for field in _RESTORED:
        if field in stored:
            meta[field] = stored[field]
        else:
            meta.pop(field, None)


def set_owners(obj: Object, entries: Sequence[Object] | None) -> None:
    """Put the entries of ``managedFields`` where they are stored; no entries leave no list."""
    if entries:
        obj["metadata"]["managedFields"] = entries


def check_uid(new: Object, old: Object, resource: Resource) -> None:
    uid = new["metadata"].get("uid")
    if uid and uid != old["metadata"]["uid"]:
        error = invalid("metadata.uid", uid, "field is immutable")
        raise ApiError.invalid(resource.kind, resource.group, old["metadata"]["name"], [error])


def validate(obj: Object, resource: Resource) -> list[FieldError]:
    """The rules that hold for the metadata of every kind."""
    meta = obj["metadata"]
    errors = _name(meta, resource)
    errors += _labels(meta.get("labels") or {})
    errors += _annotations(meta.get("annotations") or {})
    errors += _owners(meta.get("ownerReferences") or ())
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        errors += _finalizer(f"metadata.finalizers[{index}]", finalizer)
    return errors


def validate_update(new: Object, old: Object, resource: Resource) -> list[FieldError]:
    errors = validate(new, resource)
    meta, stored = new["metadata"], old["metadata"]
    if stored.get("deletionTimestamp"):
        added = sorted(set(meta.get("finalizers") or ()) - set(stored.get("finalizers") or ()))
        if added:
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers {added!r}"
            errors.append(forbidden("metadata.finalizers", why.replace("'", '"')))
    return errors


def _name(meta: Object, resource: Resource) -> list[FieldError]:
    name = meta.get("name")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if resource.id in _OPAQUE_NAMES:
        return []
    return [invalid("metadata.name", name, why) for why in names.dns1123_subdomain(name)]


def _labels(labels: Object) -> list[FieldError]:
    errors = []
    for key, value in labels.items():
        errors += [invalid("metadata.labels", key, why) for why in names.qualified_name(key)]
        errors += [invalid("metadata.labels", value, why) for why in names.label_value(value or "")]
    return errors


def _annotations(annotations: Object) -> list[FieldError]:
    errors = []
    total = 0
    for key, value in annotations.items():
        errors += [invalid("metadata.annotations", key, why) for why in names.qualified_name(key.lower())]
        total += len(key) + len((value or "").encode())
    if total > MAX_ANNOTATIONS_BYTES:
        errors.append(too_long("metadata.annotations", MAX_ANNOTATIONS_BYTES))
    return errors


def _owners(owners: Sequence[Object]) -> list[FieldError]:
    errors = []
    controllers = 0
    for owner in owners:
        if not owner.get("apiVersion"):
            errors.append(invalid("metadata.ownerReferences.apiVersion", "", "version must not be empty"))
        missing = [field for field in ("kind", "name", "uid") if not owner.get(field)]
        errors += [invalid(f"metadata.ownerReferences.{field}", "", "must not be empty") for field in missing]
        controllers += bool(owner.get("controller"))
    if controllers > 1:
        why = "Only one reference can have Controller set to true"
        errors.append(invalid("metadata.ownerReferences", list(owners), why))
    return errors


def _finalizer(path: str, text: str) -> list[FieldError]:
    errors = [invalid(path, text, why) for why in names.qualified_name(text)]
    if "/" not in text and text not in _STANDARD_FINALIZERS:
        errors.append(invalid(path, text, "name is neither a standard finalizer name nor is it fully qualified"))
    return errors
