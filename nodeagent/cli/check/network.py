"""CNI configuration and plugins, and the ports that the agent listens on."""

import shutil
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from cni.config import NetworkConfig, config_files, load_default
from cni.errors import CNIError
from cni.native.request import TYPE
from nodeagent.assembly.network import described, why_not_native
from nodeagent.cli.check.finding import Finding, absent, found, missing
from nodeagent.config import Config

_CNI = "cni"
_IN_PROCESS = ("loopback", TYPE)  # the agent does it itself


def examine_cni(config: Config) -> list[Finding]:
    settings = config.agent.cni
    network, findings = _network(config)
    plugins = dict.fromkeys(_plugins(network) if network is not None else ())
    if TYPE in plugins:
        findings.append(_native())
    findings += (_plugin(name, settings.binDirs) for name in plugins if name not in _IN_PROCESS)
    if TYPE in plugins:
        return findings
    if shutil.which("iptables") is None:
        fix = "apt-get install iptables"
        findings.append(absent(_CNI, "iptables", "not on PATH: no masquerading and no host ports", fix))
    else:
        findings.append(found(_CNI, "iptables"))
    return findings


def _network(config: Config) -> tuple[NetworkConfig | None, list[Finding]]:
    """What pods are attached to, who provides it and why, as the agent chooses (nodeagent/assembly/network.py)."""
    provider, conf_dir = config.agent.cni.provider, Path(config.agent.cni.confDir)
    own, reason = described(config), why_not_native() if provider != "programs" else "cni.provider is programs"
    if reason:
        own = replace(own, native=False)
    choice = "the native network" if own.native else f"CNI programs, since {reason}"
    if provider == "native":
        return own.config(), [found(_CNI, "configuration", f"cni.provider is native: {choice}")]
    try:
        network = load_default(conf_dir)
    except CNIError as error:
        if config.options.standalone and not config_files(conf_dir):
            detail = f"none in {conf_dir}: standalone mode writes one for {choice}"
            return own.config(), [found(_CNI, "configuration", detail)]
        fix = (
            "install a network provider, set cni.provider to native, or run with --standalone to have a network written"
        )
        return None, [missing(_CNI, "configuration", str(error), fix)]
    return network, [found(_CNI, "configuration", f"network {network.name} of {network.path}")]


def _native() -> Finding:
    if reason := why_not_native():
        return missing(_CNI, "native network", reason, "set cni.provider to programs and install the CNI plugins")
    return found(_CNI, "native network", "nf_tables can be used")


def _plugin(name: str, folders: Sequence[str]) -> Finding:
    path = shutil.which(name, path=":".join(folders))
    if path is not None:
        return found(_CNI, f"plugin {name}", path)
    fix = "apt-get install containernetworking-plugins, or add its folder to cni.binDirs"
    return missing(_CNI, f"plugin {name}", f"not in {', '.join(folders)}", fix)


def _plugins(network: NetworkConfig) -> Iterable[str]:
    for plugin in network.plugins:
        yield plugin.type
        ipam = plugin.raw.get("ipam")
        # ours keeps addresses itself
        if plugin.type != TYPE and isinstance(ipam, dict) and isinstance(ipam.get("type"), str):
            yield ipam["type"]


def examine_ports(config: Config) -> list[Finding]:
    kubelet, api = config.kubelet, config.agent.apiServer
    wanted = []
    if kubelet.enableServer:
        wanted.append(("node API", kubelet.address, kubelet.port))
    if kubelet.healthzPort:
        wanted.append(("healthz", kubelet.healthzBindAddress, kubelet.healthzPort))
    if config.options.standalone and api.port:
        wanted.append(("embedded API", api.address, api.port))
    return [_port(name, address, port) for name, address, port in wanted]


def _port(name: str, address: str, port: int) -> Finding:
    label = f"{name} on {address}:{port}"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            owner = _owner(port)
            if "nodeagent" in owner:
                return found("ports", label, f"this agent runs already: {owner}")
            detail = f"{error.strerror}{': ' + owner if owner else ''}"
            return missing("ports", label, detail, "stop that program, or move the port in the configuration")
    return found("ports", label, "free")


def _owner(port: int) -> str:
    """Who listens there, as "name (pid)"; empty when it cannot be seen."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                name = "nodeagent" if _is_agent(process.cmdline()) else process.name()
            except psutil.Error:
                return ""
            return f"{name} (pid {connection.pid})"
    return ""


def _is_agent(command: list[str]) -> bool:
    """`python …/nodeagent run`, `python -m nodeagent run`, `python -m nodeagent.apiserver`."""
    script = command[1].rpartition("/")[2] if len(command) > 1 else ""
    module = command[2] if script == "-m" and len(command) > 2 else ""
    return script == "nodeagent" or module in ("nodeagent", "nodeagent.apiserver")
