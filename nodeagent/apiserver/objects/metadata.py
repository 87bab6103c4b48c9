"""The metadata of an object: filled on create, guarded on update, validated always."""

import random
import uuid
from collections.abc import Sequence
from datetime import datetime

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Stored
from nodeagent.apitypes import object_meta
from runtimes.kube.field_errors import FieldError, forbidden, invalid, render_value
from runtimes.kube.json_object import JsonObject

_BASE_LENGTH = 58
_SUFFIX_LENGTH = 5
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# written by the server only
_SERVER_OWNED = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "selfLink",
)
_RESTORED = ("uid", "creationTimestamp", "generation")
# never set by an update, and not changed by one either once a delete has set them
_OF_A_DELETE = ("deletionTimestamp", "deletionGracePeriodSeconds")
# RBAC-like names may hold what a DNS name may not
_OPAQUE_NAMES = frozenset({"certificatesigningrequests.certificates.k8s.io", "clustertrustbundles.certificates.k8s.io"})


def time_text(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def fill(obj: JsonObject, resource: Resource, namespace: str, now: datetime) -> None:
    """Make `metadata` of a new object: what clients may not set goes, what the server sets comes."""
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


def restore(new: JsonObject, old: JsonObject, *, silent: bool = False) -> None:
    """Put back what an update may not change and what its author may leave out or have wrong. `silent`: also what
    `validate_update` would refuse.
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


def check_uid_precondition(new: JsonObject, current: Stored | None, resource: Resource) -> None:
    """A uid in a PUT names the object that is meant. Raises `ApiError` 409 when it is another one by now."""
    uid, found = new["metadata"].get("uid"), current.index.uid if current else ""
    if uid and uid != found:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
        raise ApiError.conflict(resource.id, new["metadata"]["name"], why)


def set_owners(obj: JsonObject, entries: Sequence[JsonObject]) -> None:
    """Put the entries of `managedFields` where they are stored; no entries leave no list."""
    if entries:
        obj["metadata"]["managedFields"] = entries


def check_uid(new: JsonObject, old: JsonObject, resource: Resource) -> None:
    uid = new["metadata"].get("uid")
    if uid and uid != old["metadata"]["uid"]:
        error = invalid("metadata.uid", uid, "field is immutable")
        raise ApiError.invalid(resource.kind, resource.group, old["metadata"]["name"], [error])


def validate(obj: JsonObject, resource: Resource, *, stored: bool = False) -> list[FieldError]:
    """`stored`: its name was accepted when it was made."""
    return object_meta.validate(obj["metadata"], opaque_name=resource.id in _OPAQUE_NAMES, stored=stored)


def validate_update(new: JsonObject, old: JsonObject, resource: Resource) -> list[FieldError]:
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
