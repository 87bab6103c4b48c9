"""Volumes: the types that pods may have."""

from collections.abc import Mapping
from fractions import Fraction

from nodeagent.api.events import Events
from nodeagent.api.objects import Objects
from nodeagent.api.tokens import Tokens
from nodeagent.assembly.running import Scope
from nodeagent.folders import Folders
from nodeagent.node.state import NodeState
from nodeagent.podspec.effective import effective_limits
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.config_map import ConfigMapPlugin
from nodeagent.volumes.downward_api import DownwardAPIPlugin
from nodeagent.volumes.empty_dir import EmptyDirPlugin
from nodeagent.volumes.host_path import HostPathPlugin
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.payload_budget import PayloadBudget
from nodeagent.volumes.projected import ProjectedPlugin
from nodeagent.volumes.secret import SecretPlugin


class NodeAmounts:
    """What volumes ask of the node's resources, and of what a pod may use of them."""

    def __init__(self, state: NodeState) -> None:
        self._state = state

    def allocatable(self) -> Mapping[str, str]:
        return self._state.allocatable

    def memory_limit_bytes(self, pod: AgentPod) -> int:
        return int(effective_limits(pod).get("memory", Fraction(0)))


async def start_volumes(
    scope: Scope, folders: Folders, objects: Objects, tokens: Tokens, events: Events, state: NodeState
) -> VolumeManager:
    """A type is one line here."""
    layout, amounts, budget = Layout(folders.root), NodeAmounts(state), PayloadBudget()
    plugins = (
        EmptyDirPlugin(layout, amounts),
        HostPathPlugin(),
        ConfigMapPlugin(layout, amounts, objects, budget),
        SecretPlugin(layout, amounts, objects, budget),
        DownwardAPIPlugin(layout, amounts, budget),
        ProjectedPlugin(layout, amounts, objects, tokens, budget),
    )
    return VolumeManager(layout=layout, plugins=plugins, events=events)
