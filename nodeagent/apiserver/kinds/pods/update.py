"""What an update of a stored pod may change (docs/facts/embedded-api.md 15, second table)."""

import copy
import json
from typing import Any

from nodeagent.podspec.annotations import MIRROR
from nodeagent.podspec.validation.pod import validate_pod
from runtimes.kube.field_errors import FieldError, forbidden, invalid
from runtimes.kube.json_object import JsonObject

SPEC_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_COUNT_TEXT = "pod updates may not add or remove containers"


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """The main resource: everything of a create, plus the list of what may differ."""
    errors = validate_pod(new) + mirror_change(new, old)
    counts = _container_counts(new["spec"], old["spec"])
    if counts:
        return errors + counts
    errors += _deadline(new["spec"], old["spec"])
    errors += _gates(new["spec"], old["spec"])
    errors += _tolerations(new["spec"], old["spec"])
    return errors + _rest(new["spec"], old["spec"])


def mirror_change(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """A mirror pod stays one, and no other pod becomes one."""
    now = (new["metadata"].get("annotations") or {}).get(MIRROR)
    before = (old["metadata"].get("annotations") or {}).get(MIRROR)
    path = f"metadata.annotations[{MIRROR}]"
    if now == before:
        return []
    if before is None:
        return [forbidden(path, "may not add mirror pod annotation")]
    return [forbidden(path, "may not remove or update mirror pod annotation")]


def _container_counts(new: JsonObject, old: JsonObject) -> list[FieldError]:
    return [
        forbidden(f"spec.{name}", _COUNT_TEXT)
        for name in ("containers", "initContainers")
        if len(new.get(name) or ()) != len(old.get(name) or ())
    ]


def _deadline(new: JsonObject, old: JsonObject) -> list[FieldError]:
    path = "spec.activeDeadlineSeconds"
    now, before = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if before is None:
        return []
    if now is None:
        return [invalid(path, now, "must not update from a positive integer to nil value")]
    if now > before:
        return [invalid(path, now, "must be less than or equal to previous value")]
    return []


def _gates(new: JsonObject, old: JsonObject) -> list[FieldError]:
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    return [
        forbidden(
            f"spec.schedulingGates[{index}]",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for index, gate in enumerate(new.get("schedulingGates") or ())
        if gate.get("name") not in known
    ]


def _tolerations(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Tolerations are added to; of the existing ones only tolerationSeconds moves."""
    kept = [_without_seconds(item) for item in new.get("tolerations") or ()]
    if all(_without_seconds(item) in kept for item in old.get("tolerations") or ()):
        return []
    return [forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")]


def _rest(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Put the changeable fields back to their old values: then nothing may differ."""
    munged = copy.deepcopy(new)
    for name in ("containers", "initContainers"):
        for own, before in zip(munged.get(name) or (), old.get(name) or (), strict=True):
            own["image"] = before.get("image")
    for name in ("activeDeadlineSeconds", "tolerations"):
        _restore(munged, old, name)
    if old.get("terminationGracePeriodSeconds", 0) < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        _restore(munged, old, "terminationGracePeriodSeconds")
    _restore_scheduling(munged, old)
    if munged == old:
        return []
    return [forbidden("spec", f"{SPEC_TEXT}\n{_difference(old, munged)}")]


def _restore_scheduling(munged: JsonObject, old: JsonObject) -> None:
    """Gates may go; while there are some, the pod may be narrowed to fewer nodes."""
    gated = bool(old.get("schedulingGates"))
    _restore(munged, old, "schedulingGates")
    if not gated:
        return
    before = old.get("nodeSelector") or {}
    if before.items() <= (munged.get("nodeSelector") or {}).items():
        _restore(munged, old, "nodeSelector")
    if _narrows_affinity(munged, old):
        affinity = munged.get("affinity") or {}
        stored = (old.get("affinity") or {}).get("nodeAffinity")
        affinity.pop("nodeAffinity", None)
        if stored is not None:
            affinity["nodeAffinity"] = copy.deepcopy(stored)
        if affinity or "affinity" in old:
            munged["affinity"] = affinity
        else:
            munged.pop("affinity", None)


def _narrows_affinity(new: JsonObject, old: JsonObject) -> bool:
    """Required terms stay as many, each with its requirements kept and perhaps more of them."""
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    now = (((new.get("affinity") or {}).get("nodeAffinity") or {}).get(key) or {}).get("nodeSelectorTerms")
    before = (((old.get("affinity") or {}).get("nodeAffinity") or {}).get(key) or {}).get("nodeSelectorTerms")
    if before is None:
        return True
    if now is None or len(now) != len(before):
        return False
    return all(_extends(term, stored) for term, stored in zip(now, before, strict=True))


def _extends(term: JsonObject, stored: JsonObject) -> bool:
    return all(
        (term.get(name) or [])[: len(stored.get(name) or [])] == (stored.get(name) or [])
        for name in ("matchExpressions", "matchFields")
    )


def _restore(munged: JsonObject, old: JsonObject, name: str) -> None:
    munged.pop(name, None)
    if name in old:
        munged[name] = copy.deepcopy(old[name])


def _without_seconds(toleration: JsonObject) -> JsonObject:
    return {
        name: value for name, value in toleration.items() if name != "tolerationSeconds" and value not in (None, "")
    }


def _difference(before: Any, after: Any, path: str = "") -> str:
    """The paths that differ, one a line: `- spec.x: old` and `+ spec.x: new`."""
    lines: list[str] = []
    _collect(before, after, path, lines)
    return "\n".join(lines)


def _collect(before: Any, after: Any, path: str, lines: list[str]) -> None:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            _collect(before.get(key), after.get(key), f"{path}.{key}" if path else key, lines)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            _collect(left, right, f"{path}[{index}]", lines)
    else:
        lines += [f"- {path}: {json.dumps(before)}", f"+ {path}: {json.dumps(after)}"]
