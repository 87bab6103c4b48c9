"""Which container starts, waits, restarts and ends (docs/facts/pod-lifecycle.md 4)."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from node_under_test import NodeUnderTest, eventually
from pods_under_test import (
    begun,
    conditions,
    container,
    field,
    finished,
    log_of,
    log_when,
    make_pod,
    restarted,
    shell,
    state_of,
    status_of,
    tells,
    tells_of,
    told,
)
from watching import every_change

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("lifecycle-containers")]

DIARY = {"name": "diary", "mountPath": "/diary"}
ENDS = "echo {0} >> /diary/d; trap 'echo {0} ends >> /diary/d; exit 0' TERM; sleep 100000 & wait"


def writer(name: str, **fields: Any) -> dict[str, Any]:
    """A container that writes into the pod's diary when it starts and when it is told to end."""
    return shell(name, ENDS.format(name), volumeMounts=[DIARY], **fields)


def note(name: str, **fields: Any) -> dict[str, Any]:
    return shell(name, f"echo {name} >> /diary/d", volumeMounts=[DIARY], **fields)


def with_exit(name: str, code: int, action: str, *, policy: str = "Never", script: str = "") -> dict[str, Any]:
    """A container that ends with `code`, with a rule for 42."""
    rules = [{"action": action, "exitCodes": {"operator": "In", "values": [42]}}]
    return shell(name, f"{script}exit {code}", restartPolicy=policy, restartPolicyRules=rules)


POLICIES = ("Always", "OnFailure", "Never")
ONCE = "test -e /diary/{0} && {1}; touch /diary/{0}; "


