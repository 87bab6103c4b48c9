"""nodeagent.resources.containers: what a pod's containers need together, and hand on."""

from fractions import Fraction
from typing import Any

from pod_builders import pod, sidecar

from nodeagent.podspec.effective import Amounts
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.containers import in_order, needed_at_once, reusable


def phases() -> AgentPod:
    """An ordinary init container, a sidecar, another ordinary one; a regular container."""
    return pod({}, init=[{}, sidecar(), {}])


def test_needed_at_once() -> None:
    """The peak of the start, where a sidecar runs beside what follows it; of one container its own."""
    wanted, sizes = phases(), {"i0": 5, "i1": 1, "i2": 3, "c0": 2}

    def of(item: Any) -> Amounts:
        return {"x": Fraction(sizes[item.name])}

    listed = in_order(wanted)
    assert [item.name for item in listed] == ["i0", "i1", "i2", "c0"]
    assert needed_at_once(wanted, listed, of) == {"x": 5}
    sizes["i2"] = 6
    assert needed_at_once(wanted, listed, of) == {"x": 7}
    assert needed_at_once(wanted, listed[2:3], of) == {"x": 6}


def test_reusable() -> None:
    """What ordinary init containers have, without what a sidecar or a container has taken over."""
    held = {"i0": frozenset("abc"), "i1": frozenset("bz"), "c0": frozenset("c")}
    assert reusable(phases(), held) == {"a"}
