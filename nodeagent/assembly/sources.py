"""Where pods come from: the API, a folder, a URL; and what makes one stream of changes of them."""

from pathlib import Path

from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster
from nodeagent.api.events import Events
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.pods.manager import PodManager
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.podspec.pod import API, FILE, HTTP
from nodeagent.sources.api import ApiSource
from nodeagent.sources.file import FileSource
from nodeagent.sources.http import HttpSource
from nodeagent.sources.manifest import StaticRules
from nodeagent.sources.merger import PodMerger
from runtimes.kube.duration import seconds


async def start_merger(
    scope: Scope, config: Config, events: Events, pods: ManagerHandle, client: ApiClient | None
) -> PodMerger:
    """Before each of the configured sources has spoken, nothing is killed for being unknown."""
    configured = {API: client is not None, FILE: config.kubelet.staticPodPath, HTTP: config.kubelet.staticPodURL}
    return PodMerger(pods.apply, [name for name, given in configured.items() if given], events)


async def start_file_source(scope: Scope, config: Config, merger: PodMerger, pods: PodManager) -> FileSource:
    kubelet = config.kubelet
    if not kubelet.staticPodPath:
        raise Skip("staticPodPath is not set")
    source = FileSource(
        Path(kubelet.staticPodPath),
        merger,
        StaticRules(node_name=config.node_name, tolerate=True),
        rescan_seconds=seconds(kubelet.fileCheckFrequency),
    )
    scope.loop(source.run, "source file")
    return source


async def start_http_source(scope: Scope, config: Config, merger: PodMerger, pods: PodManager) -> HttpSource:
    kubelet = config.kubelet
    if not kubelet.staticPodURL:
        raise Skip("staticPodURL is not set")
    source = HttpSource(
        kubelet.staticPodURL,
        merger,
        StaticRules(node_name=config.node_name, tolerate=False),
        headers=kubelet.staticPodURLHeader,
        period_seconds=seconds(kubelet.httpCheckFrequency),
    )
    scope.loop(source.run, "source http")
    return source


async def start_api_source(
    scope: Scope, config: Config, client: ApiClient, cluster: InformedCluster, merger: PodMerger, pods: PodManager
) -> ApiSource:
    node = cluster.node
    source = ApiSource(client, config.node_name, merger, node.synced, node_trouble=lambda: node.trouble)
    scope.loop(source.run, "source api")
    return source
