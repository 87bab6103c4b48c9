"""What a command is about, from its environment and configuration, checked in one order, so that either door refuses alike.

Names and values are those of the plugins `bridge` and `host-local` (docs/facts/network.md 7.1): a configuration for them becomes
one for this by its type.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cni.native.failure import Code, Failure

TYPE = "nodeagent-cni"
VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
CURRENT = VERSIONS[-1]
_SINCE = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
_NEEDS = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "GC": (),
    "STATUS": (),
    "VERSION": (),
}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_IFNAME = re.compile(r"[^/:\s]{1,15}")
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One command. `netns` is the namespace's path, for DEL it may be empty; `args` are those of CNI_ARGS."""

    command: str
    container_id: str
    netns: str
    ifname: str
    args: Mapping[str, str]
    config: Mapping[str, Any]
    version: str
    network: str

    @property
    def runtime(self) -> Mapping[str, Any]:
        """The values of capabilities."""
        return self.mapping("runtimeConfig")

    def mapping(self, key: str) -> Mapping[str, Any]:
        """An object of the configuration; empty for none. Raises Failure for what is no object."""
        return _mapping(self.config.get(key), key)

    @property
    def wanted_mac(self) -> str:
        """The interface's address: runtimeConfig.mac > args.cni.mac > CNI_ARGS; empty: any."""
        given = _mapping(self.mapping("args").get("cni"), "args.cni")
        mac = self.runtime.get("mac") or given.get("mac") or self.args.get("MAC") or ""
        if mac and not (isinstance(mac, str) and _MAC.fullmatch(mac)):
            raise Failure(f"mac {mac!r} is no hardware address", code=Code.INVALID_CONFIG)
        return str(mac).lower()

    @property
    def wanted_ips(self) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        """The addresses that are asked for: runtimeConfig.ips, args.cni.ips, CNI_ARGS."""
        given = _mapping(self.mapping("args").get("cni"), "args.cni")
        from_args = [self.args["IP"]] if self.args.get("IP") else []
        texts = [*(self.runtime.get("ips") or ()), *(given.get("ips") or ()), *from_args]
        try:
            return list(dict.fromkeys(ipaddress.ip_address(str(text).partition("/")[0]) for text in texts))
        except ValueError as error:
            raise Failure(f"requested IP: {error}", code=Code.INVALID_CONFIG) from error


def parse(environment: Mapping[str, str], config: object) -> Request:
    """Raises Failure."""
    command = check_environment(environment)
    if not isinstance(config, dict):
        raise Failure("the network configuration is not a JSON object", code=Code.DECODING)
    network = config.get("name", "" if command != "VERSION" else "any")
    if not isinstance(network, str) or not _NAME.fullmatch(network):
        raise Failure(f"name {network!r} is not a network name", code=Code.INVALID_CONFIG)
    return Request(
        command=command,
        container_id=environment.get("CNI_CONTAINERID", ""),
        netns=environment.get("CNI_NETNS", ""),
        ifname=environment.get("CNI_IFNAME", ""),
        args=dict(pair.split("=", 1) for pair in environment.get("CNI_ARGS", "").split(";") if "=" in pair),
        config=config,
        version=_version(command, config),
        network=network,
    )


def check_environment(environment: Mapping[str, str]) -> str:
    """The command. Raises Failure that names the variables that are missing or wrong."""
    command = environment.get("CNI_COMMAND", "")
    if command not in _NEEDS:
        raise Failure(f"unknown CNI_COMMAND: {command!r}", code=Code.INVALID_ENVIRONMENT)
    if absent := [name for name in _NEEDS[command] if not environment.get(name)]:
        raise Failure(f"required env variables [{','.join(absent)}] missing", code=Code.INVALID_ENVIRONMENT)
    if _NEEDS[command]:
        container_id, ifname = environment["CNI_CONTAINERID"], environment["CNI_IFNAME"]
        if not _NAME.fullmatch(container_id):
            raise Failure(f"CNI_CONTAINERID {container_id!r} is no container id", code=Code.INVALID_ENVIRONMENT)
        if not _IFNAME.fullmatch(ifname) or len(ifname.encode()) > 15 or ifname in (".", ".."):
            raise Failure(f"CNI_IFNAME {ifname!r} is no interface name", code=Code.INVALID_ENVIRONMENT)
    return command


def _version(command: str, config: Mapping[str, Any]) -> str:
    version = config.get("cniVersion") or "0.1.0"
    if version not in VERSIONS and command != "VERSION":
        raise Failure(
            f"incompatible CNI versions: config is {version!r}, plugin supports {list(VERSIONS)}",
            code=Code.INCOMPATIBLE_VERSION,
        )
    since = _SINCE.get(command)
    if since is not None and VERSIONS.index(version) < VERSIONS.index(since):
        raise Failure(f"config version {version} does not allow {command}", code=Code.INCOMPATIBLE_VERSION)
    return str(version)


def _mapping(value: object, key: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Failure(f"{key} is not a JSON object", code=Code.INVALID_CONFIG)
    return value
