"""A user's pod as the spec that probes run in: what is taken, what is told to be changed, what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nodeagent.isolation.user_pod import PodFileError, missing_of, read


def written(folder: Path, spec: dict[str, Any]) -> Path:
    path = folder / "pod.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}))
    return path


def test_all_that_is_changed_is_told(tmp_path: Path) -> None:
    """Other containers, what a private node has no objects for, what would end the probe; what stays is not named."""
    container = {
        "name": "web",
        "image": "nginx",
        "tty": True,
        "ports": [{"hostPort": 80}],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "readinessProbe": {"exec": {"command": ["true"]}},
        "resources": {
            "limits": {"memory": "64Mi", "cpu": 100000, "nvidia.com/gpu": 1},
            "requests": {"cpu": 64},
            "claims": [{"name": "gpu"}],
        },
    }
    spec = {
        "hostPID": True,
        "runtimeClassName": "kata",
        "priorityClassName": "high",
        "initContainers": [{"name": "first"}],
        "containers": [container, {"name": "side"}],
    }
    found = read(written(tmp_path, spec))
    assert found.told == (
        "container web: image, command and arguments are the probe's",
        "left out: containers first, side",
        "left out: spec.priorityClassName, spec.runtimeClassName, spec.containers[0].ports, "
        "spec.containers[0].readinessProbe, env S",
        "resources: its limits of CPU, memory and storage alone, as far as an evaluation may use them",
    )
    assert found.changes == {
        "hostPID": True,
        "volumes": [],
        "container": {
            "tty": True,
            "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "1Mi"}},
            "env": container["env"][:2],
        },  # type: ignore[index]
    }
    assert found.pod["spec"]["runtimeClassName"] == "kata"


@pytest.mark.parametrize(
    ("pod", "context", "given"),
    [
        ({"runAsNonRoot": True}, {}, True),
        ({}, {"runAsNonRoot": True, "privileged": False}, True),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, False),
        ({"runAsNonRoot": True, "runAsUser": 7}, {}, False),
        ({"runAsUser": 7}, {"runAsNonRoot": True}, False),
        ({}, {}, False),
    ],
)
def test_a_user_where_the_image_was_counted_on(
    tmp_path: Path, pod: dict[str, Any], context: dict[str, Any], given: bool
) -> None:
    """The probe's image names none, and the kubelet refuses root where the spec does."""
    spec = {"securityContext": pod, "containers": [{"name": "c", "securityContext": context}]}
    found = read(written(tmp_path, spec))
    assert (found.changes["container"]["securityContext"].get("runAsUser") == 65534) is given
    assert any("runAsUser: 65534" in line for line in found.told) is given


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"name": "a", "emptyDir": {}}, ""),
        ({"name": "a"}, ""),
        ({"name": "a", "hostPath": {"path": "/"}}, ""),
        (
            {"name": "a", "hostPath": {"path": "/no/such"}},
            "hostPath /no/such is not on this machine, and is not made for a look",
        ),
        (
            {"name": "a", "hostPath": {"path": "/no/such", "type": "DirectoryOrCreate"}},
            "hostPath /no/such is not on this machine, and is not made for a look",
        ),
        ({"name": "a", "configMap": {"name": "c"}}, "configMap c is not on a private node (optional: true)"),
        ({"name": "a", "configMap": {"name": "c", "optional": True}}, ""),
        ({"name": "a", "secret": {"secretName": "s"}}, "secret s is not on a private node (optional: true)"),
        ({"name": "a", "persistentVolumeClaim": {"claimName": "d"}}, "persistentVolumeClaim is not on a private node"),
        ({"name": "a", "csi": {"driver": "d"}}, "csi is not on a private node"),
        ({"name": "a", "projected": {"sources": [{"serviceAccountToken": {}}, {"downwardAPI": {}}]}}, ""),
        (
            {"name": "a", "projected": {"sources": [{"secret": {"name": "s"}}]}},
            "secret of a projected volume is not on a private node (optional: true)",
        ),
        ({"name": "a", "projected": {"sources": [{"configMap": {"name": "c", "optional": True}}]}}, ""),
    ],
)
def test_volumes_that_do_not_exist_here(tmp_path: Path, volume: dict[str, Any], why: str) -> None:
    """Are refused with what is missing, and are not made up."""
    assert missing_of(volume) == why
    path = written(tmp_path, {"volumes": [volume], "containers": [{"name": "c"}]})
    if not why:
        assert read(path).changes["volumes"] == [volume]
        return
    with pytest.raises(PodFileError) as raised:
        read(path)
    assert str(raised.value) == f"{path}: volumes that do not exist here: a: {why}"


def test_a_pod_of_windows(tmp_path: Path) -> None:
    """Has no place here."""
    with pytest.raises(PodFileError, match="a pod of Windows: this is Linux"):
        read(written(tmp_path, {"os": {"name": "windows"}, "containers": [{"name": "c"}]}))


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": 3},
        {"securityContext": 3},
        {"initContainers": 3},
        {"containers": [{"name": "c", "env": 3}]},
        {"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": 3}]}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/" + 5000 * "a"}}]},
        {"volumes": [{"name": "v", "projected": {"sources": 3}}]},
    ],
)
def test_what_is_shaped_like_no_pod(tmp_path: Path, spec: dict[str, Any]) -> None:
    """A number where a list belongs, a path that no file has: a word to the user, and no traceback."""
    with pytest.raises(PodFileError, match=r"pod\.yaml: no Pod: "):
        read(written(tmp_path, {"containers": [{"name": "c"}], **spec}))
