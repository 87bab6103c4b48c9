"""What the result says, and is not so."""

from collections.abc import Callable
from typing import Any

from .call import Answer, Call
from .mutant import spoils


def _told(call: Call, change: Callable[[dict[str, Any]], object]) -> Answer:
    """What the real plugin did, with a result of ADD that was changed."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    document = answer.document
    change(document)
    return Answer(0, document)


def _pods(document: dict[str, Any]) -> dict[str, Any]:
    """The interface in the namespace."""
    found: dict[str, Any] = next(item for item in document["interfaces"] if item.get("sandbox"))
    return found


@spoils("bridge", caught_by="A4")
def counts_interfaces_from_one(call: Call) -> Answer:
    """The index of an address's interface is one too high."""

    def change(document: dict[str, Any]) -> None:
        for ip in document["ips"]:
            ip["interface"] += 1

    return _told(call, change)


@spoils("bridge", caught_by="A3")
def tells_the_hosts_mac(call: Call) -> Answer:
    """The MAC of the pod's interface is that of the other end."""
    return _told(call, lambda document: _pods(document).update(mac=document["interfaces"][1]["mac"]))


@spoils("bridge", caught_by="A3")
def tells_an_mtu_of_its_own(call: Call) -> Answer:
    """The MTU in the result is not the interface's."""
    return _told(call, lambda document: _pods(document).update(mtu=9000))


@spoils("bridge", caught_by="A3")
def tells_another_sandbox(call: Call) -> Answer:
    """`sandbox` is not CNI_NETNS."""
    return _told(call, lambda document: _pods(document).update(sandbox="/var/run/netns/pod"))


@spoils("bridge", caught_by="A3", also="A4")
def tells_no_sandbox(call: Call) -> Answer:
    """The pod's interface is listed as one of the host's."""
    return _told(call, lambda document: _pods(document).pop("sandbox"))


@spoils("bridge", caught_by="A4")
def tells_a_link_that_is_not_there(call: Call) -> Answer:
    """The name of the host's end is one that it has no more."""
    return _told(call, lambda document: document["interfaces"][1].update(name="veth00000000"))


@spoils("bridge", caught_by="A2")
def tells_another_prefix_length(call: Call) -> Answer:
    """The prefix of an address is longer than the subnet's."""
    return _told(call, lambda document: document["ips"][0].update(address=document["ips"][0]["address"][:-2] + "25"))


@spoils("bridge", caught_by="A2", also="N1 N2")
def tells_another_address(call: Call) -> Answer:
    """The address in the result is not that of the interface."""
    return _told(call, lambda document: document["ips"][0].update(address="10.88.0.77/24"))


@spoils("bridge", caught_by="A2")
def tells_one_address_of_two(call: Call) -> Answer:
    """The interface has an address that is not in the result."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.inside("ip", "address", "add", "198.51.100.9/32", "dev", call.ifname)
    return answer


@spoils("bridge", caught_by="A5")
def tells_a_route_that_is_not_there(call: Call) -> Answer:
    """A route is in the result only."""
    return _told(call, lambda document: document["routes"].append({"dst": "172.31.0.0/16"}))


@spoils("bridge", caught_by="A5")
def tells_another_gateway(call: Call) -> Answer:
    """The gateway of a route is not the one in the namespace."""
    return _told(call, lambda document: document.update(routes=[{"dst": "0.0.0.0/0", "gw": "10.88.0.254"}]))


@spoils("bridge", caught_by="A2")
def tells_nothing_of_addresses(call: Call) -> Answer:
    """The result has no addresses, which the interface has."""
    return _told(call, lambda document: document.pop("ips"))
