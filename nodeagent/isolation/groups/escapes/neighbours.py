"""Other pods, deceived or looked for: by the network, in the kernel's keyrings, by abstract sockets, by a terminal."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from pyroute2 import IPRoute
from typing_extensions import override

from nodeagent.isolation.contract import By, Experiment, Finding, Probe, Risk, Sight, Stage, Verdict
from nodeagent.isolation.groups import facts
from nodeagent.isolation.groups.escapes.pods import looking
from nodeagent.isolation.probe.output import facts_of

_CLAIMED_HARDWARE = "02:00:5e:00:53:01"  # as probe/spoofing.c has it
_SENDER = "203.0.113.78"
_SECONDS = 45.0
_TOLD_SECONDS = 10.0
_NET_RAW = "securityContext.capabilities.drop: [NET_RAW]"


class Spoofing(Experiment):
    """One pod claims an address that nobody has, to its neighbour alone. Pods of the host's network are left out: it is real."""

    @property
    @override
    def name(self) -> str:
        return "spoofing"

    @property
    @override
    def about(self) -> str:
        return "two pods: one sends ARP replies and a packet with made-up addresses (203.0.113.0/24) to the other alone"

    @override
    async def run(self, stage: Stage) -> Mapping[str, Any]:
        name = "spoofing-neighbour"
        address = await stage.start(looking(name, ("deceived",)))
        try:
            if not address or address in await asyncio.to_thread(host_addresses):
                return {"left out": "these pods are of the host's network"}
            pod = looking("spoofing", (f"spoofing={address}",))
            ended = await stage.run(pod, deadline_seconds=_SECONDS)
            attacker = facts_of(ended.output, ("spoofing",))["spoofing"]
            return {"attacker": attacker, "neighbour": await _told(stage, name)}
        finally:
            await asyncio.shield(stage.stop(name))


async def _told(stage: Stage, name: str) -> Mapping[str, Any]:
    """What the neighbour says; it says it as soon as it was told to end, or never."""
    end = time.monotonic() + _TOLD_SECONDS
    while True:
        found = facts_of(await stage.output(name), ("deceived",))["deceived"]
        if "error" not in found or time.monotonic() > end:
            return found
        await asyncio.sleep(0.05)


def host_addresses() -> frozenset[str]:
    """Of this machine's interfaces."""
    with IPRoute() as route:
        return frozenset(str(each.get_attr("IFA_ADDRESS")) for each in route.get_addr())


EXPERIMENTS: tuple[Experiment, ...] = (Spoofing(),)


def probes() -> tuple[Probe, ...]:
    """Network, keys, sockets, terminals."""
    return (
        Probe(
            id="escapes.arp_spoofing",
            title="a neighbour believes whose address is whose (ARP)",
            risk=Risk.MEDIUM,
            why="what the neighbour sends to others comes here: names, tokens, traffic that is not encrypted",
            judge=_arp,
            on_host=False,
        ),
        Probe(
            id="escapes.source_spoofing",
            title="packets in another's name reach a neighbour",
            risk=Risk.MEDIUM,
            why="whoever trusts an address is deceived; answers of DNS are forged with it",
            judge=_source,
            on_host=False,
        ),
        Probe(
            id="escapes.keys",
            title="another pod's key in the kernel's keyring",
            risk=Risk.MEDIUM,
            why="what somebody keeps in a session's keyring (Kerberos, disks, file systems)",
            judge=_keys,
            on_host=False,
        ),
        Probe(
            id="escapes.abstract_sockets",
            title="abstract unix sockets of another pod",
            risk=Risk.MEDIUM,
            why="services that trust whoever gets there",
            judge=_abstract,
            on_host=False,
        ),
        Probe(
            id="escapes.tiocsti",
            title="characters pushed into a terminal (TIOCSTI)",
            risk=Risk.LOW,
            why="who reads from the same terminal, outside, takes them for typed",
            judge=_tiocsti,
            on_host=False,
        ),
    )


