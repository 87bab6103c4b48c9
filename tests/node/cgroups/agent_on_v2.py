"""A whole standalone node where cgroup v2 is all there is. test_agent_on_v2.py boots the kernel and runs this there.

The node lives in a cgroup with limits of its own, so that it runs short of memory before the machine does. Its pods run on runc
and crun, and what is looked at are the kernel's own files. That kernel has no cpuset and no hugetlb controller, and no PSI.
"""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cgroup_files import container_cgroup, pod_cgroup, qos_cgroup, share_of
from node_fixtures import demo_image
from node_under_test import NodeUnderTest, eventually, import_image, is_ready, make_node, restart_count
from pods_under_test import conditions, finished, log_when, make_pod, shell, status_of, told
from runtime_classes import on, runtime_class

from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.linux.cgroups.detect import detect

__all__ = ["demo_image"]

pytestmark = pytest.mark.node

MIB = 1 << 20
RUNTIMES = ("runc", "crun")
NODE_BYTES, PIDS = 400 * MIB, 30
KUBELET = {
    "evictionHard": {"memory.available": "150Mi"},
    "podPidsLimit": PIDS,
    "evictionPressureTransitionPeriod": "1s",
}
BURNS = "while :; do :; done"
WAITS = "trap 'exit 0' TERM; while :; do sleep 0.2; done"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """Bounded; one burner a runtime is there from the beginning to the end."""
    cgroups = detect()
    assert cgroups.version == 2
    runtimes = {name: {"type": "oci", "path": f"/usr/bin/{name}"} for name in RUNTIMES}
    made = make_node(
        tmp_path_factory.mktemp("v2"),
        kubelet=dict(KUBELET),
        runtimes=runtimes,
        defaultRuntime="runc",
        services={"enabled": False},
        storage={"enabled": False},
    )
    cgroups.create(made.cgroup)
    cgroups.apply(made.cgroup, CgroupLimits(memory_limit_bytes=NODE_BYTES))
    made.directory.mkdir()
    import_image(made, demo_image)
    made.start()
    made.apply(*(runtime_class(name) for name in RUNTIMES), *(burner(name) for name in RUNTIMES))
    yield made
    made.clean()


def limited(cpu: str, memory: str, requests: dict[str, str] | None = None) -> dict[str, Any]:
    return {"resources": {"limits": {"cpu": cpu, "memory": memory}, "requests": requests or {}}}


def burner(runtime: str) -> dict[str, Any]:
    name = f"burns-on-{runtime}"
    return make_pod(name, shell("c", BURNS, **limited("100m", "64Mi")), terminationGracePeriodSeconds=1, **on(runtime))


def identity(pod: dict[str, Any]) -> tuple[str, int, str]:
    status = status_of(pod)
    return status["containerID"], status["restartCount"], pod["status"]["podIP"]


def delete(node: NodeUnderTest, *names: str) -> None:
    node.delete_pods(*names)


def ended(node: NodeUnderTest, name: str) -> dict[str, Any]:
    return node.pod_when(name, finished, f"pod {name} ends")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_limits_of_a_pod_and_its_container(node: NodeUnderTest, runtime: str) -> None:
    """CPU, memory and tasks, at both levels, below the QoS classes' cgroups; the container's processes die together."""
    pod = node.running(f"burns-on-{runtime}")
    for cgroup in (pod_cgroup(node, pod), container_cgroup(node, pod)):
        assert cgroup.cpu_quota() == (10_000, 100_000)
        assert cgroup.cpu_share() == share_of(102)
        assert cgroup.memory_limit() == 64 * MIB
    assert pod_cgroup(node, pod).pids_limit() == PIDS
    assert container_cgroup(node, pod).oom_group()
    assert (qos_cgroup(node, "Burstable").exists(), qos_cgroup(node, "BestEffort").cpu_share()) == (True, share_of(2))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_resize_in_place(node: NodeUnderTest, runtime: str) -> None:
    """More CPU and memory for the container that runs, in the kernel and in the status, and less again."""
    name, requests = f"grows-on-{runtime}", {"cpu": "100m", "memory": "24Mi"}
    node.apply(make_pod(name, shell("c", WAITS, **limited("200m", "48Mi", requests)), **on(runtime)))
    before = identity(node.running(name))
    for cpu, memory in ((400, 64), (300, 32)):
        wanted = {"limits": {"cpu": f"{cpu}m", "memory": f"{memory}Mi"}, "requests": requests}
        patch = {"spec": {"containers": [{"name": "c", "resources": wanted}]}}
        node.kubectl("patch", "pod", name, "--subresource", "resize", "--patch", json.dumps(patch))
        pod = node.pod_when(name, lambda found, wanted=wanted: status_of(found).get("resources") == wanted)  # type: ignore[misc]
        for cgroup in (pod_cgroup(node, pod), container_cgroup(node, pod)):
            assert (cgroup.cpu_quota(), cgroup.memory_limit()) == ((cpu * 100, 100_000), memory * MIB)
        assert identity(pod) == before
    delete(node, name)


