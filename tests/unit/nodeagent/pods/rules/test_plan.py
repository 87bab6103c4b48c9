"""What a plan says: docs/facts/pod-lifecycle.md 4.1 (sandbox), 4.2 (regular), 4.4 (ephemeral), 5.1 and 6.4 (counts)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from nodeagent.pods.rules.backoff import RETRY, backoff_key
from nodeagent.pods.rules.model import (
    CrashBackoff,
    KillContainer,
    Memory,
    Plan,
    PodStage,
    ProbeResults,
    RemoveContainer,
    StartContainer,
    StartFailure,
)
from nodeagent.pods.rules.plan import make_plan
from nodeagent.pods.rules.runtime_view import container_hash, fnv1a_32
from nodeagent.podspec.containers import ContainerKind


def regular(name: str = "main", count: int = 0, backoff: CrashBackoff | None = None) -> StartContainer:
    return StartContainer(name=name, kind=ContainerKind.REGULAR, restart_count=count, backoff=backoff)


def first_backoff(kit: Any, pod: Any) -> CrashBackoff:
    return CrashBackoff(delay_seconds=10, advanced_at=kit.now, key=backoff_key(pod.spec.containers[0]))


# -- 4.1 ---------------------------------------------------------------------------------------------------------------


def test_a_new_pod_gets_its_sandbox_and_starts_all_regular_containers_in_spec_order(kit: Any) -> None:
    """4.1: no sandbox: attempt 0, then the regular containers where there are no init containers."""
    pod = kit.pod(["b", "a"])
    assert make_plan(kit.desired(pod), kit.observed(sandboxes=()), kit.no_memory, kit.now) == Plan(
        create_sandbox=0, start=(regular("b"), regular("a"))
    )


def test_a_new_sandbox_starts_over_from_the_first_init_container(kit: Any) -> None:
    """4.1: everything is stopped, all init containers are removed, and the first init container starts."""
    pod = kit.pod(init=["i0", "i1", "+side"])
    seen = kit.observed(
        kit.run("main", n=2),
        kit.run("side", n=1),
        kit.run("i1", "exited"),
        kit.run("i0", "exited"),
        sandboxes=(kit.sandbox(4, ready=False), kit.sandbox(3, ready=False)),
    )
    made = make_plan(kit.desired(pod), seen, kit.no_memory, kit.now)
    assert made == Plan(
        kill=(
            KillContainer(container_id="main-2", name="main", message="Stopping container main"),
            KillContainer(container_id="side-1", name="side", message="Stopping container side"),
        ),
        remove=(
            RemoveContainer(container_id="i0-0", name="i0"),
            RemoveContainer(container_id="i1-0", name="i1"),
            RemoveContainer(container_id="side-1", name="side"),
        ),
        create_sandbox=5,
        sandbox_changed=True,
        start=(
            StartContainer(
                name="i0",
                kind=ContainerKind.INIT,
                restart_count=1,
                backoff=CrashBackoff(
                    delay_seconds=10, advanced_at=kit.now, key=backoff_key(pod.spec.initContainers[0])
                ),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("sandboxes", "host_network", "changed"),
    [
        ([], False, True),
        ([{}], False, False),
        ([{"ready": False}], False, True),
        ([{"attempt": 1}, {"attempt": 0}], False, True),  # more than one ready
        ([{"attempt": 1, "ready": False}, {"attempt": 0}], False, True),  # the newest is not ready
        ([{"attempt": 1}, {"attempt": 0, "ready": False}], False, False),
        ([{"host": True}], False, True),  # network namespace mode differs
        ([{}], True, True),
        ([{"host": True}], True, False),
        ([{"ip": ""}], False, True),  # reports network info with an empty IP
    ],
)
def test_when_a_sandbox_is_replaced(kit: Any, sandboxes: Any, host_network: bool, changed: bool) -> None:
    """4.1, first line: each reason for a new sandbox, and none."""
    pod = kit.pod(hostNetwork=host_network)
    found = tuple(kit.sandbox(**fields) for fields in sandboxes)
    seen = kit.observed(kit.run("main", sandbox=found[0].id if found else ""), sandboxes=found)
    made = make_plan(kit.desired(pod), seen, kit.no_memory, kit.now)
    attempt = None if not changed else found[0].metadata.attempt + 1 if found else 0
    assert (made.create_sandbox, made.sandbox_changed) == (attempt, bool(changed and found))


@pytest.mark.parametrize(
    ("policy", "attempt", "instances", "expected"),
    [
        ("Never", 0, [("main", 1)], Plan(kill_pod=False)),  # a second sandbox after a container ran: no
        ("Always", 0, [("main", 0)], 1),
        ("OnFailure", 0, [("main", 1)], 1),
        ("OnFailure", 0, [("main", 0)], Plan(kill_pod=False)),  # nothing left to start
        ("Never", 0, [], 1),  # no container was ever created: try again
    ],
)
def test_when_a_lost_sandbox_is_not_replaced(
    kit: Any, policy: str, attempt: int, instances: Any, expected: Any
) -> None:
    """4.1: no new sandbox under Never once something ran, nor where no regular container needs to start."""
    pod = kit.pod(restartPolicy=policy)
    runs = [kit.run(name, "exited", exit_code=code) for name, code in instances]
    seen = kit.observed(*runs, sandboxes=(kit.sandbox(attempt, ready=False),))
    made = make_plan(kit.desired(pod), seen, kit.no_memory, kit.now)
    assert made == expected if isinstance(expected, Plan) else made.create_sandbox == expected


def test_on_failure_in_a_new_sandbox_leaves_out_what_succeeded(kit: Any) -> None:
    """4.1: under OnFailure, of pod or container, containers that exited 0 are not started again."""
    pod = kit.pod(["done", "failed", {"name": "own", "restartPolicy": "OnFailure"}], restartPolicy="OnFailure")
    seen = kit.observed(
        kit.run("done", "exited"),
        kit.run("failed", "exited", exit_code=1),
        kit.run("own", "exited"),
        sandboxes=(kit.sandbox(ready=False),),
    )
    made = make_plan(kit.desired(pod), seen, kit.no_memory, kit.now)
    assert [start.name for start in made.start] == ["failed"]


# -- 4.2 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "count"),
    [(None, 0), ("created", 0), ("unknown", 1)],
)
def test_never_created_created_and_unknown_start(kit: Any, state: str | None, count: int) -> None:
    """4.2: never created / created / unknown: start; unknown is killed first.

    One that was created and never started has not run: it makes way, and its place is taken with the same count.
    """
    seen = kit.observed(*([kit.run("main", state)] if state else []))
    kill = KillContainer(
        container_id="main-0", name="main", message='Container is in "unknown" state, try killing it before restart'
    )
    made = make_plan(kit.desired(kit.pod()), seen, kit.no_memory, kit.now)
    assert made == Plan(
        kill=(kill,) if state == "unknown" else (),
        remove=(RemoveContainer(container_id="main-0", name="main"),) if state == "created" else (),
        start=(regular(count=count),),
    )


def test_a_start_that_was_cut_off_does_not_count(kit: Any) -> None:
    """6.4: a container made for the third run and never started is made again for the third run; all such go first."""
    runs = [kit.run("main", "created", n=2), kit.run("main", "created", n=1), kit.run("main", "exited", n=0)]
    made = make_plan(kit.desired(kit.pod()), kit.observed(*runs), kit.no_memory, kit.after(60))
    assert [start.restart_count for start in made.start] == [2]
    assert [item.container_id for item in made.remove] == ["main-2", "main-1"]


@pytest.mark.parametrize(
    ("policy", "exit_code", "restarts"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_exited(kit: Any, policy: str, exit_code: int, restarts: bool) -> None:
    """4.2: exited: start iff the restart decision is yes; with nothing to keep or start the pod is killed."""
    pod = kit.pod(restartPolicy=policy)
    seen = kit.observed(kit.run("main", "exited", exit_code=exit_code))
    expected = Plan(start=(regular(count=1, backoff=first_backoff(kit, pod)),)) if restarts else Plan(kill_pod=True)
    assert make_plan(kit.desired(pod), seen, kit.no_memory, kit.now) == expected


def test_exited_is_not_started_while_the_pod_is_being_deleted(kit: Any) -> None:
    """4.2: no start once deletionTimestamp is set."""
    pod = kit.pod(["main", "other"], meta={"deletionTimestamp": "2026-01-02T03:04:00Z"})
    seen = kit.observed(kit.run("main", "exited"), kit.run("other"))
    assert make_plan(kit.desired(pod), seen, kit.no_memory, kit.now) == Plan()


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
@pytest.mark.parametrize(
    ("what", "message", "always"),
    [
        ("hash", "Container main definition changed", True),
        ("live", "Container main failed liveness probe", False),
        ("started", "Container main failed startup probe", False),
    ],
)
def test_running_but_not_as_wanted(kit: Any, policy: str, what: str, message: str, always: bool) -> None:
    """4.2: hash changed, liveness failed, startup failed: kill, and start in the same pass where it restarts."""
    pod = kit.pod(["main", "other"], restartPolicy=policy)
    run = kit.run("main", n=4, hash="0" if what == "hash" else None)
    probes = {"main-4": ProbeResults(**{what: False})} if what != "hash" else {}
    made = make_plan(kit.desired(pod), kit.observed(run, kit.run("other")), Memory(probes=probes), kit.now)
    restarts = always or policy != "Never"
    text = f"{message}, will be restarted" if restarts else message
    grace = None if what == "hash" else 2
    assert made == Plan(
        kill=(KillContainer(container_id="main-4", name="main", message=text, grace_seconds=grace),),
        start=(regular(count=5),) if restarts else (),
    )


def test_a_probe_kill_uses_the_probes_grace_period(kit: Any) -> None:
    """9.2: killed for a probe that has terminationGracePeriodSeconds: that one, even above the pod's."""
    probe = {"terminationGracePeriodSeconds": 90}
    pod = kit.pod([{"name": "main", "livenessProbe": probe}], terminationGracePeriodSeconds=30)
    memory = Memory(probes={"main-0": ProbeResults(live=False)})
    made = make_plan(kit.desired(pod), kit.observed(kit.run("main")), memory, kit.now)
    assert [kill.grace_seconds for kill in made.kill] == [90]


