"""The agent's configuration: the upstream KubeletConfiguration, what a kubelet lacks, and the command line."""

from nodeagent.config.agent import NodeAgentConfiguration, RegistrySettings, RuntimeSettings
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.loader import Config, ConfigProblem, Options, load

__all__ = [
    "Config",
    "ConfigProblem",
    "KubeletConfiguration",
    "NodeAgentConfiguration",
    "Options",
    "RegistrySettings",
    "RuntimeSettings",
    "load",
]
