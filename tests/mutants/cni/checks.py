"""CHECK: what it does not notice, what it finds and is not wrong, what it does."""

import json
from typing import Any

from .call import NOTHING, Answer, Call, error
from .mutant import spoils


def _address(call: Call) -> list[dict[str, Any]]:
    """The pod's interface with its addresses, as `ip -j` has it."""
    found: list[dict[str, Any]] = json.loads(call.inside("ip", "-j", "-4", "address", "show", "dev", call.ifname))
    return [item for item in found if item]


@spoils("bridge", caught_by="K4", also="K2 K5 K6 K7 K8")
def agrees_with_everything(call: Call) -> Answer:
    """CHECK succeeds, whatever has happened."""
    return NOTHING if call.command == "CHECK" else call.real()


@spoils("bridge", caught_by="K5", also="K6 K8")
def checks_the_link_only(call: Call) -> Answer:
    """CHECK succeeds where there is the interface."""
    return NOTHING if call.command == "CHECK" and call.previous and call.has_link else call.real()


@spoils("bridge", caught_by="K6")
def checks_no_routes(call: Call) -> Answer:
    """CHECK does not look at routes."""
    if call.command == "CHECK" and call.previous and call.has_link:
        there = {f"{item['local']}/{item['prefixlen']}" for item in _address(call)[0]["addr_info"]}
        if there >= {ip["address"] for ip in call.previous["ips"]}:
            return NOTHING
    return call.real()


@spoils("bridge", caught_by="K4")
def checks_nothing_of_links_that_are_down(call: Call) -> Answer:
    """CHECK brings the interface up before it looks."""
    if call.command == "CHECK" and call.has_link:
        call.inside("ip", "link", "set", call.ifname, "up")
        if call.previous:
            call.inside("ip", "route", "replace", "default", "via", "10.88.0.1")
    return call.real()


@spoils("bridge", caught_by="K12")
def changes_what_it_checks(call: Call) -> Answer:
    """CHECK leaves an address on the interface."""
    answer = call.real()
    if call.command == "CHECK" and answer.ok:
        call.inside("ip", "address", "replace", "198.51.100.9/32", "dev", call.ifname)
    return answer


@spoils("bridge", caught_by="K12")
def marks_what_it_checks(call: Call) -> Answer:
    """CHECK leaves a rule on the host each time."""
    answer = call.real()
    if call.command == "CHECK" and answer.ok:
        call.host("iptables", "-w", "-A", "FORWARD", "-m", "comment", "--comment", "checked")
    return answer


@spoils("bridge", caught_by="K10")
def wants_its_own_addresses_only(call: Call) -> Answer:
    """CHECK fails where others have added an address."""
    answer = call.real()
    if call.command == "CHECK" and answer.ok and len(_address(call)[0]["addr_info"]) > len(call.previous["ips"]):
        return error("unexpected address", 100)
    return answer


@spoils("bridge", caught_by="K1", also="K4 K5 K10")
def never_agrees(call: Call) -> Answer:
    """CHECK is not there: it is refused as an unknown command."""
    return error("unknown CNI_COMMAND: CHECK", 4) if call.command == "CHECK" else call.real()


@spoils("bridge", caught_by="K2")
def checks_without_a_result(call: Call) -> Answer:
    """CHECK without prevResult succeeds."""
    return NOTHING if call.command == "CHECK" and not call.previous else call.real()


@spoils("bridge", caught_by="K3")
def checks_in_old_versions(call: Call) -> Answer:
    """CHECK in 0.3.1, which has none, succeeds."""
    return NOTHING if call.command == "CHECK" and call.request.get("cniVersion") == "0.3.1" else call.real()


@spoils("bridge", caught_by="K11")
def agrees_with_what_is_gone(call: Call) -> Answer:
    """CHECK succeeds where there is no interface any more."""
    return NOTHING if call.command == "CHECK" and call.previous and not call.has_link else call.real()