def test_running_is_kept(kit: Any) -> None:
    """4.2: running otherwise: keep. Environment and resources changes restart nothing."""
    pod = kit.pod([{"name": "main", "env": [{"name": "NEW", "value": "1"}]}])
    assert make_plan(kit.desired(pod), kit.observed(kit.run("main")), kit.no_memory, kit.now) == Plan()


def test_the_hash_covers_name_and_image_only(kit: Any) -> None:
    """4.2: FNV-1a 32 in hex over name and image; nothing else of a container changes it."""
    one, same, other_image, other_name = kit.pod(
        [
            "a",
            {"name": "a", "args": ["x"], "resources": {"limits": {"cpu": "1"}}},
            {"name": "a", "image": "busybox:2"},
            "b",
        ]
    ).spec.containers
    assert container_hash(one) == container_hash(same) == "da167fc4"
    assert [fnv1a_32(data) for data in (b"", b"a", b"foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]
    assert len({container_hash(one), container_hash(other_image), container_hash(other_name)}) == 3


# -- 4.4 ---------------------------------------------------------------------------------------------------------------


def test_ephemeral_containers_start_once_and_before_initialization_completes(kit: Any) -> None:
    """4.4, 4.3: started when no container of that name exists, never restarted, not held up by init containers."""
    pod = kit.pod(init=["i0"], ephemeral=["debug", "gone"])
    seen = kit.observed(kit.run("i0"), kit.run("gone", "exited", exit_code=1))
    assert make_plan(kit.desired(pod), seen, kit.no_memory, kit.now) == Plan(
        start=(StartContainer(name="debug", kind=ContainerKind.EPHEMERAL, restart_count=0),)
    )


def test_ephemeral_containers_keep_no_pod_alive(kit: Any) -> None:
    """4.2: nothing to keep and nothing to start among the regular containers: the pod is killed."""
    pod = kit.pod(ephemeral=["debug"], restartPolicy="Never")
    seen = kit.observed(kit.run("main", "exited"), kit.run("debug"))
    assert make_plan(kit.desired(pod), seen, kit.no_memory, kit.now) == Plan(kill_pod=True)


# -- 5.1 and 6.4 -------------------------------------------------------------------------------------------------------


def test_crash_back_off_holds_a_container_until_its_delay_has_passed(kit: Any) -> None:
    """5.1: in back-off while now - finishedAt < delay; counted from the newest exited instance; then the delay doubles."""
    pod = kit.pod(["main", "other"])
    seen = kit.observed(kit.run("main", "exited", n=2, exit_code=1), kit.run("other"))
    known = CrashBackoff(
        attempt=1, delay_seconds=20, advanced_at=kit.now - timedelta(seconds=5), key=backoff_key(pod.spec.containers[0])
    )
    memory = Memory(crash_backoffs={"main": known})
    held = make_plan(kit.desired(pod), seen, memory, kit.after(19.9))
    assert held == Plan(
        waiting={
            "main": StartFailure(
                reason="CrashLoopBackOff",
                message="back-off 20s restarting failed container=main pod=web_ns(uid-1)",
            )
        },
        wake_at=kit.after(20),
    )
    advanced = CrashBackoff(attempt=2, delay_seconds=40, advanced_at=kit.after(20), key=known.key)
    assert make_plan(kit.desired(pod), seen, memory, kit.after(20)) == Plan(start=(regular(count=3, backoff=advanced),))


def test_the_cap_is_handed_on(kit: Any) -> None:
    """5.1, 0.1: the cap of the configuration bounds the delay."""
    pod = kit.pod()
    seen = kit.observed(kit.run("main", "exited"))
    made = make_plan(kit.desired(pod), seen, kit.no_memory, kit.now, crash_backoff=replace(RETRY, cap_seconds=3))
    assert [start.backoff.delay_seconds for start in made.start if start.backoff] == [3]


def test_wake_at_is_the_earliest_end_of_a_back_off_or_the_deadline(kit: Any) -> None:
    """5.1, 2.2: the next try is scheduled at expiry; activeDeadlineSeconds counts from startTime."""
    pod = kit.pod(["a", "b"], activeDeadlineSeconds=15)
    runs = (kit.run("a", "exited"), kit.run("b", "exited", ended=kit.now - timedelta(seconds=3)))
    memory = Memory(
        crash_backoffs={name: CrashBackoff(delay_seconds=10, advanced_at=kit.now) for name in ("a", "b")},
        start_time=kit.now - timedelta(seconds=9),
    )
    wakes = [make_plan(kit.desired(pod), kit.observed(*runs[:count]), memory, kit.now).wake_at for count in (2, 1)]
    assert wakes == [kit.after(6), kit.after(6)]
    no_deadline = make_plan(kit.desired(kit.pod(["a", "b"])), kit.observed(*runs), memory, kit.now)
    assert no_deadline.wake_at == kit.after(7)


@pytest.mark.parametrize(
    ("instances", "highest", "count"),
    [([7, 3], {}, 8), ([], {"main": 4}, 5), ([], {}, 0), ([2], {"main": 9}, 3)],
)
def test_new_restart_count(kit: Any, instances: list[int], highest: dict[str, int], count: int) -> None:
    """6.4: newest instance + 1; none left: highest log number + 1; else 0."""
    runs = [kit.run("main", "exited", n=n) for n in instances]
    made = make_plan(kit.desired(kit.pod()), kit.observed(*runs), kit.no_memory, kit.now, highest_log_numbers=highest)
    assert [start.restart_count for start in made.start] == [count]


# -- stages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [PodStage.TERMINATING, PodStage.TERMINATED, PodStage.FINISHED])
def test_a_pod_that_ends_only_stops(kit: Any, stage: PodStage) -> None:
    """2.1: once terminating, a pod never goes back: stop what is left, start nothing."""
    memory = Memory(stage=stage)
    assert make_plan(kit.desired(kit.pod()), kit.observed(kit.run("main")), memory, kit.now) == Plan(kill_pod=True)
    stopped = kit.observed(kit.run("main", "exited"), sandboxes=(kit.sandbox(ready=False),))
    assert make_plan(kit.desired(kit.pod()), stopped, memory, kit.now) == Plan()


def test_a_rejected_pod_starts_nothing(kit: Any) -> None:
    """3.1: a refusal at admission starts nothing, and stops what an adopted pod still runs."""
    memory = Memory(rejected=StartFailure(reason="NodePorts", message="x"))
    assert make_plan(kit.desired(kit.pod()), kit.observed(sandboxes=()), memory, kit.now) == Plan()
    assert make_plan(kit.desired(kit.pod()), kit.observed(kit.run("main")), memory, kit.now) == Plan(kill_pod=True)


# -- features of pods --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
@pytest.mark.parametrize(
    ("init", "running", "kind"),
    [
        ((), "main", ContainerKind.REGULAR),
        (("first",), "first", ContainerKind.INIT),
        (("+side",), "side", ContainerKind.SIDECAR),
    ],
)
def test_what_a_feature_restarts_is_killed_with_its_message_and_starts_again(
    kit: Any, policy: str, init: Any, running: str, kind: ContainerKind
) -> None:
    """4.7: whatever the restart policy says; nothing else of the pod is touched."""
    pod = kit.pod(init=init, restartPolicy=policy)
    seen = kit.observed(*([kit.run("main")] if running != "first" else []), *([kit.run(running)] if init else []))
    made = make_plan(kit.desired(pod), seen, Memory(restarts={f"{running}-0": "because"}), kit.now)
    assert made == Plan(
        kill=(KillContainer(container_id=f"{running}-0", name=running, message="because"),),
        start=(StartContainer(name=running, kind=kind, restart_count=1),),
    )
