"""Binding and evicting pods."""

import json
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import WriteOptions

Cluster = Any
Pod = dict[str, Any]
BUDGETS = "poddisruptionbudgets.policy"


async def bind(cluster: Cluster, node: str = "n1", **metadata: Any) -> dict[str, Any]:
    body = {"metadata": {"name": "p", **metadata}, "target": {"kind": "Node", "name": node}}
    answer = await cluster.objects.bind("default", "p", body, WriteOptions(), cluster.user)
    return {"code": answer.code, **json.loads(answer.data)}


async def evict(cluster: Cluster, **options: Any) -> int:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": options}
    return (await cluster.objects.evict("default", "p", body, WriteOptions(), cluster.user)).code


async def test_bind(cluster: Cluster, pod: Pod) -> None:
    """A binding names the node, says so in a condition, and brings its annotations; the generation stays."""
    del pod["spec"]["nodeName"]
    await cluster.create("pods", pod)
    answer = await bind(cluster, annotations={"a": "b"})
    assert (answer["code"], answer["kind"], answer["status"]) == (201, "Status", "Success")
    bound = cluster.get("pods", "p")
    assert (bound["spec"]["nodeName"], bound["metadata"]["annotations"], bound["metadata"]["generation"]) == (
        "n1",
        {"a": "b"},
        1,
    )
    assert bound["status"]["conditions"] == [
        {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ]


async def test_bind_once(cluster: Cluster, pod: Pod) -> None:
    """A pod that has a node, is going away, or is another than meant is a conflict."""
    del pod["spec"]["nodeName"]
    pod["metadata"]["finalizers"] = ["a.b/c"]
    await cluster.create("pods", pod)
    with pytest.raises(ApiError) as caught:
        await bind(cluster, uid="other")
    assert caught.value.code == 409
    await bind(cluster)
    with pytest.raises(ApiError) as caught:
        await bind(cluster)
    assert (caught.value.code, caught.value.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
    )
    await cluster.delete("pods", "p")
    with pytest.raises(ApiError) as caught:
        await bind(cluster)
    assert "pod p is being deleted, cannot be assigned to a host" in caught.value.message


async def test_evict(cluster: Cluster, pod: Pod) -> None:
    """An eviction marks why and deletes gracefully."""
    await cluster.create("pods", pod)
    await cluster.patch("pods", "p", {"status": {"phase": "Running"}}, subresource="status")
    assert await evict(cluster, gracePeriodSeconds=5) == 201
    evicted = cluster.get("pods", "p")
    assert evicted["metadata"]["deletionGracePeriodSeconds"] == 5
    (condition,) = evicted["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "DisruptionTarget",
        "EvictionByEvictionAPI",
        "Eviction API: evicting",
    )


async def with_budget(cluster: Cluster, pod: Pod, *, ready: bool = True, name: str = "b", **fields: Any) -> None:
    """A running pod, if there is none yet, and a budget for it with this status."""
    pod["metadata"]["labels"] = {"app": "x"}
    if cluster.get("pods", "p") is None:
        await cluster.create("pods", pod)
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        status = {"status": {"phase": "Running", "conditions": [condition]}}
        await cluster.patch("pods", "p", status, subresource="status")
    spec = {"selector": {"matchLabels": {"app": "x"}}, **fields.pop("spec", {})}
    await cluster.create(BUDGETS, {"metadata": {"name": name}, "spec": spec})
    await cluster.patch(BUDGETS, name, {"status": {"observedGeneration": 1, **fields}}, subresource="status")


async def refusal(cluster: Cluster) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await evict(cluster)
    assert "deletionTimestamp" not in cluster.get("pods", "p")["metadata"]
    return caught.value


async def test_an_eviction_is_counted(cluster: Cluster, pod: Pod) -> None:
    """One less is allowed, the budget remembers whom; the last one turns its condition."""
    await with_budget(cluster, pod, disruptionsAllowed=1, currentHealthy=2, desiredHealthy=1)
    assert await evict(cluster) == 201
    status = cluster.get(BUDGETS, "b")["status"]
    assert (status["disruptionsAllowed"], status["disruptedPods"]) == (0, {"p": "2026-01-02T03:04:05Z"})
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")


async def test_a_dry_run_counts_nothing(cluster: Cluster, pod: Pod) -> None:
    """It is refused as the real one would be, and else leaves all as it is."""
    await with_budget(cluster, pod, disruptionsAllowed=1)
    before = cluster.get(BUDGETS, "b")
    assert await evict(cluster, dryRun=["All"]) == 201
    assert cluster.get(BUDGETS, "b") == before and "deletionTimestamp" not in cluster.get("pods", "p")["metadata"]


async def test_an_eviction_too_many(cluster: Cluster, pod: Pod) -> None:
    """429 with its cause, as clients look for; nothing says when to come again."""
    await with_budget(cluster, pod, disruptionsAllowed=0, currentHealthy=2, desiredHealthy=2)
    error = await refusal(cluster)
    assert (error.code, error.reason, error.headers) == (429, "TooManyRequests", {})
    assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert error.details == {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget b needs 2 healthy pods and has 2 currently",
            }
        ]
    }


async def test_a_budget_that_nobody_has_counted_yet(cluster: Cluster, pod: Pod) -> None:
    """Come again in ten seconds."""
    await with_budget(cluster, pod, observedGeneration=0, disruptionsAllowed=5)
    error = await refusal(cluster)
    assert (error.code, error.headers) == (429, {"Retry-After": "10"})
    assert error.details is not None and error.details["retryAfterSeconds"] == 10
    assert "is still being processed by the server" in error.details["causes"][0]["message"]


async def test_two_budgets(cluster: Cluster, pod: Pod) -> None:
    """One too many for any of them to say yes."""
    for name in ("b", "c"):
        await with_budget(cluster, pod, name=name, disruptionsAllowed=1)
    error = await refusal(cluster)
    assert error.code == 500 and error.message.startswith("This pod has more than one PodDisruptionBudget")


@pytest.mark.parametrize(
    ("spec", "healthy", "desired", "allowed"),
    [
        ({}, 2, 2, True),
        ({}, 1, 2, False),
        ({}, 0, 0, False),
        ({"unhealthyPodEvictionPolicy": "IfHealthyBudget"}, 1, 2, False),
        ({"unhealthyPodEvictionPolicy": "AlwaysAllow"}, 1, 2, True),
    ],
)
async def test_unhealthy_pods(
    cluster: Cluster, pod: Pod, spec: dict[str, Any], healthy: int, desired: int, allowed: bool
) -> None:
    """They go uncounted while enough others are healthy, or always where the budget says so."""
    figures = {"disruptionsAllowed": 0, "currentHealthy": healthy, "desiredHealthy": desired}
    await with_budget(cluster, pod, ready=False, spec=spec, **figures)
    if allowed:
        assert await evict(cluster) == 201
        assert "disruptedPods" not in cluster.get(BUDGETS, "b")["status"]
    else:
        assert (await refusal(cluster)).code == 429


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
async def test_pods_that_do_not_run(cluster: Cluster, pod: Pod, phase: str) -> None:
    """No budget is asked."""
    await with_budget(cluster, pod, disruptionsAllowed=0)
    await cluster.patch("pods", "p", {"status": {"phase": phase}}, subresource="status")
    assert await evict(cluster) == 201
