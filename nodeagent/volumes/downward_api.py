"""downwardAPI volumes: a pod's own metadata and its containers' resources as files."""

from collections.abc import Mapping, Sequence

from lightkube.models.core_v1 import DownwardAPIVolumeFile, Pod, ResourceFieldSelector, Volume

from nodeagent.volumes import downward
from nodeagent.volumes.atomic_writer import FileEntry
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.payload_volume import DEFAULT_MODE, Backing, Payload, PayloadVolume
from nodeagent.volumes.sources import PodResources

NAME = "kubernetes.io/downward-api"


class DownwardAPIPlugin:
    name = NAME
    capabilities = Capabilities(needs_refresh=True)

    def __init__(self, layout: Layout, resources: PodResources) -> None:
        self._volume = PayloadVolume(layout, resources, NAME, Backing.MEMORY)
        self._resources = resources

    def supports(self, volume: Volume) -> bool:
        return volume.downwardAPI is not None

    async def setup(self, request: VolumeRequest) -> MountedVolume:
        source = request.volume.downwardAPI
        assert source is not None
        mode = DEFAULT_MODE if source.defaultMode is None else source.defaultMode
        payload = downward_payload(request.pod, source.items or (), mode, self._resources.allocatable())
        return await self._volume.publish(request, payload)

    async def teardown(self, uid: str, directory_name: str) -> None:
        await self._volume.remove(uid, directory_name)


def downward_payload(
    pod: Pod, items: Sequence[DownwardAPIVolumeFile], mode: int, allocatable: Mapping[str, str]
) -> Payload:
    """Raises VolumeError with what is wrong with every item at once."""
    payload: dict[str, FileEntry] = {}
    errors: list[str] = []
    for item in items:
        try:
            text = _text(pod, item, allocatable)
        except downward.FieldError as error:
            errors.append(str(error))
            continue
        payload[item.path] = FileEntry(data=text.encode(), mode=mode if item.mode is None else item.mode, uid=item.user)
    if errors:
        raise VolumeError(aggregate(errors))
    return payload


def aggregate(errors: Sequence[str]) -> str:
    """Several messages as one: `[a, b]`, each of them once."""
    distinct = list(dict.fromkeys(errors))
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"


def _text(pod: Pod, item: DownwardAPIVolumeFile, allocatable: Mapping[str, str]) -> str:
    if item.fieldRef is not None:
        return downward.volume_field(pod, item.fieldRef)
    if item.resourceFieldRef is not None:
        return _resource(pod, item.resourceFieldRef, allocatable)
    raise downward.FieldError(f"{item.path}: neither fieldRef nor resourceFieldRef is given")


def _resource(pod: Pod, selector: ResourceFieldSelector, allocatable: Mapping[str, str]) -> str:
    found = downward.find_container(pod, selector.containerName or "")
    if found is None:
        raise downward.FieldError(f"container {selector.containerName} not found")
    return downward.resource_value(
        found[0].resources, selector, pod_limits=downward.pod_limits(pod), allocatable=allocatable
    )
