"""What pods of experiments have in common: a folder to write to, limits of their own, a server, bounds in time."""

from collections.abc import Mapping
from typing import Any

SCRATCH = "/scratch"
"""Where `scratch()` mounts an empty directory: a pod's root may be read-only."""

LAYER = "/var/tmp"
"""Where everybody may write to a pod's own layer. (gVisor has memory at /tmp.)"""

PORT = 7878
"""Of a pod that serves (`probe serve`)."""

DEADLINE_SECONDS = 60.0
"""For what takes a few seconds on a machine that is not busy."""


_LITTLE = {"cpu": "10m", "memory": "16Mi"}  # so that they fit beside each other on a machine of any size


def scratch(size_limit: str = "") -> Mapping[str, Any]:
    """Changes of a spec."""
    volume: dict[str, Any] = {"sizeLimit": size_limit} if size_limit else {}
    return {
        "volumes": [{"name": "scratch", "emptyDir": volume}],
        "container": {"volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}]},
    }


def limited(changes: Mapping[str, Any], *, share: str = "", **limits: str | None) -> Mapping[str, Any]:
    """Changes with limits, whatever the profile's pods have; `ephemeral_storage` is written so, None takes a limit away.

    `share`: of CPU, asked for.
    """
    named = {name.replace("_", "-"): value for name, value in limits.items()}
    requests = {**_LITTLE, "ephemeral-storage": "1Mi"} | ({"cpu": share} if share else {})
    return _with_resources(changes, {"requests": requests, "limits": named})


def unlimited(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Changes that make it a pod without requests and limits. The evaluation's own cgroup still bounds it."""
    return _with_resources(changes, None)


def _with_resources(changes: Mapping[str, Any], resources: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {**changes, "container": {**changes.get("container", {}), "resources": resources}}


def arguments(role: str, *parts: object) -> tuple[str, str]:
    """Of the probe program in a role: its one argument has parts with `:` between them."""
    return role, ":".join(str(part) for part in parts)
