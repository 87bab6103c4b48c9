"""JSON merge patch, RFC 7386."""

from typing import Any


def apply(document: Any, patch: Any) -> Any:
    """`document` with `patch` merged in: null deletes, lists and scalars replace. Shares what did not change."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result
