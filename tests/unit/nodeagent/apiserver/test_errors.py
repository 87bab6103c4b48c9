"""Errors as clients get them."""

import pytest

from nodeagent.apiserver.errors import ApiError
from runtimes.kube.field_errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    too_long,
    too_many,
)


@pytest.mark.parametrize(
    ("error", "text", "reason"),
    [
        (required("a"), "a: Required value", "FieldValueRequired"),
        (required("a", "say it"), "a: Required value: say it", "FieldValueRequired"),
        (invalid("a.b[0]", 'x"y', "no"), 'a.b[0]: Invalid value: "x\\"y": no', "FieldValueInvalid"),
        (invalid("a", 7, "no"), "a: Invalid value: 7: no", "FieldValueInvalid"),
        (
            not_supported("a", "x", ("A", "B")),
            'a: Unsupported value: "x": supported values: "A", "B"',
            "FieldValueNotSupported",
        ),
        (duplicate("a", "x"), 'a: Duplicate value: "x"', "FieldValueDuplicate"),
        (not_found("a", "x"), 'a: Not found: "x"', "FieldValueNotFound"),
        (forbidden("a", "because"), "a: Forbidden: because", "FieldValueForbidden"),
        (too_long("a", 5), "a: Too long: may not be more than 5 bytes", "FieldValueTooLong"),
        (too_many("a", 4, 3), "a: Too many: 4: must have at most 3 items", "FieldValueTooMany"),
    ],
)
def test_field_errors(error: FieldError, text: str, reason: str) -> None:
    """A field error renders as path, kind of error, value and detail, and has the reason clients know."""
    assert (str(error), error.type.reason) == (text, reason)


def test_invalid_has_every_cause() -> None:
    """A 422 tells all faults at once; the kind is named with its group."""
    error = ApiError.invalid("Lease", "coordination.k8s.io", "l", [required("spec.a"), invalid("spec.b", 1, "no")])
    assert error.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Lease.coordination.k8s.io "l" is invalid: [spec.a: Required value, spec.b: Invalid value: 1: no]',
        "reason": "Invalid",
        "details": {
            "name": "l",
            "group": "coordination.k8s.io",
            "kind": "Lease",
            "causes": [
                {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.a"},
                {"reason": "FieldValueInvalid", "message": "Invalid value: 1: no", "field": "spec.b"},
            ],
        },
        "code": 422,
    }


@pytest.mark.parametrize(
    ("error", "code", "reason", "message", "details"),
    [
        (ApiError.not_found("pods", "x"), 404, "NotFound", 'pods "x" not found', {"name": "x", "kind": "pods"}),
        (
            ApiError.already_exists("leases.coordination.k8s.io", "x"),
            409,
            "AlreadyExists",
            'leases.coordination.k8s.io "x" already exists',
            {"name": "x", "group": "coordination.k8s.io", "kind": "leases"},
        ),
        (
            ApiError.conflict("pods", "x", "why"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on pods "x": why',
            {"name": "x", "kind": "pods"},
        ),
        (ApiError.forbidden("pods", "", "why"), 403, "Forbidden", "pods is forbidden: why", {"kind": "pods"}),
        (ApiError.unauthorized(), 401, "Unauthorized", "Unauthorized", None),
        (ApiError.expired("old"), 410, "Expired", "old", None),
    ],
)
def test_statuses(error: ApiError, code: int, reason: str, message: str, details: object) -> None:
    """Each refusal has its code, reason, message and details."""
    status = error.status()
    assert (status["code"], status["reason"], status["message"], status.get("details")) == (
        code,
        reason,
        message,
        details,
    )
