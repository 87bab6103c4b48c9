"""The knobs of a write request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.query import Query, flag, number, text
from nodeagent.apitypes.decode import decode
from nodeagent.apitypes.scalars import Mismatch, Refused
from nodeagent.apitypes.schema import struct
from runtimes.kube.field_errors import FieldError, invalid, not_supported, too_long

FieldValidation = Literal["Ignore", "Warn", "Strict"]
Propagation = Literal["Background", "Foreground", "Orphan"]

MAX_MANAGER = 128
_DELETE_OPTIONS = struct("meta.v1.DeleteOptions")
_META_GROUP = "meta.k8s.io"
_POLICIES = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Of creates, updates and patches. `duplicates`: what the body says twice, which its decoded form cannot tell any more
    (paths of fields; a line each where the body is `in_yaml`). `force`: of an apply, to take what others own."""

    dry_run: bool = False
    field_validation: FieldValidation = "Warn"
    field_manager: str = ""
    duplicates: tuple[str, ...] = ()
    in_yaml: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """`uid` and `revision` "" ask for nothing; `grace_period_seconds` None leaves it to the object."""

    dry_run: bool = False
    grace_period_seconds: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    revision: str = ""


def write_options(query: Query, kind: str = "CreateOptions") -> WriteOptions:
    """From the query of a request. Raises `ApiError` 422."""
    stated = text(query, "fieldValidation") or "Warn"
    manager = text(query, "fieldManager")
    errors = []
    if len(manager.encode()) > MAX_MANAGER:
        errors.append(too_long("fieldManager", MAX_MANAGER))
    elif not manager.isprintable():
        errors.append(invalid("fieldManager", manager, "should only contain printable characters"))
    dry_run = query.get("dryRun", ())
    errors += _dry_run_errors(dry_run)
    validation: FieldValidation = "Warn"
    match stated:
        case "Ignore" | "Warn" | "Strict":
            validation = stated
        case _:
            errors.append(not_supported("fieldValidation", stated, ("", "Ignore", "Strict", "Warn")))
    if errors:
        raise ApiError.invalid(kind, _META_GROUP, "", errors)
    return WriteOptions(
        dry_run=bool(dry_run),
        field_validation=validation,
        field_manager=manager,
        force=flag(query, "force") or False,
    )


def manager_of(user_agent: str) -> str:
    """Whose fields those are that a client writes without saying a `fieldManager`: the name in its `User-Agent`."""
    name = ""
    for letter in user_agent.partition("/")[0]:
        if not letter.isprintable():
            continue
        if len((name + letter).encode()) > MAX_MANAGER:
            break
        name += letter
    return name


def delete_options(query: Query, body: Mapping[str, Any]) -> DeleteOptions:
    """From the DeleteOptions of the body, else from the query; a dry run may be asked for in either.

    Raises `ApiError` 400 for a body that is no DeleteOptions, 422 for values that there are not.
    """
    stated = _of_body(body) if body else _of_query(query)
    dry_run = [*(stated.get("dryRun") or ()), *(query.get("dryRun", ()) if body else ())]
    policy, orphan = stated.get("propagationPolicy"), stated.get("orphanDependents")
    errors = []
    if orphan is not None and policy is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(invalid("propagationPolicy", policy, why))
    if policy is not None and policy not in _POLICIES:
        errors.append(not_supported("propagationPolicy", policy, (*_POLICIES, "nil")))
    errors += _dry_run_errors(dry_run)
    if errors:
        raise ApiError.invalid("DeleteOptions", _META_GROUP, "", errors)
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    conditions = stated.get("preconditions") or {}
    return DeleteOptions(
        dry_run=bool(dry_run),
        grace_period_seconds=stated.get("gracePeriodSeconds"),
        propagation=policy,
        uid=conditions.get("uid") or "",
        revision=conditions.get("resourceVersion") or "",
    )


def _of_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    kind, version = body.get("kind") or "DeleteOptions", body.get("apiVersion") or "v1"
    if kind != "DeleteOptions":
        raise ApiError.bad_request(f'no kind "{kind}" is registered for version "{version}"')
    try:
        return decode(_DELETE_OPTIONS, dict(body)).value
    except (Mismatch, Refused) as error:
        raise ApiError.bad_request(str(error)) from error


def _of_query(query: Query) -> Mapping[str, Any]:
    stated: dict[str, Any] = {"gracePeriodSeconds": number(query, "gracePeriodSeconds")}
    stated["orphanDependents"] = flag(query, "orphanDependents")
    stated["propagationPolicy"] = text(query, "propagationPolicy") if query.get("propagationPolicy") else None
    stated["dryRun"] = query.get("dryRun", ())
    return stated


def _dry_run_errors(values: Sequence[str]) -> list[FieldError]:
    if all(value == "All" for value in values):
        return []
    return [not_supported("dryRun", list(values), ("All",))]
