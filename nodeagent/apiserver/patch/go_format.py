"""Values as Go prints them with `%+v`: how a bad patch is shown back to its author."""

from typing import Any


def go_format(value: Any) -> str:
    """`map[a:1 b:[x y]]` with sorted keys; null is `<nil>`."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_format(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_format(item) for item in value) + "]"
    return str(value)
