"""What is made, in the pod and on the host."""

from .call import Answer, Call
from .mutant import spoils


@spoils("bridge", caught_by="A2", also="N1 N2")
def leaves_the_link_down(call: Call) -> Answer:
    """The pod's interface is not up."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.inside("ip", "link", "set", call.ifname, "down")
    return answer


@spoils("bridge", caught_by="A2", also="K1")
def sets_no_address(call: Call) -> Answer:
    """The addresses are in the result only."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.inside("ip", "address", "flush", "dev", call.ifname)
    return answer


@spoils("bridge", caught_by="A5", also="N2")
def sets_no_route(call: Call) -> Answer:
    """The default route is in the result only."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.inside("ip", "route", "delete", "default")
    return answer


@spoils("bridge", caught_by="N2", also="K6")
def has_no_default_route(call: Call) -> Answer:
    """The routes that the IPAM plugin gives are dropped, in the namespace and in the result."""
    request = call.request
    if "ipam" in request:
        request["ipam"].pop("routes", None)
    return call.real(request if request else None)


@spoils("bridge", caught_by="N2")
def routes_to_nobody(call: Call) -> Answer:
    """The default route leads to an address that nobody has, in the namespace and in the result."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    call.inside("ip", "route", "replace", "default", "via", "10.88.0.250")
    return Answer(0, {**answer.document, "routes": [{"dst": "0.0.0.0/0", "gw": "10.88.0.250"}]})


@spoils("bridge", caught_by="A8", also="D12 G5")
def makes_eth0_only(call: Call) -> Answer:
    """CNI_IFNAME is not looked at."""
    return call.real(IFNAME="eth0") if call.ifname else call.real()


@spoils("bridge", caught_by="A6")
def replaces_what_has_the_name(call: Call) -> Answer:
    """An interface of the name CNI_IFNAME that is there is deleted."""
    if call.command == "ADD" and call.has_link:
        call.inside("ip", "link", "delete", call.ifname)
    return call.real()


@spoils("bridge", caught_by="A7")
def adds_anew(call: Call) -> Answer:
    """A second ADD of an interface takes down what the first has made, and succeeds."""
    if call.command == "ADD" and call.has_link:
        call.real(COMMAND="DEL")
    return call.real()


@spoils("bridge", caught_by="N1")
def keeps_pods_apart(call: Call) -> Answer:
    """The ports of the bridge are isolated from each other: no pod reaches another."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        port = answer.document["interfaces"][1]["name"]
        call.host("ip", "link", "set", port, "type", "bridge_slave", "isolated", "on")
    return answer


@spoils("bridge", caught_by="N4")
def swallows_large_packets(call: Call) -> Answer:
    """The MTU of the host's end is smaller than the pod's: what is larger is dropped, and nobody is told."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.host("ip", "link", "set", answer.document["interfaces"][1]["name"], "mtu", "1300")
    return answer


@spoils("bridge", network="spoof check", caught_by="N12")
def lets_any_mac_pass(call: Call) -> Answer:
    """`macspoofchk` is not looked at."""
    request = call.request
    return call.real({**request, "macspoofchk": False} if request else None)


@spoils("bridge", caught_by="N13")
def sets_sysctls_of_the_pod(call: Call) -> Answer:
    """ADD sets the pod's sysctls to what it thinks right."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.inside("sh", "-c", "echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
    return answer


@spoils("bridge", network="masquerade", caught_by="N3")
def does_not_masquerade(call: Call) -> Answer:
    """`ipMasq` is not looked at."""
    request = call.request
    return call.real({**request, "ipMasq": False} if request else None)


@spoils("bridge", network="masquerade", caught_by="N3")
def turns_forwarding_off(call: Call) -> Answer:
    """The host forwards no packets when ADD has run."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.host("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    return answer


@spoils("bridge", caught_by="L3")
def takes_the_hosts_default_route(call: Call) -> Answer:
    """The host's default route leads to the bridge when ADD has run."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.host("ip", "-4", "route", "replace", "default", "dev", "cni0")
    return answer


@spoils("bridge", caught_by="L3")
def sets_sysctls_of_the_host(call: Call) -> Answer:
    """ADD sets the filter of source addresses for all of the host's interfaces."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        call.host(
            "sh",
            "-c",
            "read was < /proc/sys/net/ipv4/conf/all/rp_filter; echo $((2 - was)) > /proc/sys/net/ipv4/conf/all/rp_filter",
        )
    return answer


@spoils("bridge", caught_by="L3")
def flushes_others_rules(call: Call) -> Answer:
    """ADD begins with an empty firewall, and somebody else's rules are gone."""
    if call.command == "ADD":
        call.host("iptables", "-w", "-F")
    return call.real()
