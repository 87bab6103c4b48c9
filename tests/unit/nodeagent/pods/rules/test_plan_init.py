"""Init containers, sidecars and RestartAllContainers in a plan: docs/facts/pod-lifecycle.md 4.3 and 4.6."""

from typing import Any

import pytest

from nodeagent.pods.rules.model import KillContainer, Memory, Plan, ProbeResults, RemoveContainer
from nodeagent.pods.rules.plan import make_plan


def starts(made: Plan) -> list[str]:
    return [start.name for start in made.start]


@pytest.mark.parametrize(
    ("policy", "run", "expected"),
    [
        # first container with a status decides; init container i0 is the frontier here
        ("Always", None, (False, ["i0"])),
        ("Always", {"state": "created"}, (False, ["i0"])),
        ("Always", {"state": "running"}, (False, [])),
        ("Always", {"state": "exited"}, (False, ["i1"])),
        ("Always", {"state": "exited", "exit_code": 1}, (False, ["i0"])),
        ("OnFailure", {"state": "exited", "exit_code": 1}, (False, ["i0"])),
        ("Never", {"state": "exited", "exit_code": 1}, (True, [])),
        ("Always", {"state": "exited", "reason": "OOMKilled"}, (False, ["i0"])),
        ("Never", {"state": "exited", "reason": "OOMKilled"}, (True, [])),
        ("Always", {"state": "unknown"}, (False, ["i0"])),
        ("Never", {"state": "unknown"}, (True, [])),
    ],
)
def test_a_regular_init_container_at_the_frontier(kit: Any, policy: str, run: Any, expected: Any) -> None:
    """4.3, regular init: created → again; running → wait; exited 0 → next; failed → restart decision, else kill pod."""
    pod = kit.pod(init=["i0", "i1"], restartPolicy=policy)
    seen = kit.observed(*([kit.run("i0", **run)] if run else []))
    made = make_plan(kit.desired(pod), seen, kit.no_memory, kit.now)
    assert (made.kill_pod, starts(made)) == expected
    unknown = run is not None and run["state"] == "unknown" and policy != "Never"
    message = 'Init container is in "unknown" state, try killing it before restart'
    assert made.kill == ((KillContainer(container_id="i0-0", name="i0", message=message),) if unknown else ())


def test_the_last_init_container_done_lets_regular_containers_run(kit: Any) -> None:
    """4.3: initialized when the last init container is done, whatever is known of those before it."""
    pod = kit.pod(["a", "b"], init=["i0", "i1"])
    made = make_plan(kit.desired(pod), kit.observed(kit.run("i1", "exited")), kit.no_memory, kit.now)
    assert starts(made) == ["a", "b"]


def test_a_running_regular_container_means_initialized(kit: Any) -> None:
    """4.3, 15.2: init containers whose records vanished are not run again while a regular container exists."""
    pod = kit.pod(["a", "b"], init=["i0"])
    for state in ("created", "running"):
        made = make_plan(kit.desired(pod), kit.observed(kit.run("b", state)), kit.no_memory, kit.now)
        assert starts(made) == (["a", "b"] if state == "created" else ["a"])


@pytest.mark.parametrize(
    ("run", "probes", "probe_fields", "kill", "started"),
    [
        (None, {}, [], None, ["side"]),
        ({"state": "created"}, {}, [], None, ["side"]),
        ({"state": "exited"}, {}, [], None, ["side"]),
        ({"state": "exited", "exit_code": 1}, {}, [], None, ["side"]),
        (
            {"state": "unknown"},
            {},
            [],
            'Init container is in "unknown" state, try killing it before restart',
            ["side"],
        ),
        ({}, {}, [], None, ["i1"]),  # running, no startup probe
        ({}, {}, ["startupProbe"], None, []),  # no result yet: wait
        ({}, {"started": False}, ["startupProbe"], "Init container side failed startup probe", ["side"]),
        ({}, {"started": True}, ["startupProbe"], None, ["i1"]),
        ({"hash": "0"}, {}, [], "Init container side definition changed", ["side", "i1"]),
        ({}, {"live": False}, ["livenessProbe"], "Init container side failed liveness probe", ["side", "i1"]),
    ],
)
def test_a_sidecar_at_the_frontier(kit: Any, run: Any, probes: Any, probe_fields: Any, kill: Any, started: Any) -> None:
    """4.3, sidecar, each line; liveness never gates the next container."""
    fields = {"name": "+side", **{field: {} for field in probe_fields}}
    pod = kit.pod(init=[fields, "i1"], restartPolicy="Never")
    seen = kit.observed(*([] if run is None else [kit.run("side", **run)]))
    memory = Memory(probes={"side-0": ProbeResults(**probes)})
    made = make_plan(kit.desired(pod), seen, memory, kit.now)
    assert starts(made) == started
    grace = 2 if kill and "probe" in kill else None
    expected = (KillContainer(container_id="side-0", name="side", message=kill, grace_seconds=grace),) if kill else ()
    assert made.kill == expected


