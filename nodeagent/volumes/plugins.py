"""The volume types of this node: those that are always there, and the drivers that come and go."""

from collections.abc import Iterator, Sequence

import msgspec
from lightkube.models.core_v1 import PersistentVolumeSpec, Volume

from nodeagent.volumes.contract import PluginFamily, UnsupportedVolume, VolumePlugin, VolumeSource
from nodeagent.volumes.layout import plugin_directory_name

_NO_KINDS = ("claimRef", "nodeAffinity")  # of a PersistentVolume's fields


class Plugins:
    """Asked anew for each volume: a family's members are those of the moment."""

    def __init__(self, types: Sequence[VolumePlugin], families: Sequence[PluginFamily] = ()) -> None:
        self._types = tuple(types)
        self._families = tuple(families)

    def __iter__(self) -> Iterator[VolumePlugin]:
        yield from self._types
        for family in self._families:
            yield from family.members()

    def of_source(self, source: VolumeSource) -> VolumePlugin:
        """Raises UnsupportedVolume."""
        for plugin in self:
            if plugin.supports(source):
                return plugin
        spec = source.volume if source.persistent_volume is None else source.persistent_volume.spec
        kind = next((name for name in _kinds(spec) if name not in _NO_KINDS), "?")
        mode = "block " if source.block else ""
        raise UnsupportedVolume(
            f'volume "{source.volume.name}": this node does not support {mode}volumes of type {kind}'
        )

    def of_directory(self, directory: str) -> VolumePlugin | None:
        """Whose volumes are in `pods/<uid>/volumes/<directory>`; None: nobody's any more."""
        return next((plugin for plugin in self if plugin_directory_name(plugin.name) == directory), None)


def _kinds(spec: Volume | PersistentVolumeSpec | None) -> Iterator[str]:
    for name in spec.__struct_fields__ if spec is not None else ():
        if isinstance(getattr(spec, name), msgspec.Struct):
            yield name
