"""A pod against the Pod Security Standards, as the admission plugin of Kubernetes 1.36 (or an older one) judges it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.isolation.standards import baseline, restricted
from nodeagent.isolation.standards.control import Level, PodView, Version, Violation

LATEST: Version = (1, 36)
CONTROLS = (*baseline.CONTROLS, *restricted.CONTROLS)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`level`: the strictest that the pod meets. `violations`: of baseline's controls, then of restricted's others."""

    level: Level
    violations: tuple[Violation, ...]


def judge(pod: Mapping[str, Any], version: Version = LATEST) -> Judgement:
    """Of a Pod as it is written, before any default is filled in. What two controls say alike is told once.

    Capabilities of a pod in a user namespace are judged as any pod's: no version is known to let go of them.
    """
    view = PodView(pod, version)
    found: list[Violation] = []
    for control in CONTROLS:
        violated = control.check(view) if version >= control.since else None
        if violated is None:
            continue
        reason, detail, places = violated
        if (reason, detail) not in [(each.reason, each.detail) for each in found]:
            found.append(Violation(control.id, control.level, reason, detail, tuple(place.path for place in places)))
    levels = {violation.level for violation in found}
    if Level.BASELINE in levels:
        return Judgement(Level.PRIVILEGED, tuple(found))
    return Judgement(Level.BASELINE if found else Level.RESTRICTED, tuple(found))
