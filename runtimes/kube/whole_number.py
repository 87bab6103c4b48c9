"""Whole numbers in untrusted text.

Python's `int` takes more than any protocol: signs, underscores, spaces, digits of every script (`isdigit` says yes to "²", which
is none), and it refuses more than 4300 digits with the ValueError that nobody expects there.
"""

MAX_DIGITS = 19
"""Of what an int64 holds."""
_DIGITS = {10: frozenset("0123456789"), 16: frozenset("0123456789abcdefABCDEF")}


def whole_number(text: str | bytes, base: int = 10) -> int | None:
    """The value of ASCII digits and nothing else; None for anything that is no such number, or longer than an int64's."""
    shown = text.decode("latin-1") if isinstance(text, bytes) else text
    if not shown or len(shown) > MAX_DIGITS or not _DIGITS[base].issuperset(shown):
        return None
    return int(shown, base)
