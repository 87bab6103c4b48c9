"""Texts of plugins and drivers, which are hostile, made fit to be shown. Pure."""

import re
from typing import Final

# what XML 1.0 cannot hold, what moves a terminal's cursor, and what makes text run the other way
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    """Control characters but tabs and line feeds become U+FFFD, those of the direction of writing too."""
    return _CONTROL.sub("�", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    return " ".join(printable(text).split())
