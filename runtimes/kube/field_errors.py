"""What is wrong with one field of an object, in the words and kinds of the Kubernetes API.

Clients decide by the `reason` of a cause, people read its message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from typing_extensions import override

MAX_CAUSE_VALUE = 4096
"""A bad value longer than this many characters is cut in a message."""


class ErrorType(Enum):
    """Kind of a field error: (reason of its cause in `details`, words in front of the value)."""

    REQUIRED = ("FieldValueRequired", "Required value")
    INVALID = ("FieldValueInvalid", "Invalid value")
    NOT_SUPPORTED = ("FieldValueNotSupported", "Unsupported value")
    DUPLICATE = ("FieldValueDuplicate", "Duplicate value")
    NOT_FOUND = ("FieldValueNotFound", "Not found")
    FORBIDDEN = ("FieldValueForbidden", "Forbidden")
    TOO_LONG = ("FieldValueTooLong", "Too long")
    TOO_MANY = ("FieldValueTooMany", "Too many")

    @property
    def reason(self) -> str:
        return self.value[0]

    @property
    def title(self) -> str:
        return self.value[1]


_WITHOUT_VALUE = frozenset({ErrorType.REQUIRED, ErrorType.FORBIDDEN, ErrorType.TOO_LONG, ErrorType.TOO_MANY})


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One thing wrong with one field.

    `field` is a path such as `spec.containers[0].image`; `value` is any JSON value (ignored by the kinds of error
    that show none); `detail` is the sentence after it, may be empty.
    """

    type: ErrorType
    field: str
    value: Any = None
    detail: str = ""

    @property
    def body(self) -> str:
        """The message without the path: `Invalid value: "x": why`."""
        title = self.type.title
        if self.type in _WITHOUT_VALUE:
            return f"{title}: {self.detail}" if self.detail else title
        head = f"{title}: {render_value(self.value)}"
        return f"{head}: {self.detail}" if self.detail else head

    @override
    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def render_value(value: Any) -> str:
    """A bad value as messages show it: JSON; strings in double quotes; null as `null`."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_CAUSE_VALUE else text[:MAX_CAUSE_VALUE] + "…"


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(type=ErrorType.REQUIRED, field=field, detail=detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(type=ErrorType.INVALID, field=field, value=value, detail=detail)


def not_supported(field: str, value: Any, supported: Sequence[str]) -> FieldError:
    """`supported` is shown in the order given."""
    detail = "supported values: " + ", ".join(render_value(s) for s in supported) if supported else ""
    return FieldError(type=ErrorType.NOT_SUPPORTED, field=field, value=value, detail=detail)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(type=ErrorType.DUPLICATE, field=field, value=value)


def not_found(field: str, value: Any) -> FieldError:
    return FieldError(type=ErrorType.NOT_FOUND, field=field, value=value)


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError(type=ErrorType.FORBIDDEN, field=field, detail=detail)


def too_long(field: str, max_bytes: int) -> FieldError:
    return FieldError(type=ErrorType.TOO_LONG, field=field, detail=f"may not be more than {max_bytes} bytes")


def too_many(field: str, count: int, max_items: int) -> FieldError:
    """Rendered `Too many: N: must have at most M items`."""
    noun = "item" if max_items == 1 else "items"
    return FieldError(type=ErrorType.TOO_MANY, field=field, detail=f"{count}: must have at most {max_items} {noun}")
