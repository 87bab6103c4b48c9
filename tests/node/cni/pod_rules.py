"""Rules of pods in the host of a world of packets, whichever thread of the test asks."""

from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Literal

from packets import World

from cni.native.iptables_rules import IptablesRules
from cni.native.nftables_rules import NftablesRules
from cni.native.rules import HostPort, Owner, PodRules, Rules

Kind = Literal["nftables", "iptables"]


class InHost:
    """One implementation of the rules, in the host's namespace."""

    def __init__(self, world: World, kind: Kind = "nftables") -> None:
        self.world = world
        self.kind = kind
        self.rules: Rules = IptablesRules("-legacy")
        if kind == "nftables":
            self.rules = made = NftablesRules()
            world.host.run(made.prepare)  # its socket is of this namespace from now on, whichever thread asks

    def apply(self, pod: PodRules) -> None:
        self.world.host.run(lambda: self.rules.apply(pod))

    def remove(self, pod: PodRules) -> None:
        self.world.host.run(lambda: self.rules.remove(*pod.owner))

    def check(self, pod: PodRules) -> list[str]:
        return self.world.host.run(lambda: self.rules.check(pod))

    def keep_only(self, network: str, valid: AbstractSet[tuple[str, str]]) -> None:
        self.world.host.run(lambda: self.rules.keep_only(network, valid))

    def owned(self) -> tuple[Owner, ...]:
        return self.world.host.run(self.rules.owned)

    def withdraw(self) -> bool:
        return self.world.host.run(self.rules.withdraw)

    def drop_guard(self) -> None:
        """Take away what keeps pods from the host's loopback."""
        if self.kind == "nftables":
            self.world.host.command("nft", "flush", "chain", "inet", "nodeagent", "loopback_guard")
        else:
            self.world.host.command("iptables-legacy", "-t", "raw", "-F", "NODEAGENT-GUARD")


def port(protocol: str, host: int, container: int, host_ip: str = "") -> HostPort:
    return HostPort(protocol=protocol, host_port=host, container_port=container, host_ip=host_ip)  # type: ignore[arg-type]


def see_frames(world: World, seen: bool) -> None:
    """Let frames between the bridge's ports pass the packet filter, or not."""
    for name in ("iptables", "ip6tables"):
        path = Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}")
        world.host.run(partial(path.write_text, "1" if seen else "0"))
