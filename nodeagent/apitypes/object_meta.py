"""The rules that hold for the metadata of objects of every kind."""

from collections.abc import Mapping, Sequence
from typing import Any

from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, invalid, required, too_long

MAX_ANNOTATIONS_BYTES = 256 << 10
_ENOUGH = 16
_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_BANNED_OWNERS = {("v1", "Event"): "/v1, Kind=Event"}


def validate(meta: Mapping[str, Any], *, opaque_name: bool = False, stored: bool = False) -> list[FieldError]:
    """`opaque_name`: a name of the kind may hold what a DNS name may not. `stored`: it was accepted when it was made."""
    errors = [] if opaque_name else _generate_name(meta.get("generateName") or "", stored=stored)
    errors += _name(meta.get("name"), opaque=opaque_name)
    errors += _labels(meta.get("labels") or {})
    errors += _annotations(meta.get("annotations") or {})
    errors += _owners(meta.get("ownerReferences") or ())
    return errors + _finalizers(meta.get("finalizers") or [])


def _generate_name(base: str, *, stored: bool) -> list[FieldError]:
    """A base that any suffix makes a name of. Of a stored object it is history, and only kept out of paths."""
    if not base:
        return []
    if stored:
        wrong = [f"may not contain '{sign}'" for sign in "/%" if sign in base]
    else:
        wrong = names.dns1123_subdomain(f"{base[:-1]}a" if base.endswith("-") and len(base) > 1 else base)
    return [invalid("metadata.generateName", base, why) for why in wrong]


def _name(name: str | None, *, opaque: bool) -> list[FieldError]:
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    return [] if opaque else [invalid("metadata.name", name, why) for why in names.dns1123_subdomain(name)]


def _labels(labels: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    for key, value in labels.items():
        errors += [invalid("metadata.labels", key, why) for why in names.qualified_name(key)]
        errors += [invalid("metadata.labels", value, why) for why in names.label_value(value or "")]
    return errors


def _annotations(annotations: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    total = 0
    for key, value in annotations.items():
        errors += [invalid("metadata.annotations", key, why) for why in names.qualified_name(key.lower())]
        total += len(key) + len((value or "").encode())
    if total > MAX_ANNOTATIONS_BYTES:
        errors.append(too_long("metadata.annotations", MAX_ANNOTATIONS_BYTES))
    return errors


def _owners(owners: Sequence[Mapping[str, Any]]) -> list[FieldError]:
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
