"""Credentials in configurations of plugins: struck out where people read them. Pure."""

import json
import re
from typing import Any, Final

HIDDEN: Final = "***"
_TELLING: Final = re.compile(r"pass(word|wd|phrase)?$|secret|token|credential|private_?key|api_?key", re.IGNORECASE)


def struck_out(text: bytes) -> str:
    """JSON, on one line, with the values of telling keys replaced; what is no JSON as it is, as far as it is text."""
    try:
        return json.dumps(_without(json.loads(text)))
    except (ValueError, RecursionError):
        return text.decode(errors="replace")


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: HIDDEN if _TELLING.search(str(key)) else _without(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(each) for each in value]
    return value
