"""The pods' network: what the configuration chooses, and whether this host can have it."""

import functools
import logging
from dataclasses import replace
from pathlib import Path

from cni.config import load_default
from cni.default import DefaultNetwork
from cni.errors import CNIError
from cni.native.in_process import InProcess
from cni.native.packet_filter import choose_rules
from cni.native.request import TYPE
from nodeagent.config import Config
from runtimes.oci.network import CNISettings

log = logging.getLogger(__name__)


def cni_settings(config: Config, native: InProcess) -> CNISettings:
    """Of the whole node: all its runtimes attach their pods by these. Blocks for some milliseconds."""
    cni = config.agent.cni
    return CNISettings(
        conf_dir=Path(cni.confDir),
        bin_dirs=tuple(Path(folder) for folder in cni.binDirs),
        cache_dir=Path(cni.cacheDir),
        network=own_network(config).config() if cni.provider == "native" else None,
        in_process={TYPE: native},
    )


def own_network(config: Config) -> DefaultNetwork:
    """What the agent makes itself; by the CNI programs where it is told to, or where the kernel lacks what it takes."""
    network = described(config)
    if network.native and (reason := why_not_native()):
        log.warning("the native network cannot be used, the CNI programs are used instead: %s", reason)
        return replace(network, native=False)
    return network


def described(config: Config) -> DefaultNetwork:
    """The same as it is configured, without a look at the host."""
    cni = config.agent.cni
    return DefaultNetwork(
        name=cni.networkName,
        bridge=cni.bridge,
        subnet=cni.subnet,
        ipam_dir=Path(cni.ipamDir) if cni.ipamDir else None,
        native=cni.provider != "programs",
    )


def pods_get_native(config: Config) -> bool:
    """Whether the pods' network is the one that `described` describes, made by the agent itself. Reads the folder of networks."""
    cni = config.agent.cni
    if cni.provider != "auto":
        return cni.provider == "native"
    try:
        network = load_default(Path(cni.confDir))
    except CNIError:
        return False
    return network.name == cni.networkName and [plugin.type for plugin in network.plugins] == [TYPE]


@functools.cache
def why_not_native() -> str:
    """What this host lacks; empty: nothing. It is tried and taken back. Blocks for some milliseconds."""
    try:
        choose_rules().withdraw()
    except CNIError as error:
        return str(error)
    return ""
