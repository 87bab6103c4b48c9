"""What was found out about one requirement."""

import enum
from dataclasses import asdict, dataclass


class State(enum.StrEnum):
    """DEGRADED: pods run, but something that they may ask for does not work."""

    FOUND = "found"
    DEGRADED = "degraded"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`required`: without it no pod can run. `fix`: what the operator can do; empty when nothing is wrong."""

    group: str
    name: str
    state: State
    detail: str = ""
    fix: str = ""
    required: bool = True

    @property
    def fatal(self) -> bool:
        return self.required and self.state is State.MISSING

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "state": self.state.value}


def found(group: str, name: str, detail: str = "") -> Finding:
    return Finding(group=group, name=name, state=State.FOUND, detail=detail)


def missing(group: str, name: str, detail: str, fix: str) -> Finding:
    """A requirement that is not met: no pod can run."""
    return Finding(group=group, name=name, state=State.MISSING, detail=detail, fix=fix)


def absent(group: str, name: str, detail: str, fix: str) -> Finding:
    """Something that is not there and that most pods do without."""
    return Finding(group=group, name=name, state=State.MISSING, detail=detail, fix=fix, required=False)


def degraded(group: str, name: str, detail: str, fix: str = "") -> Finding:
    return Finding(group=group, name=name, state=State.DEGRADED, detail=detail, fix=fix, required=False)