@pytest.fixture(scope="module", autouse=True)
def diary(node: NodeUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pods of this file, begun at once; a folder of the node for what they write."""
    folder = tmp_path_factory.mktemp("diary")

    def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
        own = folder / name
        own.mkdir()
        return make_pod(name, *containers, volumes=[{"name": "diary", "hostPath": {"path": str(own)}}], **spec)

    sidecar = {"restartPolicy": "Always"}
    gate = {"exec": {"command": ["test", "-e", "/diary/open"]}, "periodSeconds": 1, "failureThreshold": 600}
    well = {"exec": {"command": ["test", "!", "-e", "/diary/ill"]}, "periodSeconds": 1, "failureThreshold": 1}
    restart_all = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
    node.apply(
        pod(
            "ordered",
            *(note("m1"), note("m2")),
            initContainers=[
                note("i1"),
                writer("s1", startupProbe=gate, **sidecar),
                note("i2"),
                writer("s2", **sidecar),
            ],
            restartPolicy="Never",
        ),
        pod("backwards", writer("m"), initContainers=[writer(f"s{n}", **sidecar) for n in (1, 2, 3)]),
        pod(
            "lively",
            container("m"),
            initContainers=[
                shell("s", ONCE.format("s", "exec sleep 100000") + "exit 3", volumeMounts=[DIARY], **sidecar)
            ],
            restartPolicy="Never",
        ),
        pod("init-never", note("m"), initContainers=[shell("i", "exit 9"), note("j")], restartPolicy="Never"),
        pod(
            "init-again",
            note("m"),
            initContainers=[shell("i", ONCE.format("i", "exit 0") + "exit 9", volumeMounts=[DIARY])],
            restartPolicy="OnFailure",
        ),
        pod("never", shell("good", "exit 0"), shell("bad", "exit 7"), restartPolicy="Never"),
        pod(
            "on-failure",
            shell("good", "exit 0"),
            shell("bad", ONCE.format("bad", "exit 0") + "exit 7", volumeMounts=[DIARY]),
            restartPolicy="OnFailure",
        ),
        *(pod(f"changed-{policy.lower()}", container("c"), restartPolicy=policy) for policy in POLICIES),
        pod(
            "unwell",
            shell("c", "trap 'exit 0' TERM; sleep 100000 & wait", volumeMounts=[DIARY], livenessProbe=well),
            restartPolicy="OnFailure",
            terminationGracePeriodSeconds=30,
        ),
        pod("debugged", container("c")),
        pod(
            "ruled",
            shell("again", ONCE.format("r", "exit 3") + "exit 42", volumeMounts=[DIARY])
            | {k: v for k, v in with_exit("x", 0, "Restart").items() if k.startswith("restart")},
            shell("never", "exit 42"),
            with_exit("other", 41, "Restart"),
            restartPolicy="Never",
        ),
        pod(
            "all-again",
            shell(
                "trigger",
                "echo trigger >> /diary/d; " + ONCE.format("t", "exec sleep 100000") + "sleep 1; exit 42",
                volumeMounts=[DIARY],
                restartPolicy="Never",
                restartPolicyRules=restart_all,
            ),
            writer("other"),
            initContainers=[note("i"), writer("s", **sidecar)],
            restartPolicy="Never",
        ),
        pod(
            "all-by-sidecar",
            writer("other"),
            initContainers=[
                note("i"),
                shell(
                    "trigger",
                    ONCE.format("t", "exec sleep 100000") + "while ! test -e /diary/go; do sleep 0.1; done; exit 42",
                    volumeMounts=[DIARY],
                    restartPolicyRules=restart_all,
                    **sidecar,
                ),
            ],
            restartPolicy="Never",
        ),
        pod("fresh", container("c"), initContainers=[note("i")], shareProcessNamespace=True),
    )
    return folder


def _started(node: NodeUnderTest, pod: str) -> list[str]:
    return [path for _, reason, _, path in told(node, pod) if reason == "Started"]


def lines(diary: Path, pod: str) -> list[str]:
    path = diary / pod / "d"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def test_init_containers_and_sidecars_come_in_order(node: NodeUnderTest, diary: Path) -> None:
    """4.3: one after the other in the order of the spec; a sidecar that has not started holds up all behind it, for as long as
    its startup probe says so; then the regular containers. When those are done the sidecars end, the later one first, and the
    pod has succeeded."""
    pod = node.pod_when("ordered", lambda pod: state_of(pod, "s1")[0] == "running" and "Initialized" in conditions(pod))
    assert lines(diary, "ordered") == ["i1", "s1"]
    assert (pod["status"]["phase"], conditions(pod)["Initialized"]) == (
        "Pending",
        ("False", "ContainersNotInitialized", "containers with incomplete status: [s1 i2 s2]"),
    )
    assert [state_of(pod, name) for name in ("i1", "i2", "m1")] == [
        ("terminated", "Completed", 0),
        ("waiting", "PodInitializing", ""),
        ("waiting", "PodInitializing", ""),
    ]
    (diary / "ordered" / "open").touch()
    pod = node.pod_when("ordered", finished)
    written = lines(diary, "ordered")
    assert written[:4] + sorted(written[4:6]) == ["i1", "s1", "i2", "s2", "m1", "m2"]
    assert written[6:] == ["s2 ends", "s1 ends"]
    assert pod["status"]["phase"] == "Succeeded"
    assert [state_of(pod, name) for name in ("s1", "s2", "m1", "m2")] == [("terminated", "Completed", 0)] * 4
    expected = [
        *(field(name, "initContainers") for name in ("i1", "s1", "i2", "s2")),
        *(field(name) for name in ("m1", "m2")),
    ]
    # events take their turn, and many pods begin here at once
    started = eventually(
        lambda: found if len(found := _started(node, "ordered")) >= len(expected) else [], "events of ordered"
    )
    assert started == expected


def test_sidecars_end_in_reverse_after_the_main_container(node: NodeUnderTest, diary: Path) -> None:
    """9.2: a deleted pod's main container ends first, then the sidecars from the last to the first."""
    node.running("backwards")
    eventually(lambda: len(lines(diary, "backwards")) == 4, "all have begun")
    node.kubectl("delete", "pod", "backwards")
    assert lines(diary, "backwards") == ["s1", "s2", "s3", "m", "m ends", "s3 ends", "s2 ends", "s1 ends"]


def test_a_sidecar_is_restarted_in_a_pod_that_restarts_nothing(node: NodeUnderTest) -> None:
    """4.3: a sidecar's own policy counts, not the pod's Never; the main container does not notice."""
    pod = node.pod_when("lively", lambda pod: restarted(name="s")(pod) and state_of(pod, "s")[0] == "running")
    last = status_of(pod, "s")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert (pod["status"]["phase"], status_of(pod, "m")["restartCount"]) == ("Running", 0)


def test_an_init_container_that_fails(node: NodeUnderTest, diary: Path) -> None:
    """4.3: under Never the pod has failed, and what comes behind never starts; under OnFailure it is tried again."""
    pod = node.pod_when("init-never", finished)
    assert pod["status"]["phase"] == "Failed"
    assert [state_of(pod, name) for name in ("i", "j", "m")] == [
        ("terminated", "Error", 9),
        ("waiting", "PodInitializing", ""),
        ("waiting", "PodInitializing", ""),
    ]
    assert lines(diary, "init-never") == []
    pod = node.pod_when("init-again", lambda pod: state_of(pod, "m")[0] == "terminated")
    assert state_of(pod, "i") == ("terminated", "Completed", 0)
    assert status_of(pod, "i")["restartCount"] == 1
    assert node.pod_when("init-again", finished)["status"]["phase"] == "Succeeded"


def test_restart_policies(node: NodeUnderTest) -> None:
    """4.5: Never leaves every exit as it is; OnFailure starts again what did not exit with 0, and nothing else."""
    pod = node.pod_when("never", finished)
    assert pod["status"]["phase"] == "Failed"
    assert [state_of(pod, name) for name in ("bad", "good")] == [
        ("terminated", "Error", 7),
        ("terminated", "Completed", 0),
    ]
    pod = node.pod_when("on-failure", finished)
    assert pod["status"]["phase"] == "Succeeded"
    assert [(state_of(pod, name), status_of(pod, name)["restartCount"]) for name in ("bad", "good")] == [
        (("terminated", "Completed", 0), 1),
        (("terminated", "Completed", 0), 0),
    ]


def test_restart_rules(node: NodeUnderTest) -> None:
    """4.5: a container's rule restarts it for its exit code though the pod's policy is Never; other codes, and containers
    without a rule, end as they are."""
    pod = node.pod_when("ruled", finished)
    assert pod["status"]["phase"] == "Failed"
    assert {
        name: (state_of(pod, name)[2], status_of(pod, name)["restartCount"]) for name in ("again", "never", "other")
    } == {
        "again": (3, 1),
        "never": (42, 0),
        "other": (41, 0),
    }


def test_restart_all_containers(node: NodeUnderTest, diary: Path) -> None:
    """4.6: the exit code removes every init and regular container and the pod starts over from its first init container, in the
    same sandbox with the same IP; each counts one restart, and says why in its last state; the first run's log is kept."""
    before = node.pod_when("all-again", lambda pod: pod["status"].get("podIP"))
    pod = node.pod_when(
        "all-again",
        lambda pod: (
            all(restarted(name=name)(pod) for name in ("i", "s", "trigger", "other"))
            and conditions(pod)["Ready"][0] == "True"
        ),
    )
    assert (pod["status"]["podIP"], pod["status"]["phase"]) == (before["status"]["podIP"], "Running")
    assert conditions(pod)["AllContainersRestarting"] == ("False", "", "")
    assert {name: status_of(pod, name)["restartCount"] for name in ("i", "s", "trigger", "other")} == dict.fromkeys(
        ("i", "s", "trigger", "other"), 1
    )
    for name in ("i", "s", "trigger", "other"):
        last = status_of(pod, name)["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"], last["message"]) == (
            137,
            "RestartingAllContainers",
            "The container is removed because RestartAllContainers in place",
        )
    begins = [line for line in lines(diary, "all-again") if "ends" not in line]
    assert [begins[:2], sorted(begins[2:4]), begins[4:6], sorted(begins[6:])] == [
        ["i", "s"],
        ["other", "trigger"],
        ["i", "s"],
        ["other", "trigger"],
    ]
    killed = sorted(
        (message, path)
        for _, reason, message, path in told(node, "all-again")
        if reason in ("Killing", "SandboxChanged")
    )
    assert killed == [("killing", field("other")), ("killing", field("s", "initContainers"))]


