"""/pods: what the agent was told to run; /runningpods: what the runtimes say that runs."""

import dataclasses
import itertools
from typing import Any

import msgspec
from aiohttp import web

from nodeagent.server.pod_lookup import PodLookup
from proto import cri_pb2 as cri
from runtimes.kube.labels import LABEL_CONTAINER_NAME, LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID
from runtimes.registry import Runtime


class PodListHandlers:
    def __init__(self, pods: PodLookup) -> None:
        self._pods = pods

    async def pods(self, request: web.Request) -> web.Response:
        return _list([dataclasses.replace(item.pod, status=item.status).to_api() for item in self._pods.pods()])

    async def running_pods(self, request: web.Request) -> web.Response:
        runtimes: dict[str, Runtime] = {}
        for item in self._pods.pods():
            runtime = self._pods.runtime_of(item.pod)
            runtimes[runtime.handler] = runtime
        found = [await _running(runtime) for runtime in runtimes.values()]
        return _list(list(itertools.chain.from_iterable(found)))


async def _running(runtime: Runtime) -> list[dict[str, Any]]:
    """Pods rebuilt from a runtime's running containers: names, ids and images."""
    wanted = cri.ContainerFilter()
    wanted.state.state = cri.CONTAINER_RUNNING
    answer = await runtime.service.list_containers(cri.ListContainersRequest(filter=wanted))
    pods: dict[str, dict[str, Any]] = {}
    for container in answer.containers:
        labels = container.labels
        if LABEL_POD_UID not in labels:
            continue
        pod = pods.setdefault(
            labels[LABEL_POD_UID],
            {
                "metadata": {
                    "name": labels[LABEL_POD_NAME],
                    "namespace": labels[LABEL_POD_NAMESPACE],
                    "uid": labels[LABEL_POD_UID],
                },
                "spec": {"containers": []},
                "status": {},
            },
        )
        name = labels[LABEL_CONTAINER_NAME] or container.metadata.name
        pod["spec"]["containers"].append({"name": name, "image": container.image.image, "resources": {}})
    return list(pods.values())


def _list(items: list[Any]) -> web.Response:
    body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
