"""The status of disruption budgets follows their pods."""

from typing import Any

from nodeagent.apiserver.kinds.controllers.disruption import DisruptionController
from nodeagent.apiserver.kinds.disruption_budgets import RESOURCE


def ready(pod: dict[str, Any], **labels: str) -> dict[str, Any]:
    pod["metadata"] |= {"namespace": "default", "labels": labels}
    pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return pod


def allowed(cluster: Any) -> int:
    return int(cluster.objects[(RESOURCE, "default", "b")]["status"]["disruptionsAllowed"])


def reasons(cluster: Any) -> list[str]:
    return sorted(obj["reason"] for (resource, _, _), obj in cluster.objects.items() if resource == "events")


async def test_it_follows_the_pods(cluster: Any, new_pod: Any, running: Any, settled: Any) -> None:
    """As they come, go and become another's; what is wrong is told once."""
    cluster.put(
        RESOURCE,
        {
            "metadata": {"name": "b", "namespace": "default", "generation": 1},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
        },
    )
    async with running(DisruptionController(cluster)):
        await settled()
        assert (allowed(cluster), reasons(cluster)) == (0, ["NoPods"])
        for name in ("p", "q", "r"):
            cluster.put("pods", ready(new_pod(name), app="x"))
        await settled()
        assert allowed(cluster) == 2
        cluster.put("pods", ready(new_pod("r"), app="y"))
        await settled()
        assert allowed(cluster) == 1
        budget = cluster.objects[(RESOURCE, "default", "b")]
        assert budget["status"]["conditions"][0]["reason"] == "SufficientPods"
        cluster.put(RESOURCE, {**budget, "spec": {**budget["spec"], "minAvailable": "50%"}})
        await settled()
        assert (allowed(cluster), reasons(cluster)) == (0, ["NoPods", "UnmanagedPods"])


async def test_an_eviction_that_came_to_nothing(cluster: Any, new_pod: Any, running: Any, settled: Any) -> None:
    """After its time the pod counts again, and that is told of it."""
    now = [1_700_000_000.0]
    cluster.put("pods", ready(new_pod("p"), app="x"))
    cluster.put(
        RESOURCE,
        {
            "metadata": {"name": "b", "namespace": "default", "generation": 1},
            "spec": {"minAvailable": 0, "selector": {}},
            "status": {"disruptedPods": {"p": "2023-11-14T22:13:20Z"}},
        },
    )
    async with running(DisruptionController(cluster, now=lambda: now[0])):
        await settled()
        assert allowed(cluster) == 0
        now[0] += 121
        cluster.put("pods", ready(new_pod("q"), app="x"))
        await settled()
        assert (allowed(cluster), reasons(cluster)) == (2, ["NotDeleted"])
