"""The parts of the pods' engine know when every source has spoken, and how long a container waits."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from configured import config as configured
from lightkube.models.core_v1 import Container, Pod, PodSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.events import LoggingEvents
from nodeagent.assembly import pods
from nodeagent.podspec.pod import API, FILE, AgentPod
from nodeagent.sources.merger import PodMerger


async def test_a_mirror_of_nobody_goes_when_the_last_source_has_spoken() -> None:
    """The API's mirror comes first, then the folder says that it has no pods; nothing else happens, and the mirror is deleted."""
    deleted, done = list[str](), asyncio.Event()

    async def delete(kind: type, name: str, namespace: str, **_: object) -> None:
        deleted.append(f"{namespace}/{name}")
        done.set()

    merger = PodMerger(lambda changes: None, [API, FILE], LoggingEvents())
    async with asyncio.TaskGroup() as tasks:
        scope = SimpleNamespace(tasks=tasks, loop=lambda run, name: tasks.create_task(run(), name=name))
        config, port = SimpleNamespace(node_name="n"), SimpleNamespace(wake=lambda uid: None)
        client, cluster = SimpleNamespace(delete=delete), SimpleNamespace(own_node=lambda: None)
        keeper = cast("Any", pods.start_mirrors)(scope, config, port, merger, client, cluster)
        mirrors = await keeper
        annotations = {"kubernetes.io/config.mirror": "h", "kubernetes.io/config.source": "api"}
        meta = ObjectMeta(name="s-n", namespace="default", uid="u", annotations=annotations)
        pod = Pod(metadata=meta, spec=PodSpec(containers=[Container(name="c")]))
        merger.replace(API, [])
        mirrors.observed(AgentPod.of(pod, API), removed=False)
        for _ in range(5):
            await asyncio.sleep(0)
        assert deleted == []
        merger.replace(FILE, [])
        async with asyncio.timeout(10):
            await done.wait()
        assert deleted == ["default/s-n"]
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


@pytest.mark.parametrize(
    ("kubelet", "first", "most"),
    [
        ({}, 10, 300),
        ({"crashLoopBackOff": {"maxContainerRestartPeriod": "5s"}}, 5, 5),
        ({"featureGates": {"ReduceDefaultCrashLoopBackOffDecay": True}}, 1, 60),
        ({"featureGates": {"AllAlpha": True}}, 1, 60),
        (
            {
                "featureGates": {"ReduceDefaultCrashLoopBackOffDecay": True},
                "crashLoopBackOff": {"maxContainerRestartPeriod": "20s"},
            },
            1,
            20,
        ),
        (
            {
                "featureGates": {"KubeletCrashLoopBackOffMax": False},
                "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
            },
            10,
            300,
        ),
    ],
)
def test_crash_backoff(tmp_path: Path, kubelet: dict[str, Any], first: float, most: float) -> None:
    """Ten seconds to five minutes; by the gate that reduces it one second to one minute; what is asked for wins, if it may be."""
    policy = pods.crash_backoff(configured(tmp_path, **kubelet))
    assert (policy.first_seconds, policy.cap_seconds) == (first, most)
