"""The metadata of an object: filled on create, guarded on update, validated always."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nodeagent.apiserver.errors import ApiError, FieldError, forbidden, invalid, render_value, required, too_long
from nodeagent.apiserver.kinds import names
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Object, Stored

MAX_ANNOTATIONS_BYTES: Final = 256 << 10
_ENOUGH: Final = 16
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
_RESTORED: Final = ("uid", "creationTimestamp", "generation")
# never set by an update, and not changed by one either once a delete has set them
_OF_A_DELETE: Final = ("deletionTimestamp", "deletionGracePeriodSeconds")
_BANNED_OWNERS: Final = {("v1", "Event"): "/v1, Kind=Event"}
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


def restore(new: Object, old: Object, *, silent: bool = False) -> None:
    """Put back what an update may not change and what its author may leave out or have wrong. ``silent``: also what
    ``validate_update`` would refuse.
    """
    meta, stored = new["metadata"], old["metadata"]
    meta.pop("managedFields", None)
    meta.pop("selfLink", None)
    for field in _RESTORED:
        if field in stored:
            meta[field] = stored[field]
        else:
            meta.pop(field, None)
    for field in _OF_A_DELETE:
        if field in stored and (silent or field == "deletionTimestamp" or meta.get(field) is None):
            meta[field] = stored[field]
        elif silent or meta.get(field) is None:
            meta.pop(field, None)


def check_uid_precondition(new: Object, current: Stored | None, resource: Resource) -> None:
    """A uid in a PUT names the object that is meant. Raises ``ApiError`` 409 when it is another one by now."""
    uid, found = new["metadata"].get("uid"), current.index.uid if current else ""
    if uid and uid != found:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
        raise ApiError.conflict(resource.id, new["metadata"]["name"], why)


def set_owners(obj: Object, entries: Sequence[Object]) -> None:
    """Put the entries of ``managedFields`` where they are stored; no entries leave no list."""
    if entries:
        obj["metadata"]["managedFields"] = entries


def check_uid(new: Object, old: Object, resource: Resource) -> None:
    uid = new["metadata"].get("uid")
    if uid and uid != old["metadata"]["uid"]:
        error = invalid("metadata.uid", uid, "field is immutable")
        raise ApiError.invalid(resource.kind, resource.group, old["metadata"]["name"], [error])


def validate(obj: Object, resource: Resource, *, stored: bool = False) -> list[FieldError]:
    """The rules that hold for the metadata of every kind. ``stored``: its name was accepted when it was made."""
    meta = obj["metadata"]
    errors = _generate_name(meta, resource, stored=stored) + _name(meta, resource)
    errors += _labels(meta.get("labels") or {})
    errors += _annotations(meta.get("annotations") or {})
    errors += _owners(meta.get("ownerReferences") or ())
    return errors + _finalizers(meta.get("finalizers") or [])


def validate_update(new: Object, old: Object, resource: Resource) -> list[FieldError]:
    errors = validate(new, resource, stored=True)
    meta, stored = new["metadata"], old["metadata"]
    if stored.get("deletionTimestamp"):
        added = sorted(set(meta.get("finalizers") or ()) - set(stored.get("finalizers") or ()))
        if added:
            shown = ", ".join(render_value(name) for name in added)
            why = "no new finalizers can be added if the object is being deleted, found new finalizers []string{"
            errors.append(forbidden("metadata.finalizers", f"{why}{shown}}}"))
    for field in _OF_A_DELETE:
        if meta.get(field) != stored.get(field):
            errors.append(invalid(f"metadata.{field}", meta.get(field), "field is immutable"))
    return errors


def _generate_name(meta: Object, resource: Resource, *, stored: bool) -> list[FieldError]:
    """A base that any suffix makes a name of. Of a stored object it is history, and only kept out of paths."""
    base = meta.get("generateName") or ""
    if not base or resource.id in _OPAQUE_NAMES:
        return []
    if stored:
        wrong = [f"may not contain '{sign}'" for sign in "/%" if sign in base]
    else:
        wrong = names.dns1123_subdomain(f"{base[:-1]}a" if base.endswith("-") and len(base) > 1 else base)
    return [invalid("metadata.generateName", base, why) for why in wrong]


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
    controller = ""
    for owner in owners:
        if not owner.get("apiVersion"):
            errors.append(invalid("metadata.ownerReferences.apiVersion", "", "version must not be empty"))
        missing = [field for field in ("kind", "name", "uid") if not owner.get(field)]
        errors += [invalid(f"metadata.ownerReferences.{field}", "", "must not be empty") for field in missing]
        banned = _BANNED_OWNERS.get((owner.get("apiVersion") or "", owner.get("kind") or ""))
        if banned:
            errors.append(invalid("metadata.ownerReferences", owner, f"{banned} is disallowed from being an owner"))
        if owner.get("controller"):
            shown = f"{owner.get('kind') or ''}/{owner.get('name') or ''}"
            if controller:
                why = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {shown}"
                )
                errors.append(invalid("metadata.ownerReferences", list(owners), why))
                if len(errors) > _ENOUGH:  # each shows the whole list
                    break
            else:
                controller = shown
    return errors


def _finalizers(listed: Sequence[str]) -> list[FieldError]:
    errors = [invalid("metadata.finalizers", name, why) for name in listed for why in names.qualified_name(name)]
    if {"orphan", "foregroundDeletion"} <= set(listed):
        why = "finalizer foregroundDeletion and orphan cannot be both set"
        errors.append(invalid("metadata.finalizers", list(listed), why))
    for index, name in enumerate(listed):
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(f"metadata.finalizers[{index}]", name, why))
    return errors
