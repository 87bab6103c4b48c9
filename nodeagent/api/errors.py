"""What an API call can fail with: one class per thing the caller may do about it.

Source: the Status object of meta/v1; reasons and codes of the Kubernetes API conventions.
"""

import enum

import msgspec
from lightkube.models.meta_v1 import Status, StatusDetails

from runtimes.kube.json_errors import UNREADABLE


class ApiError(Exception):
    """The API answered with an error, or (Unavailable) did not answer.

    `status`: HTTP code, 0 without an answer. `reason`: the machine-readable word of the Status, may be empty.
    `retry_after_seconds`: what the server asked for, if it did.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: StatusDetails | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after_seconds = retry_after_seconds

    def has_cause(self, reason: str) -> bool:
        """Say whether `details.causes` names `reason`."""
        causes = self.details.causes if self.details and self.details.causes else ()
        return any(cause.reason == reason for cause in causes)

    @property
    def retriable(self) -> bool:
        """The same call may succeed later without anything being changed."""
        return self.status in (0, 429) or self.status >= 500


class BadRequest(ApiError):
    """400: the request itself is wrong."""


class Unauthorized(ApiError):
    """401: the API does not know who is asking."""


class Forbidden(ApiError):
    """403: the API knows, and refuses."""


class NotFound(ApiError):
    """404: the API says that there is no such object."""


class NotServed(ApiError):
    """404 about no object: the API does not know the path, or something else answered in its place."""


class AlreadyExists(ApiError):
    """409 on create."""


class Conflict(ApiError):
    """409: somebody else changed the object, or a precondition does not hold."""


class Expired(ApiError):
    """410: the resource version or continue token is too old; list again."""


Gone = Expired


class Invalid(ApiError):
    """422: the object does not validate."""


class TooManyRequests(ApiError):
    """429."""


class ServerError(ApiError):
    """5xx."""


class Fault(enum.Enum):
    """Why there was no answer."""

    REFUSED = "refused"  # nobody listens, no route, TLS refused
    RESET = "reset"  # the connection ended in the middle
    TIMEOUT = "timeout"
    CLOSED = "closed"  # the client was closed
    CREDENTIALS = "credentials"  # no credentials could be had to ask with
    MALFORMED = "malformed"  # an answer that is not what the API would say


class Unavailable(ApiError):
    """No usable answer came. `fault` says how it failed."""

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(0, "", message)
        self.fault = fault


_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
}


def from_status(status: Status, code: int = 0, retry_after_seconds: float | None = None) -> ApiError:
    """Return the error that a Status object stands for; `code` counts where the Status has none."""
    number = status.code or code
    reason = status.reason or ""
    kind = _BY_CODE.get(number, ServerError if number >= 500 else ApiError)
    if reason == "AlreadyExists":
        kind = AlreadyExists
    elif reason in ("Expired", "Gone"):
        kind = Expired
    elif kind is NotFound and not (status.details and status.details.name):
        kind = NotServed
    message = status.message or reason or f"the server answered {number}"
    return kind(number, reason, message, status.details, retry_after_seconds)


def from_response(code: int, body: bytes, retry_after_seconds: float | None = None) -> ApiError:
    """Return the error of an HTTP answer; the beginning of a body that is not a Status becomes the message, as one line."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except UNREADABLE:
        text = " ".join(body[:1024].decode(errors="replace").split())
        status = Status(message=f"the server answered {code}: {text[:256]}" if text else f"the server answered {code}")
    return from_status(status, code, retry_after_seconds)


def not_found(plural: str, name: str) -> NotFound:
    """Return what the API answers for a core object that does not exist."""
    return NotFound(404, "NotFound", f'{plural} "{name}" not found', StatusDetails(kind=plural, name=name))
