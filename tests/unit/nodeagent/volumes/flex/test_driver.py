"""What FlexVolume drivers answer, and what they are told."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, Volume

from nodeagent.volumes.contract import VolumeSource
from nodeagent.volumes.flex.driver import Answer, DriverCapabilities, driver_name, program_of, read_answer
from nodeagent.volumes.flex.plugin import declared, options_json
from runtimes.kube.json_errors import UNREADABLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"status": "Success"}', Answer(status="Success")),
        ('{"Status": "Failure", "Message": "no"}', Answer(status="Failure", message="no")),
        ('{"status": "Success", "device": "/dev/sdx", "volumeName": "v"}', Answer(status="Success", device="/dev/sdx")),
        ('{"status": "Success", "message": null, "new": [1]}', Answer(status="Success")),
        (
            '{"status": "Success", "capabilities": {"attach": false, "fsGroup": false, "requiresFSResize": false}}',
            Answer(status="Success", capabilities=DriverCapabilities(attach=False, fs_group=False)),
        ),
        (
            '{"status": "Success", "Capabilities": {"selinuxRelabel": false, "supportsMetrics": true}}',
            Answer(status="Success", capabilities=DriverCapabilities(selinux_relabel=False, supports_metrics=True)),
        ),
        ("{}", Answer()),
    ],
)
def test_what_a_driver_says(text: str, expected: Answer) -> None:
    """In whatever case it writes keys; what it does not say is the default, what is unknown is passed over."""
    assert read_answer(text.encode()) == expected


@pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'"Success"', b'{"status": 1}', b"[" * 100_000, b"\xff"])
def test_what_is_no_answer(data: bytes) -> None:
    """It is one of the errors that the caller knows."""
    with pytest.raises(UNREADABLE):
        read_answer(data)


@pytest.mark.parametrize(
    ("directory", "name", "program"),
    [("vendor~cifs", "vendor/cifs", "vendor~cifs/cifs"), ("plain", "plain", "plain/plain")],
)
def test_names(directory: str, name: str, program: str) -> None:
    """`~` is the slash of a driver's name; the program is called after what follows it."""
    assert driver_name(directory) == name
    assert program_of(Path("/d") / directory) == Path("/d") / program


def source_of(volume: dict[str, Any], persistent: dict[str, Any] | None = None) -> VolumeSource:
    found = None
    if persistent is not None:
        body = {"metadata": {"name": "pv"}, "spec": persistent}
        found = msgspec.convert(body, PersistentVolume)
    return VolumeSource(volume=msgspec.convert({"name": "v", **volume}, Volume), persistent_volume=found)


def test_the_options_of_a_pods_volume() -> None:
    """The volume's own, and what the agent knows, which the volume cannot overrule."""
    options = {"share": "x", "kubernetes.io/readwrite": "rw", "kubernetes.io/pod.uid": "another's"}
    source = source_of({"flexVolume": {"driver": "a/b", "fsType": "ext4", "readOnly": True, "options": options}})
    what = declared(source)
    assert what is not None
    assert json.loads(options_json(source, what, {"kubernetes.io/pod.uid": "u"})) == {
        "share": "x",
        "kubernetes.io/fsType": "ext4",
        "kubernetes.io/readwrite": "ro",
        "kubernetes.io/pvOrVolumeName": "v",
        "kubernetes.io/pod.uid": "u",
    }


def test_what_a_claim_leads_to() -> None:
    """The PersistentVolume's driver and secret, with its namespace; read-only where the pod or the volume says so."""
    flex = {"driver": "a/b", "secretRef": {"name": "s", "namespace": "storage"}}
    source = source_of({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, {"flexVolume": flex})
    what = declared(source)
    assert what is not None
    assert (what.driver, what.secret, what.read_only) == ("a/b", ("storage", "s"), True)
    assert json.loads(options_json(source, what))["kubernetes.io/pvOrVolumeName"] == "pv"


def test_other_types_are_no_ones() -> None:
    """Neither in a pod nor behind a claim."""
    assert declared(source_of({"emptyDir": {}})) is None
    assert declared(source_of({"persistentVolumeClaim": {"claimName": "c"}}, {"hostPath": {"path": "/x"}})) is None
