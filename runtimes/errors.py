"""Errors of a runtime. The class says what the caller may do; adapters translate foreign errors at the boundary.

Each class carries the gRPC status code it corresponds to, so that the engine can be served on a CRI socket and a CRI
endpoint's answers can be raised here, one to one.
"""

from typing import ClassVar


class RuntimeFault(Exception):
    """Base of all errors of a runtime. `reason` is a short CamelCase word for a container's or pod's status, or empty."""

    grpc_code: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class InvalidArgument(RuntimeFault):
    """The request can never work as it stands."""

    grpc_code = "INVALID_ARGUMENT"


class NotSupported(RuntimeFault):
    """This runtime, or this host, cannot do that."""

    grpc_code = "UNIMPLEMENTED"


class NotFound(RuntimeFault):
    """No such sandbox, container or image. Often fine when removing or stopping."""

    grpc_code = "NOT_FOUND"


class AlreadyExists(RuntimeFault):
    """The name is taken by another object."""

    grpc_code = "ALREADY_EXISTS"


class WrongState(RuntimeFault):
    """The object exists, but not in a state in which the verb makes sense (exec in a stopped container)."""

    grpc_code = "FAILED_PRECONDITION"


class Unavailable(RuntimeFault):
    """The runtime cannot be reached or is not ready; try again."""

    grpc_code = "UNAVAILABLE"


class StateInUse(Unavailable):
    """The runtime's state on disk belongs to another process that is running."""


class Timeout(RuntimeFault):
    """A deadline passed; whether the work was done is unknown. Try again."""

    grpc_code = "DEADLINE_EXCEEDED"


class ResourceExhausted(RuntimeFault):
    """Disk full, too many streams, out of ids; try again after making room."""

    grpc_code = "RESOURCE_EXHAUSTED"


class Internal(RuntimeFault):
    """A program below us failed in a way nobody foresaw; the message carries what it said."""

    grpc_code = "INTERNAL"
