"""The document that the page shows, from what was seen. Pure. Texts are as they were found: the page shows them as text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from lightkube.models.core_v1 import Node, Pod

from nodeagent.cli.dashboard.history import History
from nodeagent.cli.dashboard.surroundings import Surroundings
from nodeagent.cli.pod_row import pod_row
from nodeagent.cli.status import node_row
from nodeagent.cli.top_view import node_document
from nodeagent.cli.usage import NodeUse, PodUse

# the parts of an agent that are a runtime each, and those that are called alike
_PART_PREFIX = "runtime "
_NO_RUNTIMES = ("runtime monitor", "runtime classes")


def document(
    use: NodeUse, pods: Sequence[Pod], history: History, around: Surroundings, seen_at: datetime
) -> dict[str, object]:
    """`node` is what `nodeagent top` tells of it; `…_unknown`: why something is not known. The page names the rest."""
    return {
        "seen_at": seen_at.timestamp(),
        "node": node_document(use),
        "about": _about(around.node, seen_at),
        "history": history.node(),
        "pods": _pods(use, pods, history, seen_at),
        "runtimes": _runtimes(around, pods),
        "troubles": [
            {"name": part.name, "state": part.state, "reason": part.reason}
            for part in around.parts
            if part.state not in ("running", "skipped")
        ],
        "parts_unknown": around.parts_unknown,
        "events": [asdict(event) for event in around.events],
        "events_unknown": around.events_unknown,
        "volumes": _volumes(use.pods),
    }


def _about(node: Node, now: datetime) -> dict[str, object]:
    """The one line about what the node is."""
    if node.metadata is None:
        return {}
    row, info = node_row(node, now), node.status.nodeInfo if node.status else None
    words = [row.address, f"Kubernetes {row.version}"]
    if info is not None:
        words += [info.osImage, f"Linux {info.kernelVersion}", info.architecture]
    return {"words": [*filter(None, words), f"{row.age} old"], "message": "" if row.ready else row.message}


def _pods(use: NodeUse, pods: Sequence[Pod], history: History, now: datetime) -> list[dict[str, object]]:
    """All that the API or the node knows of."""
    used = {(each.namespace, each.name): each for each in use.pods}
    found: list[dict[str, object]] = []
    for pod in pods:
        row = pod_row(pod, now)
        key = row.namespace, row.name
        runtime = (pod.spec.runtimeClassName if pod.spec else None) or ""
        shown = {"ready": row.ready, "status": row.status, "restarts": row.restarts, "age": row.age, "runtime": runtime}
        found.append({"namespace": key[0], "name": key[1]} | shown | _figures(used.pop(key, None), history, key))
    blank = {"ready": "", "status": "not in the API", "restarts": 0, "age": "", "runtime": ""}
    for key, each in used.items():
        found.append({"namespace": key[0], "name": key[1]} | blank | _figures(each, history, key))
    return found


def _figures(use: PodUse | None, history: History, key: tuple[str, str]) -> dict[str, object]:
    cpu, memory = history.pod(key)
    return {
        "cpu_millicores": use.cpu_millicores if use else None,
        "memory_bytes": use.memory_bytes if use else None,
        "disk_bytes": use.disk_bytes if use else None,
        "processes": use.processes if use else None,
        "cpu": cpu,
        "memory": memory,
    }


def _runtimes(around: Surroundings, pods: Sequence[Pod]) -> list[dict[str, object]]:
    """The node's handlers, and what its agent says of each. `pods`: those that ask for it by a class of its name."""
    status = around.node.status
    handlers = (status.runtimeHandlers if status else None) or []
    parts = {
        part.name.removeprefix(_PART_PREFIX): part
        for part in around.parts
        if part.name.startswith(_PART_PREFIX) and part.name not in _NO_RUNTIMES
    }
    asked = Counter((pod.spec.runtimeClassName if pod.spec else None) or "" for pod in pods)
    names = {handler.name: handler.features for handler in handlers if handler.name}
    default = status.nodeInfo.containerRuntimeVersion if status and status.nodeInfo else ""
    found: list[dict[str, object]] = []
    for name in sorted({*names, *parts}):
        part, features = parts.get(name), names.get(name)
        supported = [
            words
            for words, there in (
                ("user namespaces", features and features.userNamespaces),
                ("recursive read-only mounts", features and features.recursiveReadOnlyMounts),
            )
            if there
        ]
        found.append(
            {
                "name": name,
                "state": part.state if part else "ready" if name in names else "unknown",
                "reason": part.reason if part else "",
                "features": supported,
                "default": default.startswith(f"{name}://"),
                "pods": asked[name],
            }
        )
    found.sort(key=lambda each: not each["default"])
    if found and found[0]["default"]:
        found[0]["pods"] = asked[str(found[0]["name"])] + asked[""]
    return found


def _volumes(pods: Sequence[PodUse]) -> list[dict[str, object]]:
    """All but those that every pod has, of its service account."""
    return [
        {"namespace": pod.namespace, "pod": pod.name, **asdict(volume)}
        for pod in pods
        for volume in pod.volumes
        if volume.claim or not volume.name.startswith("kube-api-access-")
    ]
