"""Specs of probes' pods: profiles, users' files, changes laid over them."""

from pathlib import Path

import pytest

from nodeagent.isolation.contract import PodRequest
from nodeagent.isolation.profiles import PROFILES, ProfileError, pod_of, profile

SECRET = {"name": "b", "secret": {"secretName": "s", "optional": True}}


def test_changes_lie_over_the_profile() -> None:
    """Within the container too; the program's arguments and the limits stay."""
    changes = {"hostPID": True, "container": {"securityContext": {"runAsUser": 0, "runAsNonRoot": None}}}
    request = PodRequest(name="p", arguments=("clocks",), changes=changes)
    spec = pod_of(request, image="i", profile=PROFILES["restricted"])["spec"]
    container = spec["containers"][0]
    assert (spec["hostPID"], spec["restartPolicy"], container["args"]) == (True, "Never", ["clocks"])
    assert container["securityContext"]["runAsUser"] == 0
    assert "runAsNonRoot" not in container["securityContext"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"] == "512Mi"


def test_a_pod_of_the_users_own(tmp_path: Path) -> None:
    """Its security, namespaces and volumes, without its program and what a private node has no objects for."""
    path = tmp_path / "pod.yaml"
    path.write_text(
        """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeName: far
  hostIPC: true
  volumes: [{name: a, hostPath: {path: /}}, {name: b, secret: {secretName: s, optional: true}}]
  initContainers: [{name: i, image: x}]
  containers:
    - name: web
      image: nginx
      command: [nginx]
      env: [{name: A, value: "1"}, {name: B, valueFrom: {secretKeyRef: {name: s, key: k}}}]
      volumeMounts: [{name: a, mountPath: /srv}]
      securityContext: {privileged: true}
    - {name: other, image: y}
"""
    )
    spec = pod_of(PodRequest(name="p", arguments=()), image="i", profile=profile(str(path)).changes)["spec"]
    assert spec["hostIPC"] is True
    assert "nodeName" not in spec and "initContainers" not in spec
    assert spec["volumes"] == [{"name": "a", "hostPath": {"path": "/"}}, SECRET]
    assert [(each["name"], each["image"]) for each in spec["containers"]] == [("probe", "i")]
    container = spec["containers"][0]
    assert "command" not in container
    assert container["env"] == [{"name": "A", "value": "1"}]
    assert container["securityContext"] == {"privileged": True}


@pytest.mark.parametrize(
    "text", ["", "[]", "spec: {}", "spec: {containers: []}", "spec: {containers: [1]}", "{", "containers: 3"]
)
def test_no_pod(tmp_path: Path, text: str) -> None:
    """A file that is none says so; a name that is none says which there are."""
    path = tmp_path / "pod.yaml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=r"pod\.yaml"):
        profile(str(path))
    with pytest.raises(ProfileError, match="'strict' is none of baseline, restricted, privileged, and no file"):
        profile("strict")
    for name in ("\0", "x" * 5000):
        with pytest.raises(ProfileError):
            profile(name)
