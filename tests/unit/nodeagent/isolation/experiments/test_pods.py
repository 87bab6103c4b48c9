"""The specs of experiments' pods."""

from nodeagent.isolation.contract import PodRequest
from nodeagent.isolation.experiments.pods import arguments, limited, scratch, unlimited
from nodeagent.isolation.profiles import pod_of

HEAVY = {"container": {"resources": {"limits": {"cpu": "3"}, "requests": {"cpu": "3", "memory": "9Gi"}}}}


def container(changes: object) -> dict[str, object]:
    request = PodRequest(name="p", arguments=("stay", ""), changes=changes)  # type: ignore[arg-type]
    found: dict[str, object] = pod_of(request, image="i", profile=HEAVY)["spec"]["containers"][0]
    return found


def test_limits_and_what_is_asked_for() -> None:
    """Little, so that several fit on a small machine, whatever the profile asks for; None takes a limit away."""
    found = container(limited(scratch(), cpu=None, memory="64Mi", share="100m"))
    assert found["resources"] == {
        "limits": {"memory": "64Mi", "ephemeral-storage": "256Mi"},
        "requests": {"cpu": "100m", "memory": "16Mi", "ephemeral-storage": "1Mi"},
    }
    assert found["volumeMounts"] == [{"name": "scratch", "mountPath": "/scratch"}]


def test_no_limits_at_all() -> None:
    """A pod of the class BestEffort."""
    assert "resources" not in container(unlimited(scratch()))


def test_one_argument_with_parts() -> None:
    assert arguments("grow-file", 48, 1000, "/a") == ("grow-file", "48:1000:/a")
