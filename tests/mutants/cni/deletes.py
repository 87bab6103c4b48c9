"""DEL: what stays, what goes with it, and when it fails."""

import os

from .call import NOTHING, Answer, Call, error
from .mutant import spoils


@spoils("bridge", caught_by="D1", also="D2 D7 L2")
def leaves_the_pair(call: Call) -> Answer:
    """DEL gives the address back and leaves both ends of the pair."""
    return call.delegate("host-local") if call.command == "DEL" else call.real()


@spoils("bridge", caught_by="D1", also="D2 D4 D5 L2")
def keeps_the_address(call: Call) -> Answer:
    """DEL deletes the pair and forgets to ask the IPAM plugin."""
    if call.command == "DEL":
        if call.has_link:
            call.inside("ip", "link", "delete", call.ifname)
        return NOTHING
    return call.real()


@spoils("bridge", caught_by="D5")
def needs_the_namespace(call: Call) -> Answer:
    """DEL fails when the namespace is gone."""
    if call.command == "DEL" and call.netns and not call.has_namespace:
        return error(f"failed to open netns {call.netns!r}")
    return call.real()


@spoils("bridge", caught_by="D4", also="G2 G3")
def needs_the_namespaces_name(call: Call) -> Answer:
    """DEL fails when CNI_NETNS is empty."""
    return error("CNI_NETNS missing", 4) if call.command == "DEL" and not call.netns else call.real()


@spoils("bridge", caught_by="D9", also="D2 D3")
def needs_the_interface(call: Call) -> Answer:
    """DEL fails when the interface is gone already."""
    if call.command == "DEL" and call.has_namespace and not call.has_link:
        return error("Link not found")
    return call.real()


@spoils("bridge", caught_by="D7", also="D3 E15")
def needs_the_result(call: Call) -> Answer:
    """DEL fails without prevResult."""
    return error("required prevResult missing", 7) if call.command == "DEL" and not call.previous else call.real()


@spoils("bridge", caught_by="D1", also="L2")
def leaves_a_rule(call: Call) -> Answer:
    """ADD makes an iptables rule for the pod, which DEL leaves."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        address = answer.document["ips"][0]["address"].partition("/")[0]
        call.host("iptables", "-w", "-A", "FORWARD", "-s", address, "-m", "comment", "--comment", call.container_id)
    return answer


@spoils("bridge", caught_by="D1", also="L2")
def leaves_a_policy_route(call: Call) -> Answer:
    """ADD makes a rule of policy routing for the pod, which DEL leaves."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        priority = str(1000 + int(call.container_id[-3:], 16) if call.container_id[-3:].isalnum() else 1000)
        call.host("ip", "rule", "add", "from", "10.88.0.77", "table", "main", "priority", priority)
    return answer


@spoils("bridge", caught_by="D1", also="L2")
def leaves_a_file(call: Call) -> Answer:
    """ADD writes down something about the container, which DEL leaves."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        with open(call.state_file(call.container_id), "w") as file:
            file.write(call.netns)
    return answer


@spoils("bridge", caught_by="P3")
def leaves_the_link_of_a_failed_add(call: Call) -> Answer:
    """ADD that fails for want of an address leaves the link on the host that it had made."""
    if call.command != "ADD":
        return call.real()
    name = f"tmp{os.getpid()}"
    call.host("ip", "link", "add", name, "type", "bridge")
    answer = call.real()
    if answer.ok:
        call.host("ip", "link", "delete", name)
    return answer


@spoils("bridge", caught_by="D16")
def takes_the_bridge_along(call: Call) -> Answer:
    """The first DEL deletes the bridge, and others' pods are cut off."""
    answer = call.real()
    if call.command == "DEL" and answer.ok:
        call.host("sh", "-c", "ip link delete cni0 2> /dev/null || true")
    return answer


@spoils("bridge", caught_by="D11", also="D16")
def takes_others_along(call: Call) -> Answer:
    """DEL deletes every pair on the bridge."""
    if call.command == "DEL":
        call.host(
            "sh",
            "-c",
            "for port in $(ls /proc/sys/net/ipv4/conf); do case $port in veth*) ip link delete $port;; esac; done",
        )
    return call.real()
