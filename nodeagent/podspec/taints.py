"""Whether a pod's tolerations let it be on a node with these taints."""

from collections.abc import Collection, Iterable, Sequence

from lightkube.models.core_v1 import Taint, Toleration


def untolerated(taints: Iterable[Taint], tolerations: Sequence[Toleration], effects: Collection[str]) -> Taint | None:
    """The first taint with one of these effects that no toleration covers."""
    return next((taint for taint in taints if taint.effect in effects and not tolerates(tolerations, taint)), None)


def tolerates(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """Whether one of the tolerations covers the taint; an empty effect covers all effects, an empty key all keys."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator or "Equal":
        case "Exists":
            return True
        case "Equal":
            # an empty key goes with Exists only, as validation has it
            return bool(toleration.key) and (toleration.value or "") == (taint.value or "")
    return False
