"""What is beside the pods: an abstract socket of the host, and the address at which clouds tell a machine who it is."""

import asyncio
import socket
import uuid
from collections.abc import Mapping
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from typing_extensions import override

from nodeagent.isolation.contract import By, Experiment, Finding, Probe, Risk, Sight, Stage, Verdict
from nodeagent.isolation.groups import facts
from nodeagent.isolation.groups.escapes.neighbours import abstract_socket, host_addresses
from nodeagent.isolation.groups.escapes.pods import looking
from nodeagent.isolation.probe.output import facts_of

METADATA = "169.254.169.254"
_SECONDS = 45.0


class Outside(Experiment):
    """Routes are looked up, by the pod and by the host; no packet is sent to that address."""

    @property
    @override
    def name(self) -> str:
        return "outside"

    @property
    @override
    def about(self) -> str:
        return f"a pod that looks for an abstract socket which this command has, and up the route to {METADATA}"

    @override
    async def run(self, stage: Stage) -> Mapping[str, Any]:
        word = f"niso-host-{uuid.uuid4().hex[:8]}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(f"\0{word}")
            listener.listen(4)
            arguments = (f"network={word}", f"route={METADATA}")
            ended = await stage.run(looking("outside", arguments), deadline_seconds=_SECONDS)
        found = facts_of(ended.output, ("network", "route"))
        address = _address(facts.fact(found, "network", "addresses"))
        return {
            "abstract socket": facts.text(found, "network", "abstract socket"),
            "route": found["route"],
            "forward": await asyncio.to_thread(forwarded, address) if address else {"error": "the pod has no address"},
        }


def _address(entries: list[str]) -> str:
    """The pod's first IPv4 address that is not its loopback's, of `interface address` lines."""
    pairs = [entry.split(" ", 1) for entry in entries if " " in entry]
    return next((address for name, address in pairs if name != "lo" and ":" not in address), "")


def forwarded(address: str) -> Mapping[str, str]:
    """Where the host's routes send a packet from that pod to the metadata's address: `interface`, `gateway`, or `refused`."""
    try:
        with IPRoute() as route:
            if address in host_addresses():
                found = route.route("get", dst=METADATA)[0]
            else:
                link = route.route("get", dst=address)[0].get_attr("RTA_OIF")
                found = route.route("get", dst=METADATA, src=address, iif=link)[0]
            interface = route.get_links(found.get_attr("RTA_OIF"))[0].get_attr("IFLA_IFNAME")
            return {"interface": str(interface), "gateway": str(found.get_attr("RTA_GATEWAY") or "")}
    except NetlinkError as error:
        return {"refused": str(error)}
    except (IndexError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


EXPERIMENTS: tuple[Experiment, ...] = (Outside(),)


def probes() -> tuple[Probe, ...]:
    """Sockets, then the network."""
    return (
        Probe(
            id="escapes.host_abstract_sockets",
            title="abstract unix sockets of the host",
            risk=Risk.HIGH,
            why="services of root's that trust whoever gets there (containerd's shims once did: CVE-2020-15257)",
            judge=_abstract,
            on_host=False,
        ),
        Probe(
            id="escapes.metadata",
            title=f"a route to {METADATA}",
            risk=Risk.MEDIUM,
            why="clouds give the machine's own credentials there, to whoever asks from it",
            judge=_metadata,
            on_host=False,
        ),
    )


def _abstract(sight: Sight) -> Finding:
    said = facts.text(sight.own, "outside", "abstract socket")
    return abstract_socket(sight, "escapes.host_abstract_sockets", said, "a listener of this command is reached")


def _metadata(sight: Sight) -> Finding:
    probe = "escapes.metadata"
    found = facts.fact(sight.own, "outside")
    route, forward = found.get("route", {}), found.get("forward", {})
    said = str(route.get("found", route.get("error")))
    if said != "ok":
        evidence = f"the pod has no route to it: {said}"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.NETWORK, value=said, evidence=evidence)
    if "refused" in forward:
        evidence = f"the pod sends it to the node, which has no route for it: {forward['refused']}"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.NETWORK, value="not forwarded", evidence=evidence)
    if "error" in forward:
        raise facts.NoFact(f"what the host does with it cannot be looked up: {forward['error']}")
    gateway = f" by {forward['gateway']}" if forward.get("gateway") else ""
    evidence = f"from {route.get('source')} to the node, from there out of {forward.get('interface')}{gateway}"
    change = f"a NetworkPolicy without {METADATA}/32"
    told = f"{evidence}; routes alone were looked up, packet filters may still drop it"
    return Finding(probe=probe, verdict=Verdict.OPEN, value="routed", evidence=told, change=change)