def test_nobody_sees_a_pod_end_that_restarts_all_its_containers(node: NodeUnderTest, diary: Path) -> None:
    """4.6: asked for by a sidecar under Never, where each exit could be the pod's end. On the way the phase stays Running, or is
    Pending while the init container runs again (6.1), and no other container is seen to be killed; in the end
    each has one restart, the finished init container too, and says why."""
    names = ("i", "trigger", "other")
    node.running("all-by-sidecar")
    with every_change(node, "all-by-sidecar") as seen:
        (diary / "all-by-sidecar" / "go").touch()
        pod = node.pod_when(
            "all-by-sidecar",
            lambda pod: all(restarted(name=name)(pod) for name in names) and conditions(pod)["Ready"][0] == "True",
        )
        versions = eventually(
            lambda: found if (found := seen())[-1]["status"] == pod["status"] else [], "the last change"
        )
    for version in versions:  # whether a watcher sees the init container's second run is a matter of luck
        initializing = state_of(version, "i")[0] == "running"
        assert version["status"]["phase"] == ("Pending" if initializing else "Running"), version["status"]
    assert {state_of(version, "other")[:2] for version in versions} <= {
        ("running", ""),
        ("waiting", ""),
        ("waiting", "PodInitializing"),
        ("waiting", "RestartingAllContainers"),
    }
    for name in names:
        status = status_of(pod, name)
        assert (name, status["restartCount"]) == (name, 1)
        assert status["lastState"]["terminated"]["reason"] == "RestartingAllContainers"


@pytest.mark.parametrize("policy", POLICIES)
def test_another_image_restarts_the_container(node: NodeUnderTest, policy: str) -> None:
    """4.2: a container whose image is edited is killed and started again, with its reason in an event, though it exits with 0 and
    whatever the pod's policy says; while the new image cannot be had it waits for it, and the pod's end is never told."""
    name = f"changed-{policy.lower()}"
    before = node.running(name)
    with every_change(node, name) as seen:
        node.kubectl("set", "image", f"pod/{name}", "c=127.0.0.1:1/demo:2")
        pod = node.pod_when(name, lambda pod: state_of(pod)[1] in ("ErrImagePull", "ImagePullBackOff"))
        assert pod["metadata"]["generation"] == before["metadata"]["generation"] + 1
        killed = ("Normal", "Killing", "Container c definition changed, will be restarted", field("c"))
        tells_of(node, name, killed)
        assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 0
        node.kubectl("set", "image", f"pod/{name}", "c=localhost/demo:1")
        pod = node.running(name)
        versions = seen()
    assert {version["status"]["phase"] for version in versions} == {"Running"}
    assert {state_of(version)[0] for version in versions} <= {"running", "waiting"}
    assert status_of(pod)["restartCount"] == 1
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 0


def test_what_a_probe_ends_starts_again_though_it_exits_with_0(node: NodeUnderTest, diary: Path) -> None:
    """4.2: under OnFailure a container that its liveness probe had killed is no container that is done."""
    node.running("unwell")
    with every_change(node, "unwell") as seen:
        (diary / "unwell" / "ill").touch()
        node.pod_when("unwell", restarted())
        (diary / "unwell" / "ill").unlink()
        versions = seen()
    assert {version["status"]["phase"] for version in versions} == {"Running"}
    assert status_of(versions[-1])["lastState"]["terminated"]["exitCode"] == 0


def test_debug_containers(node: NodeUnderTest) -> None:
    """4.4: `kubectl debug --target` runs a container among the target's processes; it ends and is not started again, is never
    ready, and the pod goes on as it was."""
    node.running("debugged")
    script = ["sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; exit 5"]
    node.kubectl("debug", "debugged", "--image=localhost/demo:1", "-c", "look", "--target=c", "--", *script)
    pod = node.pod_when("debugged", lambda pod: state_of(pod, "look")[0] == "terminated")
    assert state_of(pod, "look") == ("terminated", "Error", 5)
    assert [status_of(pod, "look")[key] for key in ("ready", "restartCount")] == [False, 0]
    assert "started" not in status_of(pod, "look")
    assert "sleep 100000" in log_when(node, "debugged", str, "look")
    assert conditions(pod)["Ready"][0] == "True"
    tells(node, "debugged", [*begun("c"), *begun("look", "ephemeralContainers")])
    assert log_of(node, "debugged", "look", 1) == ""


def test_a_sandbox_that_is_lost_is_made_anew(node: NodeUnderTest, diary: Path) -> None:
    """4.1: when the process that holds the sandbox is gone, everything is stopped, the pod gets another sandbox, and starts
    over from its init containers; an event tells."""
    node.running("fresh")
    pause = holders(node)
    assert len(pause) == 1
    os.kill(pause[0], signal.SIGKILL)
    pod = node.pod_when("fresh", lambda pod: restarted()(pod) and conditions(pod)["Ready"][0] == "True")
    assert lines(diary, "fresh") == ["i", "i"]
    # its end may be seen before the sandbox's: then it has been tried once more in the old one
    assert status_of(pod)["restartCount"] in (1, 2)
    changed = ("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", "")
    tells_of(node, "fresh", changed)


def holders(node: NodeUnderTest) -> list[int]:
    """Processes of this node's sandboxes that hold a shared PID namespace: catatonit's, parents of which belong to this node."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            cgroup = (process / "cgroup").read_text()
        except OSError:
            continue
        if b"catatonit" in command[0] and node.cgroup in cgroup:
            found.append(int(process.name))
    return found
