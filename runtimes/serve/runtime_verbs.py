"""The verbs of the CRI's RuntimeService over several runtimes: lists are merged, ids and handlers route the rest."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
from google.protobuf.message import Message

from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.registry import Runtime
from runtimes.serve import metrics
from runtimes.serve.calls import Service, Unary
from runtimes.serve.events import EventStreams
from runtimes.serve.router import Router
from runtimes.serve.streams import StreamingURLs, attach_answer, exec_answer, port_forward_answer

_API_VERSION = "v1"
_CRI_VERSION = "0.1.0"
_CHUNK = 100  # items in a message of a streamed list: the statistics of so many stay far below a message's 16 MiB

_Verb: TypeAlias = Callable[[RuntimeService], Callable[[Any], Awaitable[Message]]]
_Answer = TypeVar("_Answer", bound=Message)

_OF_SANDBOX: Mapping[str, _Verb] = {
    "StopPodSandbox": lambda service: service.stop_pod_sandbox,
    "RemovePodSandbox": lambda service: service.remove_pod_sandbox,
    "PodSandboxStatus": lambda service: service.pod_sandbox_status,
    "UpdatePodSandboxResources": lambda service: service.update_pod_sandbox_resources,
    "PodSandboxStats": lambda service: service.pod_sandbox_stats,
    "CreateContainer": lambda service: service.create_container,
}
_OF_CONTAINER: Mapping[str, _Verb] = {
    "StartContainer": lambda service: service.start_container,
    "StopContainer": lambda service: service.stop_container,
    "RemoveContainer": lambda service: service.remove_container,
    "ContainerStatus": lambda service: service.container_status,
    "UpdateContainerResources": lambda service: service.update_container_resources,
    "ReopenContainerLog": lambda service: service.reopen_container_log,
    "CheckpointContainer": lambda service: service.checkpoint_container,
    "ExecSync": lambda service: service.exec_sync,
    "ContainerStats": lambda service: service.container_stats,
}


class RuntimeVerbs:
    """`version`: of this program, which `crictl version` and the node's status show."""

    def __init__(self, router: Router, urls: StreamingURLs, version: str) -> None:
        self._router = router
        self._urls = urls
        self._version = version
        self.events = EventStreams(router)

    def service(self) -> Service:
        unary: dict[str, Unary] = {
            "Version": self._say_version,
            "Status": self._status,
            "RuntimeConfig": lambda request: self._router.default.service.runtime_config(request),
            "UpdateRuntimeConfig": self._update_runtime_config,
            "RunPodSandbox": self._run_pod_sandbox,
            "ListPodSandbox": self._list_pod_sandbox,
            "ListContainers": self._list_containers,
            "ListContainerStats": self._list_container_stats,
            "ListPodSandboxStats": self._list_pod_sandbox_stats,
            "Exec": self._exec,
            "Attach": self._attach,
            "PortForward": self._port_forward,
            "ListMetricDescriptors": self._list_metric_descriptors,
            "ListPodSandboxMetrics": self._list_pod_sandbox_metrics,
        }
        unary |= {name: self._of_sandbox(verb) for name, verb in _OF_SANDBOX.items()}
        unary |= {name: self._of_container(verb) for name, verb in _OF_CONTAINER.items()}
        return Service(
            name="RuntimeService",
            unary=unary,
            streamed={
                "StreamPodSandboxes": self._stream_pod_sandboxes,
                "StreamContainers": self._stream_containers,
                "StreamContainerStats": self._stream_container_stats,
                "StreamPodSandboxStats": self._stream_pod_sandbox_stats,
                "StreamPodSandboxMetrics": self._stream_pod_sandbox_metrics,
                "GetContainerEvents": lambda _request: self.events.follow(),
            },
        )

    # -- the runtimes themselves ---------------------------------------------------------------------------------------

    async def _say_version(self, request: cri.VersionRequest) -> cri.VersionResponse:
        return cri.VersionResponse(
            version=_CRI_VERSION,
            runtime_name="nodeagent",
            runtime_version=self._version,
            runtime_api_version=_API_VERSION,
        )

    async def _status(self, request: cri.StatusRequest) -> cri.StatusResponse:
        """A condition is true when it is for every runtime; the features of the default are those of the empty name, too."""
        answers = await self._router.ask_all(lambda service: service.status, request)
        merged = cri.StatusResponse()
        merged.status.conditions.extend(_conditions(answers))
        for runtime, answer in answers:
            features = _features(runtime, answer)
            merged.runtime_handlers.add(name=runtime.handler, features=features)
            if runtime is self._router.default:
                merged.runtime_handlers.add(name="", features=features)
        merged.features.supplemental_groups_policy = all(
            answer.features.supplemental_groups_policy for _, answer in answers
        )
        if request.verbose:
            versions = await self._router.ask_all(lambda service: service.version, cri.VersionRequest())
            told = dict.fromkeys((runtime.handler for runtime in self._router.runtimes), "not started")
            told |= {runtime.handler: f"{item.runtime_name} {item.runtime_version}" for runtime, item in versions}
            merged.info["handlers"] = msgspec.json.encode(told).decode()
        return merged

    async def _update_runtime_config(self, request: cri.UpdateRuntimeConfigRequest) -> cri.UpdateRuntimeConfigResponse:
        for runtime in self._router.runtimes:
            # not `ask_all`: some take this before they are started, and it says nothing of what they hold
            await runtime.service.update_runtime_config(request)
        return cri.UpdateRuntimeConfigResponse()

    # -- routing -------------------------------------------------------------------------------------------------------

    def _of_sandbox(self, verb: _Verb) -> Unary:
        async def call(request: Any) -> Message:
            runtime = await self._router.of_sandbox(request.pod_sandbox_id)
            return await verb(runtime.service)(request)

        return call

    def _of_container(self, verb: _Verb) -> Unary:
        async def call(request: Any) -> Message:
            runtime = await self._router.of_container(request.container_id)
            return await verb(runtime.service)(request)

        return call

    async def _run_pod_sandbox(self, request: cri.RunPodSandboxRequest) -> cri.RunPodSandboxResponse:
        runtime = self._router.by_handler(request.runtime_handler)
        named = cri.RunPodSandboxRequest(config=request.config, runtime_handler=runtime.cri_handler)
        return await runtime.service.run_pod_sandbox(named)

    async def _exec(self, request: cri.ExecRequest) -> cri.ExecResponse:
        return await exec_answer(await self._router.of_container(request.container_id), self._urls, request)

    async def _attach(self, request: cri.AttachRequest) -> cri.AttachResponse:
        return await attach_answer(await self._router.of_container(request.container_id), self._urls, request)

    async def _port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse:
        return await port_forward_answer(await self._router.of_sandbox(request.pod_sandbox_id), self._urls, request)

    # -- lists ---------------------------------------------------------------------------------------------------------

    async def _list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        return _joined(await self._router.ask_all(lambda service: service.list_pod_sandbox, request))

    async def _list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        return _joined(await self._router.ask_all(lambda service: service.list_containers, request))

    async def _list_container_stats(self, request: cri.ListContainerStatsRequest) -> cri.ListContainerStatsResponse:
        return _joined(await self._router.ask_all(lambda service: service.list_container_stats, request))

    async def _list_pod_sandbox_stats(self, request: cri.ListPodSandboxStatsRequest) -> cri.ListPodSandboxStatsResponse:
        return _joined(await self._router.ask_all(lambda service: service.list_pod_sandbox_stats, request))

    async def _stream_pod_sandboxes(
        self, request: cri.StreamPodSandboxesRequest
    ) -> AsyncIterator[cri.StreamPodSandboxesResponse]:
        answer = await self._list_pod_sandbox(cri.ListPodSandboxRequest(filter=request.filter))
        for items in _chunks(answer.items):
            yield cri.StreamPodSandboxesResponse(pod_sandboxes=items)

    async def _stream_containers(
        self, request: cri.StreamContainersRequest
    ) -> AsyncIterator[cri.StreamContainersResponse]:
        answer = await self._list_containers(cri.ListContainersRequest(filter=request.filter))
        for items in _chunks(answer.containers):
            yield cri.StreamContainersResponse(containers=items)

    async def _stream_container_stats(
        self, request: cri.StreamContainerStatsRequest
    ) -> AsyncIterator[cri.StreamContainerStatsResponse]:
        answer = await self._list_container_stats(cri.ListContainerStatsRequest(filter=request.filter))
        for items in _chunks(answer.stats):
            yield cri.StreamContainerStatsResponse(container_stats=items)

    async def _stream_pod_sandbox_stats(
        self, request: cri.StreamPodSandboxStatsRequest
    ) -> AsyncIterator[cri.StreamPodSandboxStatsResponse]:
        answer = await self._list_pod_sandbox_stats(cri.ListPodSandboxStatsRequest(filter=request.filter))
        for items in _chunks(answer.stats):
            yield cri.StreamPodSandboxStatsResponse(pod_sandbox_stats=items)

    # -- metrics -------------------------------------------------------------------------------------------------------

    async def _list_metric_descriptors(
        self, request: cri.ListMetricDescriptorsRequest
    ) -> cri.ListMetricDescriptorsResponse:
        told = [one for _, one in await self._router.ask_each(metrics.descriptors_of)]
        return cri.ListMetricDescriptorsResponse(descriptors=metrics.merged_descriptors(told))

    async def _list_pod_sandbox_metrics(
        self, request: cri.ListPodSandboxMetricsRequest
    ) -> cri.ListPodSandboxMetricsResponse:
        told = [one for _, one in await self._router.ask_each(metrics.metrics_of)]
        return cri.ListPodSandboxMetricsResponse(pod_metrics=metrics.merged_metrics(told))

    async def _stream_pod_sandbox_metrics(
        self, request: cri.StreamPodSandboxMetricsRequest
    ) -> AsyncIterator[cri.StreamPodSandboxMetricsResponse]:
        answer = await self._list_pod_sandbox_metrics(cri.ListPodSandboxMetricsRequest())
        for items in _chunks(answer.pod_metrics):
            yield cri.StreamPodSandboxMetricsResponse(pod_sandbox_metrics=items)


def _joined(answers: Sequence[tuple[Runtime, _Answer]]) -> _Answer:
    """Their lists, one after the other."""
    first = answers[0][1]
    for _, answer in answers[1:]:
        first.MergeFrom(answer)
    return first


def _chunks(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]


def _conditions(answers: Sequence[tuple[Runtime, cri.StatusResponse]]) -> list[cri.RuntimeCondition]:
    """The first false one of each type, with the name of its runtime; else the first."""
    found: dict[str, cri.RuntimeCondition] = {}
    for runtime, answer in answers:
        for condition in answer.status.conditions:
            known = found.get(condition.type)
            if known is not None and (condition.status or not known.status):
                continue
            told = cri.RuntimeCondition()
            told.CopyFrom(condition)
            if not told.status and len(answers) > 1:
                told.message = f"{runtime.handler}: {condition.message}"
            found[condition.type] = told
    return list(found.values())


def _features(runtime: Runtime, answer: cri.StatusResponse) -> cri.RuntimeHandlerFeatures:
    for handler in answer.runtime_handlers:
        if handler.name == runtime.cri_handler:
            return handler.features
    return cri.RuntimeHandlerFeatures()