def test_sidecars_before_the_frontier_are_kept_running_and_others_are_ignored(kit: Any) -> None:
    """4.3: before the frontier sidecars are restarted, in spec order; regular init containers are ignored."""
    pod = kit.pod(init=["+s0", "i1", "+s2", "i3"])
    seen = kit.observed(
        kit.run("i3"),
        kit.run("s2", "exited", exit_code=1),
        kit.run("i1", "exited", exit_code=1),
        kit.run("s0", "created"),
    )
    assert starts(make_plan(kit.desired(pod), seen, kit.no_memory, kit.now)) == ["s0", "s2"]


def test_sidecars_restart_after_initialization_whatever_the_pods_policy(kit: Any) -> None:
    """4.3: also a sidecar whose record is gone."""
    pod = kit.pod(init=["+s0", "+s1"], restartPolicy="Never")
    seen = kit.observed(kit.run("main"), kit.run("s1", "exited"))
    assert starts(make_plan(kit.desired(pod), seen, kit.no_memory, kit.now)) == ["s0", "s1"]


def test_sidecars_end_with_the_regular_containers(kit: Any) -> None:
    """4.2: nothing to keep and nothing to start: the pod is killed, sidecars are not restarted."""
    pod = kit.pod(init=["+s0", "+s1"], restartPolicy="OnFailure")
    seen = kit.observed(kit.run("main", "exited"), kit.run("s1"), kit.run("s0", "exited", exit_code=1))
    assert make_plan(kit.desired(pod), seen, kit.no_memory, kit.now) == Plan(kill_pod=True)


def test_at_most_one_dead_instance_of_an_init_container_is_kept_before_a_start(kit: Any) -> None:
    """4.3, last line."""
    pod = kit.pod(init=["i0"])
    seen = kit.observed(*(kit.run("i0", "exited", n=n, exit_code=1) for n in (3, 2, 1)))
    made = make_plan(kit.desired(pod), seen, kit.no_memory, kit.now)
    assert made.remove == (
        RemoveContainer(container_id="i0-2", name="i0"),
        RemoveContainer(container_id="i0-1", name="i0"),
    )


def test_one_init_container_is_first_started_at_a_time(kit: Any) -> None:
    """4.3: an init container starts only when the one before it is done, all the way through a pod's start."""
    runtime = kit.runtime()
    pod = kit.pod(init=["i0", "+side", "i2"])
    order: list[list[str]] = []
    for done in (None, "i0", None, "i2", None):
        if done:
            runtime.exit(done, 0)
        made = make_plan(kit.desired(pod), runtime.observed, kit.no_memory, kit.now)
        order.append(starts(made))
        runtime.carry_out(made)
    assert order == [["i0"], ["side"], ["i2"], ["main"], []]


# -- 4.6 ---------------------------------------------------------------------------------------------------------------


def _restart_all_pod(kit: Any, **meta: object) -> Any:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    trigger = {"name": "trigger", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    return kit.pod(["a", trigger, "b"], init=["i0", "+side"], ephemeral=["debug"], meta=meta)


def _restart_all_seen(kit: Any, exit_code: int) -> Any:
    return kit.observed(
        kit.run("a"),
        kit.run("trigger", "exited", exit_code=exit_code),
        kit.run("b", "exited"),
        kit.run("i0", "exited"),
        kit.run("side"),
        kit.run("debug"),
    )


def test_restart_all_removes_the_triggering_container_last_and_keeps_logs_and_debug_containers(kit: Any) -> None:
    """4.6: regular targets, init targets, then triggering ones: kill with grace 0 and no preStop, and remove each."""
    made = make_plan(kit.desired(_restart_all_pod(kit)), _restart_all_seen(kit, 42), kit.no_memory, kit.now)
    assert made == Plan(
        kill=tuple(
            KillContainer(container_id=f"{name}-0", name=name, message="killing", grace_seconds=0, run_pre_stop=False)
            for name in ("a", "side")
        ),
        remove=tuple(
            RemoveContainer(container_id=f"{name}-0", name=name, keep_logs=True)
            for name in ("a", "b", "i0", "side", "trigger")
        ),
    )


def test_restart_all_then_starts_from_the_first_init_container(kit: Any) -> None:
    """4.6: the next pass starts over; counts go on from the logs that were kept."""
    runtime = kit.runtime()
    runtime.observed = _restart_all_seen(kit, 42)
    desired = kit.desired(_restart_all_pod(kit))
    runtime.carry_out(make_plan(desired, runtime.observed, kit.no_memory, kit.now))
    made = make_plan(desired, runtime.observed, kit.no_memory, kit.now, highest_log_numbers={"i0": 0})
    assert [(start.name, start.restart_count) for start in made.start] == [("i0", 1)]


def test_restart_all_needs_its_exit_code_and_a_pod_that_stays(kit: Any) -> None:
    """4.6: another exit code, or a deletion, triggers nothing."""
    other = make_plan(kit.desired(_restart_all_pod(kit)), _restart_all_seen(kit, 1), kit.no_memory, kit.now)
    assert (starts(other), other.remove) == (["b"], ())
    deleted = kit.desired(_restart_all_pod(kit, deletionTimestamp="2026-01-02T03:04:00Z"))
    assert make_plan(deleted, _restart_all_seen(kit, 42), kit.no_memory, kit.now) == Plan()
