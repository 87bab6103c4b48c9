"""What a fleet is to be, and what its nodes are told."""

from typing import Any

import pytest
import typer

from nodeagent.cli import hollow
from nodeagent.hollow.node import runtime_options
from nodeagent.hollow.settings import FLEET_LABEL, FleetSettings
from nodeagent.hollow.workload import pod_of
from runtimes.hollow.factory import hollow_runtime
from runtimes.hollow.runtime import HollowSettings


def test_pods_are_spread_evenly_and_named_after_their_nodes() -> None:
    """So a fleet of the same settings has the same pods in the same places: their fates repeat."""
    settings = FleetSettings(nodes=3, pods=7, name="f")
    placed = [settings.pods_of(node) for node in range(3)]
    assert placed == [("f-0-0", "f-0-1", "f-0-2"), ("f-1-0", "f-1-1"), ("f-2-0", "f-2-1")]
    assert settings.most_pods == 3
    pod = pod_of(settings, 2, "f-2-1")
    assert pod.spec is not None
    assert pod.metadata is not None
    assert (pod.spec.nodeName, pod.metadata.labels) == ("f-2", {FLEET_LABEL: "f"})


def test_nodes_differ_and_repeat() -> None:
    """Each has a seed of its own, made of the fleet's; the runtime takes what it is told."""
    runtime = HollowSettings(seed="5", failures=0.1, crashes=0.2)
    options = [runtime_options(runtime, name) for name in ("f-0", "f-1")]
    assert options[0]["seed"] != options[1]["seed"]
    assert runtime_options(runtime, "f-0") == options[0]
    assert hollow_runtime("hollow", {"options": options[0]}).handler == "hollow"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"keep": True}, "goes with the fleet"),
        ({"name": "Hollow"}, "Hollow-0"),
        ({"name": "x" * 62}, "x-0"),
    ],
)
def test_mistakes_are_told_before_anything_starts(given: dict[str, Any], told: str) -> None:
    """A fleet that could not be is refused, with what is wrong of it."""
    with pytest.raises(typer.BadParameter, match=told):
        hollow.run(FleetSettings(nodes=1, **given), "", "")


def test_pods_are_given_in_one_way() -> None:
    """As many a node, or as many in all; not both. Neither is none."""
    assert (hollow.all_pods(3, None, 5), hollow.all_pods(3, 5, None), hollow.all_pods(3, None, None)) == (15, 5, 0)
    with pytest.raises(typer.BadParameter):
        hollow.all_pods(3, 5, 5)


@pytest.mark.parametrize("text", ["", "many", "0", "-1Gi"])
def test_memory_is_an_amount(text: str) -> None:
    """More than nothing, as Kubernetes writes it."""
    with pytest.raises(typer.BadParameter):
        hollow.memory_bytes(text)
