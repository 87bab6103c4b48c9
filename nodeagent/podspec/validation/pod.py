"""A whole pod: metadata rules of its own, and everything in its spec."""

from nodeagent.podspec.annotations import MIRROR
from nodeagent.podspec.validation.container import RESTART_POLICIES, all_containers
from nodeagent.podspec.validation.dns import dns
from nodeagent.podspec.validation.resources import overhead, pod_resources
from nodeagent.podspec.validation.rules import ID_MAX, absent_or, label_name, problems, unique
from nodeagent.podspec.validation.scheduling import scheduling
from nodeagent.podspec.validation.security import pod_security
from nodeagent.podspec.validation.volumes import volumes
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, forbidden, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

PREEMPTION_POLICIES = ("Never", "PreemptLowerPriority")
OPERATING_SYSTEMS = ("linux", "windows")


def validate_create(pod: JsonObject) -> list[FieldError]:
    errors = validate_pod(pod)
    if pod["spec"].get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return errors


def validate_pod(pod: JsonObject) -> list[FieldError]:
    """Rules for a pod in any state, new or stored."""
    spec = pod["spec"]
    return _metadata(pod) + validate_spec(spec)


def validate_spec(spec: JsonObject) -> list[FieldError]:
    errors = volumes("spec.volumes", spec.get("volumes") or [])
    errors += all_containers(spec)
    errors += pod_resources("spec.resources", spec)
    policy = spec.get("restartPolicy") or ""
    if policy not in RESTART_POLICIES:
        errors.append(not_supported("spec.restartPolicy", policy, RESTART_POLICIES))
    errors += dns(spec)
    errors += pod_security("spec.securityContext", spec.get("securityContext") or {}, spec)
    errors += scheduling(spec)
    errors += _names(spec)
    errors += _numbers(spec)
    errors += _references(spec)
    if spec.get("overhead"):
        errors += overhead("spec.overhead", spec["overhead"])
    return errors


def _metadata(pod: JsonObject) -> list[FieldError]:
    annotations = pod.get("metadata", {}).get("annotations") or {}
    if MIRROR in annotations and not pod["spec"].get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        return [invalid(f"metadata.annotations[{MIRROR}]", annotations[MIRROR], text)]
    return []


def _names(spec: JsonObject) -> list[FieldError]:
    errors = absent_or("spec.serviceAccountName", spec.get("serviceAccountName"), names.dns1123_subdomain)
    errors += absent_or("spec.nodeName", spec.get("nodeName"), names.dns1123_subdomain)
    errors += absent_or("spec.priorityClassName", spec.get("priorityClassName"), names.dns1123_subdomain)
    errors += absent_or("spec.runtimeClassName", spec.get("runtimeClassName"), names.dns1123_subdomain)
    policy = spec.get("preemptionPolicy")
    if policy is not None and policy not in PREEMPTION_POLICIES:
        errors.append(not_supported("spec.preemptionPolicy", policy, PREEMPTION_POLICIES))
    system = spec.get("os")
    if system is not None:
        name = system.get("name") or ""
        if not name:
            errors.append(required("spec.os.name", "cannot be empty"))
        elif name not in OPERATING_SYSTEMS:
            errors.append(not_supported("spec.os", name, OPERATING_SYSTEMS))
    return errors


def _numbers(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= ID_MAX:
        text = f"must be between 1 and {ID_MAX}, inclusive"
        errors.append(invalid("spec.activeDeadlineSeconds", deadline, text))
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        errors.append(required("spec.terminationGracePeriodSeconds"))
    elif grace < 0:
        errors.append(invalid("spec.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0"))
    return errors


def _references(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if not reference.get("name"):
            errors.append(required(f"spec.imagePullSecrets[{index}].name"))
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        where = f"spec.readinessGates[{index}].conditionType"
        errors += problems(where, kind, names.qualified_name(kind))
    seen: set[str] = set()
    for index, claim in enumerate(spec.get("resourceClaims") or ()):
        where = f"spec.resourceClaims[{index}]"
        errors += label_name(f"{where}.name", claim.get("name")) or unique(f"{where}.name", claim["name"], seen)
        given = [name for name in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(name)]
        if len(given) != 1:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            if not given:
                text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(invalid(where, claim, text))
    return errors
