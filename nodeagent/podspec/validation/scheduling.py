"""Where a pod may run: tolerations, selectors, affinity, spreading, gates."""

from nodeagent.podspec.validation.rules import problems, unique
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_POLICIES = ("Honor", "Ignore")


def scheduling(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        errors += toleration_errors(f"spec.tolerations[{index}]", toleration)
    errors += label_map("spec.nodeSelector", spec.get("nodeSelector") or {})
    affinity = spec.get("affinity") or {}
    errors += _node_affinity("spec.affinity.nodeAffinity", affinity.get("nodeAffinity") or {})
    for name in ("podAffinity", "podAntiAffinity"):
        errors += _pod_affinity(f"spec.affinity.{name}", affinity.get(name) or {})
    errors += _spreading("spec.topologySpreadConstraints", spec.get("topologySpreadConstraints") or [])
    return errors + _gates(spec)


def label_map(path: str, labels: JsonObject) -> list[FieldError]:
    """Keys and values with label syntax."""
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += problems(path, key, names.qualified_name(key))
        errors += problems(path, value, names.label_value(value))
    return errors


def toleration_errors(path: str, toleration: JsonObject) -> list[FieldError]:
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    effect, value = toleration.get("effect") or "", toleration.get("value") or ""
    errors = problems(f"{path}.key", key, names.qualified_name(key)) if key else []
    if not key and operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        errors.append(invalid(f"{path}.operator", operator, text))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        errors.append(invalid(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
    if operator in ("Equal", ""):
        errors += problems(f"{path}.operator", value, names.label_value(value))
    elif operator == "Exists":
        if value:
            errors.append(invalid(f"{path}.operator", toleration, "value must be empty when `operator` is 'Exists'"))
    else:
        errors.append(not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    if effect and effect not in EFFECTS:
        errors.append(not_supported(f"{path}.effect", effect, EFFECTS))
    return errors


def node_selector(path: str, selector: JsonObject) -> list[FieldError]:
    """A NodeSelector: at least one term, each with valid requirements."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [e for index, term in enumerate(terms) for e in _term(f"{path}.nodeSelectorTerms[{index}]", term)]


def _node_affinity(path: str, affinity: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    needed = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if needed is not None:
        errors += node_selector(f"{path}.requiredDuringSchedulingIgnoredDuringExecution", needed)
    for index, preferred in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        where = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        errors += _weight(where, preferred)
        errors += _term(f"{where}.preference", preferred.get("preference") or {})
    return errors


def _term(path: str, term: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        where, key = f"{path}.matchExpressions[{index}]", requirement.get("key") or ""
        errors += _requirement(where, requirement)
        errors += problems(f"{where}.key", key, names.qualified_name(key))
    for index, requirement in enumerate(term.get("matchFields") or ()):
        where = f"{path}.matchFields[{index}]"
        errors += _field_requirement(where, requirement)
    return errors


def _requirement(path: str, requirement: JsonObject) -> list[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            return [required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")]
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            return [forbidden(f"{path}.values", text)]
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            return [required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")]
    else:
        return [invalid(f"{path}.operator", operator, "not a valid selector operator")]
    return []


def _field_requirement(path: str, requirement: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator not in ("In", "NotIn"):
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(required(f"{path}.values", text))
    if requirement.get("key") != "metadata.name":
        errors.append(invalid(f"{path}.key", requirement.get("key") or "", "not a valid field selector key"))
    return errors


def _pod_affinity(path: str, affinity: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, term in enumerate(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
        errors += _pod_term(f"{path}.requiredDuringSchedulingIgnoredDuringExecution[{index}]", term)
    for index, weighted in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        where = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        errors += _weight(where, weighted)
        errors += _pod_term(f"{where}.podAffinityTerm", weighted.get("podAffinityTerm") or {})
    return errors


def _pod_term(path: str, term: JsonObject) -> list[FieldError]:
    errors = label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    key = term.get("topologyKey") or ""
    if not key:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    return errors + (problems(f"{path}.topologyKey", key, names.qualified_name(key)) if key else [])


def label_selector(path: str, selector: JsonObject | None) -> list[FieldError]:
    """A LabelSelector: matchLabels and matchExpressions."""
    errors = label_map(f"{path}.matchLabels", (selector or {}).get("matchLabels") or {})
    for index, requirement in enumerate((selector or {}).get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator = requirement.get("operator") or ""
        if operator in ("Gt", "Lt"):
            errors.append(invalid(f"{where}.operator", operator, "not a valid selector operator"))
        else:
            errors += _requirement(where, requirement)
        key = requirement.get("key") or ""
        errors += problems(f"{where}.key", key, names.qualified_name(key))
    return errors


def _weight(path: str, item: JsonObject) -> list[FieldError]:
    weight = item.get("weight") or 0
    return [] if 1 <= weight <= 100 else [invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _spreading(path: str, constraints: list[JsonObject]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        skew = constraint.get("maxSkew") or 0
        if skew <= 0:
            errors.append(invalid(f"{where}.maxSkew", skew, "must be greater than zero"))
        key, action = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
        if not key:
            errors.append(required(f"{where}.topologyKey", "can not be empty"))
        if action not in _UNSATISFIABLE:
            errors.append(not_supported(f"{where}.whenUnsatisfiable", action, _UNSATISFIABLE))
        if (key, action) in seen:
            errors.append(duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
        seen.add((key, action))
        domains = constraint.get("minDomains")
        if domains is not None and domains <= 0:
            errors.append(invalid(f"{where}.minDomains", domains, "must be greater than zero"))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = constraint.get(name)
            if policy is not None and policy not in _POLICIES:
                errors.append(not_supported(f"{where}.{name}", policy, _POLICIES))
        errors += label_selector(f"{where}.labelSelector", constraint.get("labelSelector"))
    return errors


def _gates(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    gates = spec.get("schedulingGates") or []
    for index, gate in enumerate(gates):
        where, name = f"spec.schedulingGates[{index}]", gate.get("name") or ""
        errors += problems(where, name, names.qualified_name(name))
        errors += unique(where, name, seen)
    if gates and spec.get("nodeName"):
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors
