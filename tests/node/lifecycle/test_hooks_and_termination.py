"""postStart, preStop and the end of a pod on a real node (docs/facts/pod-lifecycle.md 8 and 9)."""

import json
from pathlib import Path
from typing import Any

import pytest
from live_trees import cgroups_below
from node_under_test import NodeUnderTest, eventually
from pods_under_test import container, field, finished, make_pod, shell, status_of, tells_of, told, waits_for

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("lifecycle-hooks")]

DIARY = {"name": "diary", "mountPath": "/diary"}


def hook(command: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", command]}}


@pytest.fixture(scope="module", autouse=True)
def diary(node: NodeUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pods of this file, begun at once, and a folder of the node that they write to."""
    folder = tmp_path_factory.mktemp("diary")

    def pod(name: str, item: dict[str, Any], **spec: Any) -> dict[str, Any]:
        (folder / name).mkdir()
        item["volumeMounts"] = [DIARY]
        return make_pod(name, item, volumes=[{"name": "diary", "hostPath": {"path": str(folder / name)}}], **spec)

    ends = "trap 'echo ends >>/diary/d; exit 0' TERM; while :; do sleep 0.1; done"
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    node.apply(
        pod("greeted", shell("c", ends, lifecycle={"postStart": hook("sleep 1; echo greets >>/diary/d")})),
        pod("not-greeted", shell("c", ends, lifecycle={"postStart": hook("echo no >&2; exit 3")})),
        pod("farewell", shell("c", ends, lifecycle={"preStop": hook("sleep 1; echo stops >>/diary/d")})),
        pod("bad-farewell", shell("c", ends, lifecycle={"preStop": hook("exit 4")})),
        pod("sleeper", shell("c", ends, lifecycle={"preStop": {"sleep": {"seconds": 1}}})),
        pod(
            "by-web",
            shell(
                "c", "httpd -p 8080 -h /; " + ends, lifecycle={"preStop": {"httpGet": {"port": 8080, "path": "/none"}}}
            ),
        ),
        pod("deaf", shell("c", deaf), terminationGracePeriodSeconds=2),
        pod("long-hook", shell("c", deaf, lifecycle={"preStop": hook("sleep 600")}), terminationGracePeriodSeconds=2),
        pod("due", shell("c", ends), activeDeadlineSeconds=2, restartPolicy="Always"),
        pod("polite", shell("c", ends)),
        pod("forced", shell("c", ends)),
    )
    return folder


def last_words(node: NodeUnderTest, name: str) -> tuple[str, int]:
    """Delete a pod; its phase and exit code as the watch last showed them."""
    version = node.running(name)["metadata"]["resourceVersion"]
    node.kubectl("delete", "pod", name, "--wait=false")
    eventually(lambda: not node.api.get(f"api/v1/namespaces/default/pods/{name}"), f"{name} is gone")
    # all that there was since: a pod may be gone before anybody has looked at it
    query = f"watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}&timeoutSeconds=1"
    shown = node.kubectl("get", "--raw", f"/api/v1/namespaces/default/pods?{query}")
    last = json.loads(shown.splitlines()[-1])
    assert last["type"] == "DELETED"
    seen = last["object"]
    ended = status_of(seen)["state"].get("terminated", {"exitCode": -1})
    return seen["status"]["phase"], ended["exitCode"]


def test_post_start(node: NodeUnderTest, diary: Path) -> None:
    """It runs when the container does, once; until it is done the container is shown to be on its way."""
    node.running("greeted")
    assert (diary / "greeted" / "d").read_text() == "greets\n"


def test_a_post_start_that_fails(node: NodeUnderTest) -> None:
    """The container is killed; reason, message and both events are the kubelet's; the output is in the message alone."""
    pod = node.pod_when("not-greeted", waits_for("PostStartHookError", "CrashLoopBackOff"))
    pod = pod if waits_for("PostStartHookError")(pod) else node.pod_when("not-greeted", waits_for("PostStartHookError"))
    message = status_of(pod)["state"]["waiting"]["message"]
    assert message.startswith(
        'Exec lifecycle hook ([sh -c echo no >&2; exit 3]) for Container "c" in Pod "not-greeted_default('
    )
    assert message.endswith('exited with 3: no\n, message: "no\\n"')
    tells_of(
        node,
        "not-greeted",
        ("Warning", "FailedPostStartHook", "PostStartHook failed", field("c")),
        ("Normal", "Killing", "FailedPostStartHook", field("c")),
    )


def test_pre_stop_comes_first(node: NodeUnderTest, diary: Path) -> None:
    """The hook has ended before the signal is sent; a pod that then ends by itself with 0 has succeeded."""
    last_words(node, "farewell")
    assert (diary / "farewell" / "d").read_text() == "stops\nends\n"
    tells_of(node, "farewell", ("Normal", "Killing", "Stopping container c", field("c")))


def test_a_pre_stop_that_fails(node: NodeUnderTest, diary: Path) -> None:
    """It is told, and the container is stopped all the same, gracefully."""
    last_words(node, "bad-farewell")
    assert (diary / "bad-farewell" / "d").read_text() == "ends\n"
    tells_of(node, "bad-farewell", ("Warning", "FailedPreStopHook", "PreStopHook failed", field("c")))


@pytest.mark.parametrize("name", ["sleeper", "by-web"])
def test_pre_stop_of_other_kinds(node: NodeUnderTest, diary: Path, name: str) -> None:
    """sleep waits, httpGet is content with any answer, also 404; no failure is told and the process ends gracefully."""
    last_words(node, name)
    assert (diary / name / "d").read_text() == "ends\n"
    assert not [reason for _, reason, _, _ in told(node, name) if reason == "FailedPreStopHook"]


@pytest.mark.parametrize("name", ["deaf", "long-hook"])
def test_the_grace_period_ends(node: NodeUnderTest, name: str) -> None:
    """A process that ignores SIGTERM, and one whose preStop never returns, are killed: 137, and the pod has failed."""
    phase, code = last_words(node, name)
    assert code in (137, -1)  # the last write may be the object's end
    assert phase in ("Failed", "Running")


def test_active_deadline(node: NodeUnderTest) -> None:
    """The pod fails with the kubelet's reason and message, its container gone, and is not started again."""
    pod = node.pod_when("due", lambda found: found["status"].get("reason") == "DeadlineExceeded" and finished(found))
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    message = "Pod was active on the node longer than the specified deadline"
    tells_of(node, "due", ("Normal", "DeadlineExceeded", message, ""))
    assert "terminated" in status_of(pod)["state"]


def test_the_object_goes_last(node: NodeUnderTest) -> None:
    """When the API has let the pod go, its folder, its cgroups and its logs are gone from the node."""
    uid = node.running("polite")["metadata"]["uid"]
    last_words(node, "polite")
    assert not (node.root_dir / "pods" / uid).exists()
    assert not [path for path in cgroups_below(node.cgroup) if path.name == f"pod{uid}"]
    assert not list((node.directory / "logs").glob(f"*_{uid}"))


def test_force_delete(node: NodeUnderTest, diary: Path) -> None:
    """The object goes at once; the node stops the container gracefully and leaves nothing."""
    uid = node.running("forced")["metadata"]["uid"]
    node.kubectl("delete", "pod", "forced", "--force", "--grace-period=0")
    eventually(lambda: not (node.root_dir / "pods" / uid).exists(), "the pod's folder is gone")
    assert (diary / "forced" / "d").read_text() == "ends\n"


def test_a_new_pod_of_the_same_name(node: NodeUnderTest) -> None:
    """Deleted and made again at once: the new one runs with a UID and container of its own, the old one is taken down."""
    node.apply(make_pod("twice", container("c")))
    first = node.running("twice")
    node.kubectl("delete", "pod", "twice", "--force", "--grace-period=0")
    node.apply(make_pod("twice", container("c")))
    second = node.running("twice")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert status_of(first)["containerID"] != status_of(second)["containerID"]
    eventually(lambda: not (node.root_dir / "pods" / first["metadata"]["uid"]).exists(), "the first is gone")
    node.kubectl("delete", "pod", "twice", "--wait=false")
