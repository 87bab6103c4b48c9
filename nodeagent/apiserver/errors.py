"""What the API answers when it refuses: `ApiError` is one Status object.

The texts and the shape of `details` follow the Kubernetes API conventions: clients decide by `reason` and `code`,
people read `message`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from runtimes.kube.field_errors import FieldError


class ApiError(Exception):
    """A refusal with its HTTP code and Status object. Raise it anywhere under a request; the server renders it.

    `resource` arguments of the constructors are `plural` for the core group and `plural.group` otherwise
    (`pods`, `leases.coordination.k8s.io`), as in the messages.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details) if details is not None else None
        self.headers = dict(headers or {})
        self.warnings: Sequence[str] = ()
        """What the request was warned of before it was refused."""
        self.list_metadata: dict[str, Any] = {}
        """`metadata` of the Status: only the continue token of an expired list."""

    def status(self) -> dict[str, Any]:
        """The `v1.Status` object of this error."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.list_metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def bad_request(cls, message: str) -> "ApiError":
        return cls(400, "BadRequest", message)

    @classmethod
    def unauthorized(cls) -> "ApiError":
        return cls(401, "Unauthorized", "Unauthorized")

    @classmethod
    def forbidden(
        cls, resource: str, name: str, why: str, *, causes: Sequence[Mapping[str, str]] | None = None
    ) -> "ApiError":
        """403 `pods "x" is forbidden: <why>`; without a name `pods is forbidden: <why>`."""
        subject = f'{resource} "{name}"' if name else resource
        details = resource_details(resource, name)
        if causes:
            details["causes"] = [dict(cause) for cause in causes]
        return cls(403, "Forbidden", f"{subject} is forbidden: {why}", details=details)

    @classmethod
    def not_found(cls, resource: str, name: str) -> "ApiError":
        """404 `pods "x" not found`."""
        return cls(404, "NotFound", f'{resource} "{name}" not found', details=resource_details(resource, name))

    @classmethod
    def no_such_resource(cls) -> "ApiError":
        """404 for a path that names no resource of this server."""
        return cls(404, "NotFound", "the server could not find the requested resource", details={})

    @classmethod
    def method_not_allowed(cls) -> "ApiError":
        return cls(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={}
        )

    @classmethod
    def already_exists(cls, resource: str, name: str) -> "ApiError":
        return cls(
            409, "AlreadyExists", f'{resource} "{name}" already exists', details=resource_details(resource, name)
        )

    @classmethod
    def conflict(cls, resource: str, name: str, why: str) -> "ApiError":
        """409 `Operation cannot be fulfilled on pods "x": <why>`."""
        message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
        return cls(409, "Conflict", message, details=resource_details(resource, name))

    @classmethod
    def expired(cls, message: str) -> "ApiError":
        return cls(410, "Expired", message)

    @classmethod
    def invalid(cls, kind: str, group: str, name: str, errors: Sequence[FieldError]) -> "ApiError":
        """422 for an object that does not validate: every cause at once. `kind` is the Kind, `group` "" for core."""
        unique = list(dict.fromkeys(str(e) for e in errors))
        text = unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"
        qualified = f"{kind}.{group}" if group else kind
        details: dict[str, Any] = {}
        if name:
            details["name"] = name
        if group:
            details["group"] = group
        details["kind"] = kind
        details["causes"] = [{"reason": e.type.reason, "message": e.body, "field": e.field} for e in errors]
        return cls(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details=details)

    @classmethod
    def too_many_requests(cls, message: str, *, retry_after_seconds: int = 1) -> "ApiError":
        return cls(
            429,
            "TooManyRequests",
            message,
            details={"retryAfterSeconds": retry_after_seconds},
            headers={"Retry-After": str(retry_after_seconds)},
        )

    @classmethod
    def internal(cls, why: str) -> "ApiError":
        message = f"Internal error occurred: {why}"
        return cls(500, "InternalError", message, details={"causes": [{"message": why}]})

    @classmethod
    def timeout(cls, message: str, *, details: Mapping[str, Any] | None = None) -> "ApiError":
        return cls(504, "Timeout", message, details=details)


def resource_details(resource: str, name: str) -> dict[str, Any]:
    """`details` of the errors that name a resource: name, group (when not core) and the plural as `kind`."""
    plural, _, group = resource.partition(".")
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = plural
    return details
