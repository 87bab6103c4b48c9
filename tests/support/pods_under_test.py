"""Pods of a node under test: how to write them with few words, and how to look at one in whole values."""

from collections.abc import Callable
from typing import Any

from node_under_test import DEMO_IMAGE, NodeUnderTest, eventually

# A process that ends by SIGTERM at once, with 0, and until then sleeps.
STAYS = ("sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait")


def container(name: str, *command: str, **fields: Any) -> dict[str, Any]:
    """A container of the demo image; without a command it stays."""
    return {"name": name, "image": DEMO_IMAGE, "command": list(command or STAYS), **fields}


def shell(name: str, script: str, **fields: Any) -> dict[str, Any]:
    return container(name, "sh", "-c", script, **fields)


def make_pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod of these containers, by default one `c` that stays. `metadata` goes to the pod's metadata."""
    metadata = {"name": name, **spec.pop("metadata", {})}
    spec = {"containers": list(containers or (container("c"),)), "automountServiceAccountToken": False, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def finished(pod: dict[str, Any]) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def status_of(pod: dict[str, Any], name: str = "c") -> dict[str, Any]:
    """The status of one container of any kind; empty while there is none."""
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    every = [item for key in lists for item in pod["status"].get(key, [])]
    return next((item for item in every if item["name"] == name), {})


def state_of(pod: dict[str, Any], name: str = "c") -> tuple[str, str, Any]:
    """What a container does: its state, the state's reason, and its message, or its exit code when it has ended."""
    state: dict[str, Any] = status_of(pod, name).get("state", {})
    for kind, found in state.items():
        return kind, found.get("reason", ""), found["exitCode"] if kind == "terminated" else found.get("message", "")
    return "", "", ""


def waits_for(*reasons: str, name: str = "c") -> Callable[[dict[str, Any]], bool]:
    return lambda pod: state_of(pod, name)[:2] in [("waiting", reason) for reason in reasons]


def restarted(count: int = 1, name: str = "c") -> Callable[[dict[str, Any]], bool]:
    return lambda pod: status_of(pod, name).get("restartCount", 0) >= count


def conditions(pod: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Type -> (status, reason, message), in the order of the status."""
    return {
        item["type"]: (item["status"], item.get("reason", ""), item.get("message", ""))
        for item in pod["status"].get("conditions", [])
    }


Told = tuple[str, str, str, str]


def told(node: NodeUnderTest, name: str, *, component: str = "kubelet") -> list[Told]:
    """(type, reason, message, field path) of the node's events about a pod, in the order in which they first happened."""
    items = node.events_of(involvedObject_name=name, involvedObject_kind="Pod")
    items = [item for item in items if item["source"].get("component") == component]
    items.sort(key=lambda item: item["metadata"]["name"].rpartition(".")[2])  # ends in the time, as fixed-width hex
    return [
        (item["type"], item["reason"], item["message"], item["involvedObject"].get("fieldPath", "")) for item in items
    ]


def tells_of(node: NodeUnderTest, name: str, *expected: Told) -> None:
    """These come to be among the events of a pod, whose way to the API may be longer than that of its status."""
    eventually(lambda: set(expected) <= set(told(node, name)), f"{expected} among the events of {name}")


def tells(node: NodeUnderTest, name: str, expected: list[Told]) -> None:
    """The events of a pod come to be exactly these, in this order."""
    try:
        eventually(lambda: told(node, name) == expected, f"events of {name}", 20)
    except AssertionError:
        assert told(node, name) == expected


def field(name: str, kind: str = "containers") -> str:
    return f"spec.{kind}{{{name}}}"


PRESENT = f'Container image "{DEMO_IMAGE}" already present on machine and can be accessed by the pod'


def begun(name: str, kind: str = "containers") -> list[Told]:
    """The events of a container that starts with an image that is there."""
    return [
        ("Normal", "Pulled", PRESENT, field(name, kind)),
        ("Normal", "Created", "Container created", field(name, kind)),
        ("Normal", "Started", "Container started", field(name, kind)),
    ]


def log_of(node: NodeUnderTest, pod: str, name: str = "c", number: int = 0) -> str:
    """A container's log file without prefixes; empty while there is none."""
    try:
        return node.container_log(pod, name, number)
    except (OSError, StopIteration):
        return ""


def log_when(node: NodeUnderTest, pod: str, check: Callable[[str], Any], name: str = "c", number: int = 0) -> str:
    found: str = eventually(
        lambda: text if check(text := log_of(node, pod, name, number)) else "", f"log of {pod}/{name}"
    )
    return found
