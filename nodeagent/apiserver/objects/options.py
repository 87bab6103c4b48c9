"""The knobs of a write request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from nodeagent.apiserver.errors import ApiError, invalid, not_supported, too_long

FieldValidation = Literal["Ignore", "Warn", "Strict"]
Propagation = Literal["Background", "Foreground", "Orphan"]
Query = Mapping[str, Sequence[str]]

MAX_MANAGER: Final = 128
_META_GROUP: Final = "meta.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Of creates, updates and patches. ``force``: of an apply, to take what others own."""

    dry_run: bool = False
    field_validation: FieldValidation = "Warn"
    field_manager: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """``uid`` and ``revision`` "" ask for nothing; ``grace_period_seconds`` None leaves it to the object."""

    dry_run: bool = False
    grace_period_seconds: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    revision: str = ""


def write_options(query: Query, kind: str = "CreateOptions") -> WriteOptions:
    """From the query of a request. Raises ``ApiError`` 422."""
    stated = _last(query, "fieldValidation") or "Warn"
    manager = _last(query, "fieldManager")
    errors = []
    validation: FieldValidation = "Warn"
    match stated:
        case "Ignore" | "Warn" | "Strict":
            validation = stated
        case _:
            errors.append(not_supported("fieldValidation", stated, ("Ignore", "Strict", "Warn")))
    if len(manager.encode()) > MAX_MANAGER:
        errors.append(too_long("fieldManager", MAX_MANAGER))
    elif not manager.isprintable():
        errors.append(invalid("fieldManager", manager, "should only contain printable characters"))
    if errors:
        raise ApiError.invalid(kind, _META_GROUP, "", errors)
    return WriteOptions(
        dry_run=_dry_run(query.get("dryRun", ()), kind),
        field_validation=validation,
        field_manager=manager,
        force=_truth(_last(query, "force")),
    )


def manager_of(user_agent: str) -> str:
    """Whose fields those are that a client writes without saying a ``fieldManager``: the name in its ``User-Agent``."""
    name = ""
    for letter in user_agent.partition("/")[0]:
        if not letter.isprintable():
            continue
        if len((name + letter).encode()) > MAX_MANAGER:
            break
        name += letter
    return name


def _truth(text: str) -> bool:
    return text.lower() not in ("", "false", "0")


def delete_options(query: Query, body: Mapping[str, Any]) -> DeleteOptions:
    """From the DeleteOptions of the body, else the older query form. Raises ``ApiError`` 400, 422."""
    grace = body.get("gracePeriodSeconds")
    if grace is None and (text := _last(query, "gracePeriodSeconds")):
        grace = _integer("gracePeriodSeconds", text)
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise ApiError.bad_request("gracePeriodSeconds must be an integer")
    conditions = body.get("preconditions") or {}
    return DeleteOptions(
        dry_run=_dry_run([*(body.get("dryRun") or ()), *query.get("dryRun", ())], "DeleteOptions"),
        grace_period_seconds=grace,
        propagation=_propagation(query, body),
        uid=str(conditions.get("uid") or ""),
        revision=str(conditions.get("resourceVersion") or ""),
    )


def _propagation(query: Query, body: Mapping[str, Any]) -> Propagation | None:
    policy = body.get("propagationPolicy") or _last(query, "propagationPolicy") or None
    orphan = body.get("orphanDependents")
    if orphan is None and (text := _last(query, "orphanDependents")):
        orphan = text in ("true", "1")
    if orphan is not None and policy is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        raise ApiError.invalid("DeleteOptions", _META_GROUP, "", [invalid("propagationPolicy", policy, why)])
    if orphan is not None:
        return "Orphan" if orphan else "Background"
    match policy:
        case None | "Background" | "Foreground" | "Orphan":
            return policy
    error = not_supported("propagationPolicy", policy, ("Background", "Foreground", "Orphan"))
    raise ApiError.invalid("DeleteOptions", _META_GROUP, "", [error])


def _dry_run(values: Sequence[str], kind: str) -> bool:
    given = [value for value in values if value]
    if any(value != "All" for value in given):
        raise ApiError.invalid(kind, _META_GROUP, "", [not_supported("dryRun", given, ("All",))])
    return bool(given)


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ApiError.bad_request(f'{name}: "{text}" is not an integer') from None


def _last(query: Query, name: str) -> str:
    values = query.get(name)
    return values[-1] if values else ""
