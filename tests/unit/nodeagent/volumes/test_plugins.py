"""Which volume type has a volume, of those that are there at the moment."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, Volume

from nodeagent.volumes.contract import UnsupportedVolume, VolumeSource
from nodeagent.volumes.plugins import Plugins


@dataclass
class Family:
    """Its members are what the test says."""

    there: list[Any] = field(default_factory=list)

    def members(self) -> list[Any]:
        return self.there


def source(persistent: dict[str, Any] | None = None, **volume: Any) -> VolumeSource:
    bound = msgspec.convert({"spec": persistent}, PersistentVolume) if persistent is not None else None
    return VolumeSource(volume=msgspec.convert({"name": "v", **volume}, Volume), persistent_volume=bound)


def test_members_of_a_family_come_and_go(plugin: Any) -> None:
    """Each question is about those of that moment, by volume and by the directory of its name."""
    family = Family()
    plugins = Plugins((), (family,))
    assert plugins.of_directory("test~scripted") is None
    family.there.append(plugin)
    assert plugins.of_source(source(emptyDir={})) is plugin
    assert plugins.of_directory("test~scripted") is plugin
    family.there.clear()
    with pytest.raises(UnsupportedVolume):
        plugins.of_source(source(emptyDir={}))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (source(gitRepo={"repository": "r"}), "volumes of type gitRepo"),
        (source({"rbd": {"monitors": [], "image": "i"}, "claimRef": {}}), "volumes of type rbd"),
        (source({"nfs": {"server": "s", "path": "/"}, "volumeMode": "Block"}), "block volumes of type nfs"),
        (source(), "volumes of type ?"),
    ],
)
def test_a_type_that_nobody_has_is_named(found: VolumeSource, text: str) -> None:
    """As the pod, or the PersistentVolume, declares it."""
    with pytest.raises(UnsupportedVolume) as caught:
        Plugins(()).of_source(found)
    assert str(caught.value) == f'volume "v": this node does not support {text}'
