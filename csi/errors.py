"""What can go wrong with a CSI call. The class says what the caller may do; `code` is the gRPC code it came from.

    CSIError
      Unreachable           nobody listens: the request was not sent, what was before still holds. Try again
      Uncertain             it may be done, half done, or still going on: the same call again, or its counterpart to undo it
        Pending             the driver is at work on this volume (ABORTED)
        Exhausted           no room, no quota, too many volumes on the node (RESOURCE_EXHAUSTED): try again after making room
        Timeout             the deadline passed (DEADLINE_EXCEEDED)
        Unavailable         the driver cannot now, was cut off or has been restarted (UNAVAILABLE, CANCELLED)
        BadAnswer           it answered what CSI does not allow
      Final                 the driver has said no, and nothing of this call is going on
        InvalidArgument     the request can never work as it stands
        NotFound            no such volume, node or snapshot. Often fine for a call that takes down
        AlreadyExists       it is there, made in a way that does not agree with the request
        WrongState          it is in use, not staged, or lacks what is asked for (FAILED_PRECONDITION)
        OutOfRange          a size that the driver cannot give; an expansion must not be asked for again
        NotSupported        the driver has no such call (UNIMPLEMENTED)
        Denied              the credentials are missing or refused (UNAUTHENTICATED, PERMISSION_DENIED)
        DriverFault         any other code: the driver has failed in a way that CSI does not name

Which codes are uncertain and which final is what node agents have agreed on (docs/facts/storage.md 10.4).
"""

from collections.abc import Iterable
from typing import ClassVar

# A driver may answer megabytes. What stands before is what people read.
_MAX_TEXT = 1024
HIDDEN = "***"


class CSIError(Exception):
    """Base of all errors of this package.

    `method` is the call ("NodeStageVolume"), `message` the driver's own words, bounded, in one line, and without the secrets
    that were in the request.
    """

    codes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, *, method: str = "", code: str = "") -> None:
        super().__init__(f"{method}: {message}" if method else message)
        self.message = message
        self.method = method
        self.code = code or (self.codes[0] if self.codes else "UNKNOWN")


class Unreachable(CSIError):
    """Nobody answers at the endpoint."""

    codes = ("UNAVAILABLE",)


class Uncertain(CSIError):
    """Whether the call has had its effect is not known."""


class Pending(Uncertain):
    """An operation on the same volume is under way."""

    codes = ("ABORTED",)


class Exhausted(Uncertain):
    """There is no room for it."""

    codes = ("RESOURCE_EXHAUSTED",)


class Timeout(Uncertain):
    """No answer within the deadline."""

    codes = ("DEADLINE_EXCEEDED",)


class Unavailable(Uncertain):
    """The driver cannot now, or went away while it was at work."""

    codes = ("UNAVAILABLE", "CANCELLED")


class BadAnswer(Uncertain):
    """The answer cannot be read, or lacks what every answer of its kind has."""


class Final(CSIError):
    """The driver has refused."""


class InvalidArgument(Final):
    """A field is missing, or has a value that the driver does not take."""

    codes = ("INVALID_ARGUMENT",)


class NotFound(Final):
    """There is no volume, node or snapshot of that id."""

    codes = ("NOT_FOUND",)


class AlreadyExists(Final):
    """What is there does not agree with the request."""

    codes = ("ALREADY_EXISTS",)


class WrongState(Final):
    """Something else has to be done first."""

    codes = ("FAILED_PRECONDITION",)


class OutOfRange(Final):
    """A size, or a token, outside of what there is."""

    codes = ("OUT_OF_RANGE",)


class NotSupported(Final):
    """The driver does not have the call."""

    codes = ("UNIMPLEMENTED",)


class Denied(Final):
    """The secrets that go with the call do not allow it."""

    codes = ("UNAUTHENTICATED", "PERMISSION_DENIED")


class DriverFault(Final):
    """INTERNAL, UNKNOWN, DATA_LOSS, and codes that are none."""

    codes = ("INTERNAL", "UNKNOWN", "DATA_LOSS")


_CLASSES: dict[str, type[CSIError]] = {
    code: kind
    for kind in (
        *(Pending, Exhausted, Timeout, Unavailable, InvalidArgument, NotFound),
        *(AlreadyExists, WrongState, OutOfRange, NotSupported, Denied, DriverFault),
    )
    for code in kind.codes
}
# names of codes in Go that are not the words in camel case
_GO = {"CANCELLED": "Canceled", "OK": "OK"}


def of_status(code: str, details: str, *, method: str, secrets: Iterable[str] = ()) -> CSIError:
    """The error that a gRPC status is. `secrets`: values that `details` must not repeat."""
    return _CLASSES.get(code, DriverFault)(presentable(details, secrets) or code, method=method, code=code)


def as_go(error: CSIError) -> str:
    """`rpc error: code = FailedPrecondition desc = ...`, as Go's gRPC writes a status: what users, and who looks for the text of
    an event, know.
    """
    return f"rpc error: code = {code_as_go(error.code)} desc = {error.message}"


def code_as_go(code: str) -> str:
    """A gRPC code as Go writes it: `DEADLINE_EXCEEDED` as `DeadlineExceeded`."""
    return _GO.get(code) or "".join(word.title() for word in code.split("_"))


def presentable(text: str, secrets: Iterable[str] = ()) -> str:
    """A stranger's text for a log line or an event: short, in one line, without `secrets`."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = "".join(char if char.isprintable() else " " for char in text[: 2 * _MAX_TEXT]).strip()
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
