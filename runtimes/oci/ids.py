"""Users and groups as numbers. Pure: whatever an image calls its accounts, a number means that id and nothing else."""

import re

from runtimes import errors

MAX_ID = 2**31 - 1

# as the programs that write images read them: a sign and leading zeros are still a number ("+0" and "-0" are root)
_NUMBER = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS = 18  # fits 64 bits; nothing longer is an id, and it is not worth computing


def as_number(text: str) -> int | None:
    """The number that a user or group is written as; None: it is a name, or longer than any id."""
    if not _NUMBER.fullmatch(text) or len(text.lstrip("+-0")) > _MOST_DIGITS:
        return None
    digits = int(text.lstrip("+-0") or "0")
    return -digits if text.startswith("-") else digits


def as_id(text: str) -> int | None:
    """The id that a request or an image means by `text`; None: a name. Raises InvalidArgument for a number that is no id.

    Such a number is not looked up as a name either: an image could have an account of that name.
    """
    if not _NUMBER.fullmatch(text):
        return None
    value = as_number(text)
    if value is None:
        raise errors.InvalidArgument(f"uids and gids must be in range 0-{MAX_ID}, not {text[:40]}")
    return checked(value)


def checked(value: int) -> int:
    """Raises InvalidArgument."""
    if not 0 <= value <= MAX_ID:
        raise errors.InvalidArgument(f"uids and gids must be in range 0-{MAX_ID}, not {value}")
    return value


def of_file(text: str) -> int | None:
    """The id in a line of passwd or group; None: the line has none that could be meant, and is no account."""
    if not (text.isascii() and text.isdigit()):
        return None
    value = as_number(text)
    return value if value is not None and value <= MAX_ID else None
