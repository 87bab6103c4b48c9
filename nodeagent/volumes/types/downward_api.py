"""downwardAPI volumes: a pod's own metadata and its containers' resources as files."""

from collections.abc import Mapping, Sequence

from lightkube.models.core_v1 import DownwardAPIVolumeFile, PodSpec, ResourceFieldSelector
from typing_extensions import override

from nodeagent.podspec import downward
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.sources import Allocatable
from nodeagent.volumes.types.atomic_writer import FileEntry
from nodeagent.volumes.types.payload_budget import Measure, PayloadBudget
from nodeagent.volumes.types.payload_volume import DEFAULT_MODE, Backing, Payload, PayloadVolume
from nodeagent.volumes.types.publish_only import PublishOnly
from runtimes.linux.tasks import run_blocking

NAME = "kubernetes.io/downward-api"
_MAX_ERRORS = 10
_Key = tuple[str | None, ...]
Texts = dict[_Key, bytes | str]
"""Content, or what is wrong, by what is asked for."""


class DownwardAPIPlugin(PublishOnly):
    name = NAME

    def __init__(
        self,
        layout: Layout,
        allocatable: Allocatable,
        budget: PayloadBudget,
        volume: type[PayloadVolume] = PayloadVolume,
    ) -> None:
        self._volume = volume(layout, allocatable, NAME, Backing.MEMORY, budget)
        self._allocatable = allocatable

    def supports(self, source: VolumeSource) -> bool:
        return source.volume.downwardAPI is not None

    @override
    def capabilities(self, source: VolumeSource) -> Capabilities:
        return Capabilities(republish=True)

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        source = request.volume.downwardAPI
        assert source is not None
        mode = DEFAULT_MODE if source.defaultMode is None else source.defaultMode
        with self._volume.measured(request) as measure:
            payload = await downward_payload(request.pod, source.items or (), mode, self._allocatable(), measure, {})
            return await self._volume.publish(request, payload)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        await self._volume.remove(uid, directory_name)


async def downward_payload(
    pod: AgentPod,
    items: Sequence[DownwardAPIVolumeFile],
    mode: int,
    allocatable: Mapping[str, str],
    measure: Measure,
    texts: Texts,
) -> Payload:
    """Raises VolumeError with what is wrong with every item at once. `texts`: of the volume's other sources; grows."""
    # annotations are a quarter of a mebibyte, which takes its time to quote: once, and elsewhere
    if any(_key(item) not in texts for item in items):
        await run_blocking(_add_texts, texts, pod, items, allocatable)
    payload: dict[str, FileEntry] = {}
    errors: list[str] = []
    for item in items:
        text = texts[_key(item)]
        if isinstance(text, str):
            errors.append(text)
            continue
        entry = FileEntry(data=text, mode=mode if item.mode is None else item.mode, uid=item.user)
        measure.take([(item.path, entry)])
        payload[item.path] = entry
    if errors:
        raise VolumeError(aggregate(errors))
    return payload


def _add_texts(
    found: Texts, pod: AgentPod, items: Sequence[DownwardAPIVolumeFile], allocatable: Mapping[str, str]
) -> None:
    for item in items:
        if (key := _key(item)) not in found:
            try:
                found[key] = _text(pod, item, allocatable).encode()
            except downward.UnsupportedField as error:
                found[key] = str(error)


def _key(item: DownwardAPIVolumeFile) -> _Key:
    if (field := item.fieldRef) is not None:
        return ("field", field.apiVersion, field.fieldPath)
    if (resource := item.resourceFieldRef) is not None:
        return ("resource", resource.containerName, resource.resource, resource.divisor)
    return ("nothing", item.path)


def aggregate(errors: Sequence[str]) -> str:
    """Several messages as one: `[a, b]`, each of them once; of many the first ones."""
    distinct = list(dict.fromkeys(errors))
    if len(distinct) > _MAX_ERRORS:
        distinct = [*distinct[:_MAX_ERRORS], f"and {len(distinct) - _MAX_ERRORS} more"]
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"


def _text(pod: AgentPod, item: DownwardAPIVolumeFile, allocatable: Mapping[str, str]) -> str:
    if item.fieldRef is not None:
        return downward.volume_field(pod.metadata, item.fieldRef)
    if item.resourceFieldRef is not None:
        return _resource(pod.spec, item.resourceFieldRef, allocatable)
    raise downward.UnsupportedField(f"{item.path}: neither fieldRef nor resourceFieldRef is given")


def _resource(spec: PodSpec, selector: ResourceFieldSelector, allocatable: Mapping[str, str]) -> str:
    found = downward.find_container(spec, selector.containerName or "")
    if found is None:
        raise downward.UnsupportedField(f"container {selector.containerName} not found")
    return downward.resource_value(
        found[0].resources, selector, pod_limits=downward.pod_limits(spec), allocatable=allocatable
    )
