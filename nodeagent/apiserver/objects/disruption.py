"""Whether a pod may be evicted, by the disruption budgets of its namespace. Source: docs/facts/embedded-api.md 11."""

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import disruption_budgets as budgets
from nodeagent.apiserver.kinds.base import name_of
from nodeagent.apiserver.kinds.endpoints import is_ready
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.engine import Engine
from nodeagent.apiserver.objects.metadata import time_text
from runtimes.kube.json_object import JsonObject

MAX_DISRUPTED_PODS = 2000
_BUDGET = "poddisruptionbudget.policy"
_TOO_MANY = "Cannot evict pod as it would violate the pod's disruption budget."
_PROCESSED_SECONDS = 10


def grant(engine: Engine, pod: JsonObject, ctx: Context) -> None:
    """Count the eviction of a pod against its budget. Raises `ApiError` 429 when none is left, 403, 500 for two budgets."""
    found = [budget for budget in ctx.list(budgets.RESOURCE, ctx.namespace) if budgets.covers(budget, pod)]
    if len(found) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise ApiError(500, "", text)
    if not found or (not is_ready(pod) and _spares_unhealthy(found[0])):
        return
    _decrement(engine, found[0], ctx)


def _spares_unhealthy(budget: JsonObject) -> bool:
    """Whether pods that are not ready go without being counted: always, or while enough others are healthy."""
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == budgets.ALWAYS_ALLOW:
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy") or 0
    return desired > 0 and (status.get("currentHealthy") or 0) >= desired


def _decrement(engine: Engine, budget: JsonObject, ctx: Context) -> None:
    status = budget.setdefault("status", {})
    name, allowed = name_of(budget), status.get("disruptionsAllowed") or 0
    disrupted = status.get("disruptedPods") or {}
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", _PROCESSED_SECONDS)
    if allowed < 0:
        raise ApiError.forbidden(_BUDGET, name, "pdb disruptions allowed is negative")
    if len(disrupted) > MAX_DISRUPTED_PODS:
        text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise ApiError.forbidden(_BUDGET, name, text)
    if allowed == 0:
        desired, healthy = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
        raise _refused(f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
    status["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        status["conditions"] = budgets.conditions(budget, 0, "", ctx.now.timestamp())
    status["disruptedPods"] = {**disrupted, ctx.name: time_text(ctx.now)}
    resource = engine.registry.by_id(budgets.RESOURCE)
    assert resource is not None
    about = engine.context(resource, ctx.namespace, name, ctx.user, dry_run=ctx.dry_run)
    engine.save(resource, about, budget)


def _refused(cause: str, retry_after_seconds: int = 0) -> ApiError:
    details: JsonObject = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    headers = {}
    if retry_after_seconds:
        details["retryAfterSeconds"] = retry_after_seconds
        headers["Retry-After"] = str(retry_after_seconds)
    return ApiError(429, "TooManyRequests", _TOO_MANY, details=details, headers=headers)
