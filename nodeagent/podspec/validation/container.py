"""The rules of one container, and of the three lists together."""

from nodeagent.podspec.container_lists import containers, is_sidecar
from nodeagent.podspec.validation.environment import environment
from nodeagent.podspec.validation.mounts import mounts
from nodeagent.podspec.validation.ports import host_ports, ports
from nodeagent.podspec.validation.probes import PROBES, lifecycle, probes, stop_signal
from nodeagent.podspec.validation.resources import container_resources
from nodeagent.podspec.validation.rules import label_name, unique
from nodeagent.podspec.validation.security import container_security
from runtimes.kube.field_errors import FieldError, forbidden, invalid, not_found, not_supported, required
from runtimes.kube.json_object import JsonObject

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
MAX_RESTART_RULES = 20
MAX_EXIT_CODES = 255
_NOT_EPHEMERAL = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy")
_RESIZE_RESOURCES = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def all_containers(spec: JsonObject) -> list[FieldError]:
    volumes = {volume.get("name", ""): volume for volume in spec.get("volumes") or ()}
    claims = frozenset(claim.get("name", "") for claim in spec.get("resourceClaims") or ())
    errors: list[FieldError] = []
    if not spec.get("containers"):
        errors.append(required("spec.containers"))
    seen: set[str] = set()
    for path, container in containers(spec):
        wrong = label_name(f"{path}.name", container.get("name"))
        errors += wrong or unique(f"{path}.name", str(container.get("name")), seen)
        errors += _common(path, container, spec, volumes, claims)
        if path.startswith("spec.ephemeralContainers"):
            errors += _ephemeral(path, container, spec)
        elif path.startswith("spec.initContainers"):
            errors += _init(path, container)
    return errors + host_ports(spec)


def _common(
    path: str, container: JsonObject, spec: JsonObject, volumes: dict[str, JsonObject], claims: frozenset[str]
) -> list[FieldError]:
    errors = _image(f"{path}.image", container.get("image") or "")
    policy = container.get("imagePullPolicy") or ""
    if policy not in PULL_POLICIES:
        errors.append(not_supported(f"{path}.imagePullPolicy", policy, PULL_POLICIES))
    message = container.get("terminationMessagePolicy") or ""
    if message not in MESSAGE_POLICIES:
        errors.append(not_supported(f"{path}.terminationMessagePolicy", message, MESSAGE_POLICIES))
    errors += ports(path, container)
    errors += environment(path, container)
    errors += mounts(path, container, volumes)
    errors += container_resources(f"{path}.resources", container.get("resources") or {}, claims)
    errors += probes(path, container)
    hooks = container.get("lifecycle")
    if hooks is not None:
        errors += lifecycle(f"{path}.lifecycle", hooks, spec.get("terminationGracePeriodSeconds", 30))
        errors += stop_signal(f"{path}.lifecycle", hooks, spec)
    errors += container_security(f"{path}.securityContext", container.get("securityContext"), spec)
    errors += _resize_policy(f"{path}.resizePolicy", container, spec)
    return errors + _restarts(path, container)


def _image(path: str, image: str) -> list[FieldError]:
    if not image:
        return [required(path)]
    return [invalid(path, image, "must not have leading or trailing whitespace")] if image != image.strip() else []


def _init(path: str, container: JsonObject) -> list[FieldError]:
    if is_sidecar(container):
        return []
    text = "may not be set for init containers without restartPolicy=Always"
    return [forbidden(f"{path}.{name}", text) for name in ("lifecycle", *PROBES) if container.get(name) is not None]


def _ephemeral(path: str, container: JsonObject, spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    text = "cannot be set for an Ephemeral Container"
    errors += [forbidden(f"{path}.{name}", text) for name in _NOT_EPHEMERAL if container.get(name)]
    if container.get("resources"):
        errors.append(forbidden(f"{path}.resources", text))
    target = container.get("targetContainerName")
    known = {item.get("name") for _, item in containers(spec, "containers", "initContainers")}
    if target and target not in known:
        errors.append(not_found(f"{path}.targetContainerName", target))
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for name in ("subPath", "subPathExpr"):
            if mount.get(name):
                errors.append(forbidden(f"{path}.volumeMounts[{index}].{name}", text))
    return errors


def _resize_policy(path: str, container: JsonObject, spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    never = spec.get("restartPolicy") == "Never" and not is_sidecar(container)
    for index, policy in enumerate(container.get("resizePolicy") or ()):
        where, name = f"{path}[{index}]", policy.get("resourceName") or ""
        if name not in _RESIZE_RESOURCES:
            errors.append(not_supported(f"{where}.resourceName", name, _RESIZE_RESOURCES))
        else:
            errors += unique(where, name, seen)
        if (policy.get("restartPolicy") or "") not in _RESIZE_POLICIES:
            errors.append(not_supported(f"{where}.restartPolicy", policy.get("restartPolicy") or "", _RESIZE_POLICIES))
        elif never and policy["restartPolicy"] != "NotRequired":
            text = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            errors.append(invalid(where, policy["restartPolicy"], text))
    return errors


def _restarts(path: str, container: JsonObject) -> list[FieldError]:
    """A container's own restart policy and the exit codes that override it."""
    errors: list[FieldError] = []
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if path.startswith("spec.ephemeralContainers"):
        text = "cannot be set for an Ephemeral Container"
        given = [name for name in ("restartPolicy", "restartPolicyRules") if container.get(name)]
        return [forbidden(f"{path}.{name}", text) for name in given]
    if policy is not None and policy not in RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, RESTART_POLICIES))
    if not rules:
        return errors
    if policy is None:
        errors.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))
    if len(rules) > MAX_RESTART_RULES:
        text = f"must not have more than {MAX_RESTART_RULES} rules"
        errors.append(invalid(f"{path}.restartPolicyRules", len(rules), text))
    for index, rule in enumerate(rules):
        errors += _restart_rule(f"{path}.restartPolicyRules[{index}]", rule)
    return errors


def _restart_rule(path: str, rule: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    actions = ("Restart", "RestartAllContainers")
    if rule.get("action") not in actions:
        errors.append(not_supported(f"{path}.action", rule.get("action") or "", actions))
    codes = rule.get("exitCodes")
    if codes is None:
        return [*errors, required(f"{path}.exitCodes", "must be specified")]
    if codes.get("operator") not in ("In", "NotIn"):
        errors.append(not_supported(f"{path}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn")))
    values = codes.get("values") or []
    if len(values) > MAX_EXIT_CODES:
        text = f"must not have more than {MAX_EXIT_CODES} values"
        errors.append(invalid(f"{path}.exitCodes.values", len(values), text))
    return errors
