"""What the agent counts of itself, as a scraper reads it."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.metrics.admission import AdmissionMetrics
from nodeagent.metrics.eviction import EvictionMetrics
from nodeagent.metrics.images import ImageMetrics
from nodeagent.metrics.registry import agent_registry, registered
from nodeagent.metrics.starts import StartMetrics
from nodeagent.metrics.steps import StepMetrics, StepsUnderWay
from nodeagent.pods.step_runs import Outcome, StepRun, Verb
from nodeagent.podspec.containers import ContainerKind
from nodeagent.podspec.pod import PodUID

Sample = tuple[str, tuple[tuple[str, str], ...]]


def samples(registry: CollectorRegistry, prefix: str) -> dict[Sample, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if sample.name.startswith(prefix) and not sample.name.endswith("_bucket")
    }


def run(step: str, uid: str, *, ended: float | None = None, outcome: Outcome = Outcome.UNDER_WAY) -> StepRun:
    return StepRun(step=step, verb=Verb.RUN, uid=PodUID(uid), began=10.0, ended=ended, outcome=outcome)


def test_two_agents_of_one_process_count_apart() -> None:
    """Each has a registry of its own, which tells of the process as well; and when a series was made is no series."""
    one, other = agent_registry(), agent_registry()
    ImageMetrics(one).removed("space")
    ImageMetrics(other)
    assert samples(one, "kubelet_") == {("kubelet_image_garbage_collected_total", (("reason", "space"),)): 1}
    assert samples(other, "kubelet_") == {}
    assert {("process_cpu_seconds_total", ()), ("process_start_time_seconds", ())} <= set(samples(one, "process_"))
    assert samples(one, "python_info")


def test_counters_without_an_ending() -> None:
    """Alerts ask for evictions under the name that a kubelet gives them, which ends as no other counter's does."""
    registry = agent_registry()
    EvictionMetrics(registry).evicted("memory.available")
    AdmissionMetrics(registry).preempted("cpu")
    lines = registered(registry).decode().splitlines()
    assert {
        "# TYPE kubelet_evictions counter",
        'kubelet_evictions{eviction_signal="memory.available"} 1.0',
        "# TYPE kubelet_preemptions counter",
        'kubelet_preemptions{preemption_signal="cpu"} 1.0',
    } <= set(lines)


def test_steps_that_have_ended() -> None:
    """How long, by step, verb and outcome."""
    registry = agent_registry()
    metrics = StepMetrics(registry)
    metrics.ended(run("volumes", "u1", ended=10.5, outcome=Outcome.DONE))
    metrics.ended(run("volumes", "u2", ended=13.0, outcome=Outcome.DONE))
    metrics.ended(run("volumes", "u1", ended=11.0, outcome=Outcome.FAILED))
    done = (("outcome", "done"), ("step", "volumes"), ("verb", "run"))
    failed = (("outcome", "failed"), ("step", "volumes"), ("verb", "run"))
    name = "nodeagent_pod_step_duration_seconds"
    assert samples(registry, name) == {
        (f"{name}_count", done): 2,
        (f"{name}_sum", done): 3.5,
        (f"{name}_count", failed): 1,
        (f"{name}_sum", failed): 1.0,
    }


def test_steps_that_are_under_way() -> None:
    """In how many pods, as of each scrape."""
    registry, current = agent_registry(), [run("volumes", "u1"), run("volumes", "u2"), run("sandbox", "u1")]
    registry.register(StepsUnderWay(lambda: current))
    name = "nodeagent_pods_in_step"
    sandbox, volumes = ((("step", step), ("verb", "run")) for step in ("sandbox", "volumes"))
    assert samples(registry, name) == {(name, sandbox): 1, (name, volumes): 2}
    current.clear()
    assert samples(registry, name) == {}


def test_starts() -> None:
    """Tries and failures, by the kubelet's names; a sidecar is an init container."""
    registry = agent_registry()
    metrics = StartMetrics(registry)
    metrics.pod()
    metrics.pod()
    metrics.pod_failed()
    for kind in ContainerKind:
        metrics.container(kind)
    metrics.container_failed(ContainerKind.SIDECAR, "RunContainerError")
    of_init = ("container_type", "init_container")
    assert samples(registry, "kubelet_") == {
        ("kubelet_started_pods_total", ()): 2,
        ("kubelet_started_pods_errors_total", ()): 1,
        ("kubelet_started_containers_total", (("container_type", "container"),)): 1,
        ("kubelet_started_containers_total", (of_init,)): 2,
        ("kubelet_started_containers_total", (("container_type", "ephemeral_container"),)): 1,
        ("kubelet_started_containers_errors_total", (("code", "RunContainerError"), of_init)): 1,
    }
