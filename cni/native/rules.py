"""What a pod needs of the host's packet filter, and the port to whoever gives it: masquerade and host ports."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Literal, NamedTuple, Protocol

from cni.errors import CNIError

TransportProtocol = Literal["tcp", "udp", "sctp"]
Interface = IPv4Interface | IPv6Interface


class Owner(NamedTuple):
    """Whose rules they are: one interface of one container in one network."""

    network: str
    container_id: str
    ifname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A port of the host that leads to one of the pod. `host_ip`: only at this address; empty: at all of the host's.

    0.0.0.0 is all of IPv4, :: all of IPv6. A pod needs an address of the family for which there is one.
    """

    protocol: TransportProtocol
    host_port: int
    container_port: int
    host_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRules:
    """One attachment. `bridge` is the host's device by which its addresses are reached."""

    network: str
    container_id: str
    ifname: str
    bridge: str
    addresses: tuple[Interface, ...]
    masquerade: bool = True
    host_ports: tuple[HostPort, ...] = ()

    @property
    def owner(self) -> Owner:
        return Owner(self.network, self.container_id, self.ifname)


class RulesRefused(CNIError):
    """What is asked for cannot be written down as rules: a name that is too long, or has spaces."""


class RulesFailed(CNIError):
    """The packet filter did not take the rules; a retry may help."""


class HostPortTaken(CNIError):
    """Another attachment has the host port. `owner` says which one."""

    def __init__(self, port: str, owner: Owner) -> None:
        who = f"container {owner.container_id} ({owner.ifname}, network {owner.network})"
        super().__init__(f"host port {port} is taken by {who}")
        self.port = port
        self.owner = owner


class Rules(Protocol):
    """The rules of all pods in the calling thread's network namespace. Nothing else knows them: the kernel is the memory.

    Every method blocks, for about a millisecond; threads and processes may call side by side. Any other rules than our
    own are left alone. What fails with a CNIError has changed nothing.
    """

    def apply(self, pod: PodRules) -> None:
        """Put the pod's rules in force, all at once. Repeatable; an earlier pod's claim to the addresses ends.

        Raises HostPortTaken and RulesRefused.
        """
        ...

    def remove(self, network: str, container_id: str, ifname: str) -> None:
        """Take away whatever the attachment has. Nothing there is fine."""
        ...

    def check(self, pod: PodRules) -> list[str]:
        """What is missing of the pod's rules, or different, in words. Empty: they are in force."""
        ...

    def keep_only(self, network: str, valid: AbstractSet[tuple[str, str]]) -> None:
        """Take away what the network's other attachments have. `valid` are (container id, interface) pairs."""
        ...

    def owned(self) -> tuple[Owner, ...]:
        """Whose rules there are, of all networks."""
        ...

    def withdraw(self) -> bool:
        """Take away what is there for all pods together, if there is no pod any more; return whether nothing is left."""
        ...
