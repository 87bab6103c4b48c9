"""Updates of pods through a subresource: status, ephemeralcontainers, resize. Each may touch its own part only."""

import copy
from typing import Any

from nodeagent.apiserver.kinds import deprecated
from nodeagent.apiserver.kinds.pods.resize import keep_resources
from nodeagent.podspec.container_lists import containers, is_mirror
from nodeagent.podspec.validation.pod import validate_pod
from nodeagent.podspec.validation.rules import problems
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, forbidden, invalid, not_supported
from runtimes.kube.json_object import JsonObject

PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


def keep_only(new: JsonObject, old: JsonObject, subresource: str) -> None:
    """Undo, in place, whatever the request changed outside the subresource's part."""
    if subresource == "ephemeralcontainers":
        added = new.get("spec", {}).get("ephemeralContainers")
        new["spec"] = copy.deepcopy(old["spec"])
        if added is not None:
            new["spec"]["ephemeralContainers"] = added
        else:
            new["spec"].pop("ephemeralContainers", None)
    elif subresource == "resize":
        keep_resources(new, old)
    if subresource in ("ephemeralcontainers", "resize"):
        _restore_status(new, old)


def validate_ephemeral(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = validate_pod(new)
    if is_mirror(old):
        errors.append(forbidden("spec", "static pods do not support ephemeral containers"))
    current = {item.get("name"): item for item in new["spec"].get("ephemeralContainers") or ()}
    for before in old["spec"].get("ephemeralContainers") or ():
        name = before.get("name")
        if name not in current:
            text = f'existing ephemeral containers "{name}" may not be removed'
            errors.append(forbidden("spec.ephemeralContainers", text))
        elif current[name] != before:
            text = f'existing ephemeral containers "{name}" may not be changed'
            errors.append(forbidden("spec.ephemeralContainers", text))
    return errors


def validate_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    status, before = new.get("status") or {}, old.get("status") or {}
    phase = status.get("phase")
    if phase and phase not in PHASES:
        errors.append(not_supported("status.phase", phase, PHASES))
    if status.get("qosClass") and before.get("qosClass") and status["qosClass"] != before["qosClass"]:
        errors.append(invalid("status.qosClass", status["qosClass"], "field is immutable"))
    for name in ("podIPs", "hostIPs"):
        for index, item in enumerate(status.get(name) or ()):
            address = item.get("ip") or ""
            errors += problems(f"status.{name}[{index}]", address, names.ip_address(address))
    for name, kind in (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")):
        if not _restarts_all(old["spec"]):
            errors += _transitions(f"status.{name}", status.get(name) or (), before.get(name) or (), old["spec"], kind)
    name, once = "ephemeralContainerStatuses", {"restartPolicy": "Never"}
    errors += _transitions(f"status.{name}", status.get(name) or (), before.get(name) or (), once, "containers")
    return errors


def status_warnings(pod: JsonObject) -> list[str]:
    """Addresses that a node wrote in an unusual way."""
    status = pod.get("status") or {}
    return [
        warning
        for name in ("podIPs", "hostIPs")
        for index, item in enumerate(status.get(name) or ())
        for warning in deprecated.ip_address(f"status.{name}[{index}].ip", item.get("ip") or "")
    ]


def _restarts_all(spec: JsonObject) -> bool:
    """Whether an exit code of one container may start all of them again, also those that ended for good."""
    every = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    rules = (rule for container in every for rule in container.get("restartPolicyRules") or ())
    return any(rule.get("action") == "RestartAllContainers" for rule in rules)


def _restore_status(new: JsonObject, old: JsonObject) -> None:
    new.pop("status", None)
    if "status" in old:
        new["status"] = copy.deepcopy(old["status"])


def _transitions(path: str, now: Any, before: Any, spec: JsonObject, kind: str) -> list[FieldError]:
    """A container that ended for good does not run again."""
    errors: list[FieldError] = []
    policies = {c.get("name"): c for _, c in containers(spec, kind)}
    ended = {
        item.get("name"): item["state"]["terminated"] for item in before if (item.get("state") or {}).get("terminated")
    }
    for index, item in enumerate(now):
        last = ended.get(item.get("name"))
        if last is None or "terminated" in (item.get("state") or {}):
            continue
        container = policies.get(item.get("name"), {})
        policy = container.get("restartPolicy") or spec.get("restartPolicy")
        if (kind == "initContainers" and policy != "Never") or container.get("restartPolicyRules"):
            continue
        if policy == "Never" or (policy == "OnFailure" and last.get("exitCode") == 0):
            errors.append(forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state"))
    return errors