def _deceived(sight: Sight) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the attacker and what the neighbour say. Raises NoFact."""
    found = facts.fact(sight.own, "spoofing")
    if "left out" in found:
        raise facts.NoFact(f"not tried: {found['left out']}")
    attacker, neighbour = facts.fact(found, "attacker"), found.get("neighbour", {})
    return attacker, neighbour


def _unsent(sight: Sight, probe: str, said: str, what: str) -> Finding:
    by, why = facts.who_refuses(sight, said, capability="NET_RAW")
    return facts.blocked(probe, (by, f"{what}: {why}"), value=said)


def _arp(sight: Sight) -> Finding:
    probe = "escapes.arp_spoofing"
    attacker, neighbour = _deceived(sight)
    socket = str(attacker.get("packet socket"))
    if socket != "ok":
        return _unsent(sight, probe, socket, "packet socket")
    if attacker.get("neighbour") != "ok":
        raise facts.NoFact(f"the neighbour is not reached at all: {attacker.get('neighbour')}")
    if attacker.get("hardware address known") == "no":
        evidence = "the neighbour is not on the same link: it has no entry in the table of neighbours"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.NETWORK, value="no common link", evidence=evidence)
    sent = str(attacker.get("claim sent"))
    if sent != "ok":
        return _unsent(sight, probe, sent, "sending an ARP reply")
    if neighbour.get("taken") == _CLAIMED_HARDWARE:
        evidence = f"the neighbour's table has the made-up address at {_CLAIMED_HARDWARE}"
        return Finding(probe=probe, verdict=Verdict.OPEN, value="taken", evidence=evidence, change=_NET_RAW)
    if "error" in neighbour or neighbour.get("asked") != "ok" or neighbour.get("table") != "ok":
        told = ", ".join(f"{name} {neighbour[name]}" for name in ("error", "asked", "table") if name in neighbour)
        raise facts.NoFact(f"the neighbour cannot tell what it believes: {told}")
    evidence = "the reply was sent, and the neighbour, which had asked, did not take it"
    return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.NETWORK, value="not taken", evidence=evidence)


def _source(sight: Sight) -> Finding:
    probe = "escapes.source_spoofing"
    attacker, neighbour = _deceived(sight)
    socket = str(attacker.get("raw socket"))
    if socket != "ok":
        return _unsent(sight, probe, socket, "raw socket")
    if attacker.get("neighbour") != "ok":
        raise facts.NoFact(f"the neighbour is not reached at all: {attacker.get('neighbour')}")
    sent = str(attacker.get("packet sent"))
    if sent != "ok":
        return _unsent(sight, probe, sent, "sending a packet in another's name")
    if neighbour.get("source") == _SENDER:
        evidence = f"the neighbour has received a packet from {_SENDER}, which nobody is"
        return Finding(probe=probe, verdict=Verdict.OPEN, value="received", evidence=evidence, change=_NET_RAW)
    if "error" in neighbour:
        raise facts.NoFact(f"the neighbour does not tell what it has received: {neighbour['error']}")
    evidence = f"it was sent, and the neighbour has received {neighbour.get('source') or 'nothing'}"
    return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.NETWORK, value="not received", evidence=evidence)


def _keys(sight: Sight) -> Finding:
    probe = "escapes.keys"
    found = facts.fact(sight.own, "keys")
    search = str(found.get("search"))
    change = "" if facts.has_filter(sight) else "securityContext.seccompProfile.type: RuntimeDefault"
    if search == "ok":
        evidence = "a neighbour's key is found in the session's keyring"
        return facts.works(sight, probe, value="found", evidence=evidence, change=change)
    if search in (*facts.REFUSED, "ENOSYS"):
        host_says = str(sight.host.get("keys", {}).get("search", ""))
        by, why = facts.who_refuses(sight, search, syscall="keyctl", host_says=host_says if search == "ENOSYS" else "")
        return facts.blocked(probe, (by, f"keyctl: {why}"), value=search)
    put = facts.text(sight.neighbour, "holding", "add")
    own, other = (int(each.get("session", -1)) for each in (found, sight.neighbour["holding"]))
    sessions = f"the session's keyring is {own}, the neighbour's {other}"
    if put == "ok" and found.get("listed") == "yes":
        evidence = f"/proc/keys lists a neighbour's key; {sessions}"
        return Finding(
            probe=probe, verdict=Verdict.LIMITED, by=By.PERMISSIONS, value="listed", evidence=evidence, change=change
        )
    told = (
        f"{sessions}; a search in it says {search}"
        if put == "ok"
        else f"{sessions}, into which no key can be put: {put}"
    )
    if put != "ok" and facts.filtered(sight, "add_key"):
        return facts.blocked(probe, (By.SECCOMP, f"{told}; the filter refuses add_key"), value=put)
    if own > 0 and other > 0 and own != other:
        return facts.blocked(probe, (By.RUNTIME, told), value=search)
    if put != "ok":
        raise facts.NoFact(f"{told}: there is none to look for")
    return facts.blocked(probe, (By.RUNTIME if facts.own_kernel(sight) else By.UNKNOWN, told), value=search)


def _abstract(sight: Sight) -> Finding:
    said = facts.text(sight.own, "network", "abstract socket")
    return abstract_socket(sight, "escapes.abstract_sockets", said, "a neighbour's abstract socket is reached")


def abstract_socket(sight: Sight, probe: str, said: str, reached: str) -> Finding:
    """What connecting to one says of it. `reached`: the evidence where it is."""
    if said == "ok":
        return Finding(probe=probe, verdict=Verdict.OPEN, value=said, evidence=reached, change="hostNetwork: false")
    by = By.RUNTIME if facts.own_kernel(sight) else By.NAMESPACE
    evidence = f"connect says {said}; network namespace {facts.fact(sight.own, 'identity', 'namespaces').get('net')}"
    return Finding(probe=probe, verdict=Verdict.BLOCKED, by=by, value=said, evidence=evidence)


def _tiocsti(sight: Sight) -> Finding:
    probe = "escapes.tiocsti"
    said = facts.text(sight.own, "devices", "ioctls", "TIOCSTI")
    handed = facts.fact(sight.own, "descriptors")
    terminals = [number for number, each in handed.get("open", {}).items() if each.get("terminal") == "yes"]
    if said == "ok":
        told = f"pushed into a terminal of its own; descriptors that are terminals: {', '.join(terminals) or 'none'}"
        change = (
            "securityContext.capabilities.drop: [SYS_ADMIN]"
            if facts.has_capability(sight.own, "SYS_ADMIN")
            else "sysctl dev.tty.legacy_tiocsti=0 on the host"
        )
        if terminals or handed.get("controlling terminal") == "ok":
            return facts.works(sight, probe, value=said, evidence=told, change=change)
        return Finding(
            probe=probe,
            verdict=Verdict.LIMITED,
            by=By.RUNTIME,
            value="terminals of its own",
            evidence=f"{told}: nobody outside reads from one",
            change=change,
        )
    host_says = str(sight.host.get("devices", {}).get("ioctls", {}).get("TIOCSTI", ""))
    by, why = facts.who_refuses(sight, said, syscall="ioctl", capability="SYS_ADMIN", host_says=host_says)
    return facts.blocked(probe, (by, f"TIOCSTI: {why}"), value=said)