def test_statistics(node: NodeUnderTest) -> None:
    """The summary and cAdvisor's metrics tell what the kernel's files say, of pods on either runtime."""
    pods = {runtime: node.running(f"burns-on-{runtime}") for runtime in RUNTIMES}
    cgroups = {runtime: container_cgroup(node, pod) for runtime, pod in pods.items()}
    used = {runtime: cgroup.cpu_usage_seconds() for runtime, cgroup in cgroups.items()}
    summary = json.loads(node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/stats/summary"))
    metrics = node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/metrics/cadvisor")
    measured = node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/metrics/resource")
    told_of = {found["podRef"]["name"]: found for found in summary["pods"]}
    for runtime, cgroup in cgroups.items():
        name = f"burns-on-{runtime}"
        (container,) = told_of[name]["containers"]
        cpu_seconds = container["cpu"]["usageCoreNanoSeconds"] / 1e9
        assert used[runtime] - 10 <= cpu_seconds <= cgroup.cpu_usage_seconds()
        assert 0 < container["memory"]["workingSetBytes"] <= container["memory"]["usageBytes"] <= 64 * MIB
        assert container["memory"]["availableBytes"] == 64 * MIB - container["memory"]["workingSetBytes"]
        assert 0 < told_of[name]["process_stats"]["process_count"] <= PIDS

        def metric(text: str, metric_name: str, pod: str = name) -> float:
            return float(re.findall(rf'^{metric_name}{{.*container="c".*pod="{pod}".*}} (\S+)', text, re.M)[0])

        assert metric(metrics, "container_spec_memory_limit_bytes") == 64 * MIB
        assert metric(metrics, "container_spec_cpu_quota") == 10_000
        assert 0 < metric(metrics, "container_cpu_cfs_throttled_periods_total") <= cgroup.cpu_periods()[1]
        assert 0 < metric(measured, "container_cpu_usage_seconds_total") <= cgroup.cpu_usage_seconds()


def test_eviction(node: NodeUnderTest) -> None:
    """In its bounded cgroup the node runs short: who takes more than it asked for goes, within it; the burners stay."""
    memory = {"name": "memory", "emptyDir": {"medium": "Memory"}}
    mounts = {"volumeMounts": [{"name": "memory", "mountPath": "/memory"}]}
    script = f"trap '' TERM; head -c {260 * MIB} /dev/zero > /memory/taken; sleep 100000"
    node.apply(make_pod("greedy", shell("c", script, **mounts), volumes=[memory]))
    pod = ended(node, "greedy")
    status = pod["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert status["message"].startswith("The node was low on resource: memory. Threshold quantity: 150Mi, available: ")
    assert conditions(pod)["DisruptionTarget"] == ("True", "TerminationByKubelet", status["message"])
    eventually(lambda: ("Warning", "Evicted", status["message"], "") in told(node, "greedy"), "event Evicted")
    assert [is_ready(node.pod(f"burns-on-{runtime}")) for runtime in RUNTIMES] == [True, True]
    delete(node, "greedy")


def test_the_next_agent_adopts_the_pods(node: NodeUnderTest) -> None:
    """Killed and started anew, it goes on with a pod as it is, limits included; what ended meanwhile starts again in its pod's
    cgroup. With singleProcessOOMKill from now on, the kernel's victim dies alone."""
    lives, dies = (node.running(f"burns-on-{runtime}") for runtime in RUNTIMES)
    used = pod_cgroup(node, lives).cpu_usage_seconds()
    (process,) = container_cgroup(node, dies).processes()
    node.kill()
    os.kill(process, signal.SIGKILL)
    node.config["kubelet"]["singleProcessOOMKill"] = True
    node.start()
    again = node.pod_when("burns-on-crun", lambda pod: restart_count(pod) == 1 and is_ready(pod))
    assert identity(node.running("burns-on-runc")) == identity(lives)
    assert pod_cgroup(node, lives).cpu_usage_seconds() > used
    for pod in (lives, again):
        for cgroup in (pod_cgroup(node, pod), container_cgroup(node, pod)):
            assert (cgroup.memory_limit(), cgroup.cpu_quota()) == (64 * MIB, (10_000, 100_000))
    assert (container_cgroup(node, lives).oom_group(), container_cgroup(node, again).oom_group()) == (True, False)
    survives = "tail /dev/zero; echo the shell saw $?; exec sleep 100000"
    node.apply(make_pod("survives", shell("c", survives, **limited("200m", "24Mi"))))
    pod = node.running("survives")
    log_when(node, "survives", lambda text: "the shell saw 137" in text)
    assert container_cgroup(node, pod).oom_kills() == 1
