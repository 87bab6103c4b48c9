"""The pods that faults strike, and what is promised of each: the status it comes to, and how often its processes may begin."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node_under_test import DEMO_IMAGE, free_port

from tests.crash.crash_node import CrashNode

# a line for every time the container runs; then what it is for
_NOTE = 'echo x >> "/ran/$POD.{name}"; '
_WAIT = "trap 'exit 0' TERM; sleep 100000 & wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`ends`: what the status must come to. `once`: containers whose process begins exactly once when nothing fails."""

    name: str
    build: Callable[[CrashNode, str], dict[str, Any]]
    ends: Callable[[dict[str, Any]], bool]
    once: tuple[str, ...]
    points: frozenset[str] = frozenset()  # besides the common ones
    static: bool = False


def container(name: str, script: str, **more: Any) -> dict[str, Any]:
    mounts = [{"name": "ran", "mountPath": "/ran"}, *more.pop("volumeMounts", [])]
    return {
        "name": name,
        "image": DEMO_IMAGE,
        "command": ["sh", "-c", _NOTE.format(name=name) + script],
        "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "volumeMounts": mounts,
        **more,
    }


def pod(node: CrashNode, name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    volumes = [{"name": "ran", "hostPath": {"path": str(node.ran_dir)}}, *spec.pop("volumes", [])]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "containers": list(containers),
            "volumes": volumes,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 2,
            **spec,
        },
    }


def _plain(node: CrashNode, name: str) -> dict[str, Any]:
    return pod(node, name, container("c", _WAIT))


def _multi(node: CrashNode, name: str) -> dict[str, Any]:
    side = container("side", _WAIT, restartPolicy="Always")
    return pod(
        node,
        name,
        container("one", _WAIT),
        container("two", _WAIT),
        initContainers=[container("init", "exit 0"), side],
    )


def _volumes(node: CrashNode, name: str) -> dict[str, Any]:
    mounts = [{"name": "empty", "mountPath": "/empty"}, {"name": "settings", "mountPath": "/settings"}]
    ports = [{"containerPort": 80, "hostPort": free_port()}]
    return pod(
        node,
        name,
        container("c", "test -f /settings/key && touch /empty/x; " + _WAIT, volumeMounts=mounts, ports=ports),
        volumes=[
            {"name": "empty", "emptyDir": {"medium": "Memory"}},
            {"name": "settings", "configMap": {"name": "settings"}},
        ],
        automountServiceAccountToken=True,
    )


def _claim(node: CrashNode, name: str) -> dict[str, Any]:
    """Its claim is bound to a disk of its own."""
    node.claim(name)
    mounts = [{"name": "data", "mountPath": "/data"}]
    return pod(
        node,
        name,
        container("c", "echo x > /data/file && " + _WAIT, volumeMounts=mounts),
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
    )


def _hooks(node: CrashNode, name: str) -> dict[str, Any]:
    lifecycle = {
        "postStart": {"exec": {"command": ["sleep", "0.2"]}},
        "preStop": {"exec": {"command": ["sh", "-c", 'sleep 0.2; echo x >> "/ran/$POD.stopped"']}},
    }
    return pod(node, name, container("c", _WAIT, lifecycle=lifecycle), terminationGracePeriodSeconds=5)


def _crash(node: CrashNode, name: str) -> dict[str, Any]:
    return pod(node, name, container("c", "exit 3"))


def _job(node: CrashNode, name: str) -> dict[str, Any]:
    return pod(node, name, container("c", "sleep 0.3; exit 0"), restartPolicy="Never")


def _gvisor(node: CrashNode, name: str) -> dict[str, Any]:
    return pod(node, name, container("c", _WAIT), runtimeClassName="gvisor")


def _pull(node: CrashNode, name: str) -> dict[str, Any]:
    """Its image is one that the node has never seen."""
    return pod(node, name, container("c", _WAIT) | {"image": node.registry.new_image(name)})


def is_ready(found: dict[str, Any]) -> bool:
    conditions = found["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _in_crash_loop(found: dict[str, Any]) -> bool:
    for status in found["status"].get("containerStatuses", []):
        if status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff":
            return bool(status["restartCount"] >= 1)
    return False


def _succeeded(found: dict[str, Any]) -> bool:
    return bool(found["status"].get("phase") == "Succeeded")


_CLAIMS = frozenset({"claim", "hold", "stage", "publish", "unpublish", "unstage", "release"})
_HOOKS = frozenset({"post-start", "pre-stop"})
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="plain", build=_plain, ends=is_ready, once=("c",)),
        Scenario(name="multi", build=_multi, ends=is_ready, once=("init", "side", "one", "two")),
        Scenario(
            name="volumes", build=_volumes, ends=is_ready, once=("c",), points=frozenset({"empty-dir", "config-map"})
        ),
        Scenario(name="claim", build=_claim, ends=is_ready, once=("c",), points=_CLAIMS),
        Scenario(name="hooks", build=_hooks, ends=is_ready, once=("c",), points=_HOOKS),
        Scenario(name="crash", build=_crash, ends=_in_crash_loop, once=(), points=frozenset({"exit", "exit-cleared"})),
        Scenario(name="job", build=_job, ends=_succeeded, once=("c",), points=frozenset({"exit", "exit-cleared"})),
        Scenario(name="static", build=_plain, ends=is_ready, once=("c",), static=True),
        Scenario(name="pull", build=_pull, ends=is_ready, once=("c",)),
        Scenario(name="gvisor", build=_gvisor, ends=is_ready, once=("c",)),
    )
}


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """A status without what differs from run to run: ids, times, addresses and counts."""
    status = found["status"]

    def kind(state: dict[str, Any] | None) -> tuple[Any, ...]:
        for name, value in (state or {}).items():
            return name, value.get("reason"), value.get("exitCode")
        return ()

    def container_of(item: dict[str, Any]) -> tuple[Any, ...]:
        return item["name"], item["ready"], item.get("started"), kind(item["state"])

    return {
        "phase": status.get("phase"),
        "reason": status.get("reason"),
        "conditions": sorted(
            (item["type"], item["status"], item.get("reason"), item.get("message")) for item in status["conditions"]
        ),
        "containers": [container_of(item) for item in status.get("containerStatuses", [])],
        "init": [container_of(item) for item in status.get("initContainerStatuses", [])],
        "qosClass": status.get("qosClass"),
        "has an address": bool(status.get("podIP")),
        "startTime": bool(status.get("startTime")),
    }
