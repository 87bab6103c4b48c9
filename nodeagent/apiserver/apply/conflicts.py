"""Fields that an apply would change although others own them."""

from collections.abc import Mapping

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.apply.managers import Manager
from nodeagent.apiserver.apply.sets import Fields
from nodeagent.apiserver.errors import ApiError


class Conflict(Exception):
    """`fields`: what each other manager would lose."""

    def __init__(self, fields: Mapping[Manager, Fields]) -> None:
        super().__init__("conflict")
        self.fields = fields

    def as_error(self) -> ApiError:
        """409 with a cause a field."""
        managers = sorted(self.fields, key=lambda manager: manager.identifier)
        found = [(manager, sets.readable(path)) for manager in managers for path in sets.paths(self.fields[manager])]
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager.shown}", "field": path}
            for manager, path in found
        ]
        return ApiError(409, "Conflict", _message(found), details={"causes": causes})


def _message(found: list[tuple[Manager, str]]) -> str:
    if len(found) == 1:
        manager, path = found[0]
        return f"Apply failed with 1 conflict: conflict with {manager.shown}: {path}"
    lines = []
    for manager in dict.fromkeys(manager for manager, _ in found):
        lines.append(f"conflicts with {manager.shown}:")
        lines += [f"- {path}" for other, path in found if other == manager]
    return f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
