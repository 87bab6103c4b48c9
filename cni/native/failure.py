"""Why a command failed, in the specification's codes (docs/facts/network.md 3.1)."""

from enum import IntEnum


class Code(IntEnum):
    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    INVALID_ENVIRONMENT = 4
    IO = 5
    DECODING = 6
    INVALID_CONFIG = 7
    INVALID_NAMESPACE = 8
    TRY_AGAIN = 11
    NOT_AVAILABLE = 50
    LIMITED_CONNECTIVITY = 51
    INTERNAL = 999


class Failure(Exception):
    """What the plugin answers instead of a result."""

    def __init__(self, message: str, *, code: Code = Code.INTERNAL, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = details
