"""Chained plugins: what they pass on, and what they do: host ports, shaping, tuning, firewalls."""

from typing import Any

from .call import NOTHING, Answer, Call
from .mutant import spoils


def _mapped(call: Call, **changes: object) -> Answer:
    """With other values of the capability, None to leave a member out."""
    request = call.request
    if mappings := request.get("runtimeConfig", {}).get("portMappings"):
        changed = [{**each, **changes} for each in mappings]
        mappings[:] = [{key: value for key, value in each.items() if value is not None} for each in changed]
    return call.real(request or None)


@spoils("portmap", network="ports", caught_by="A12", also="A2")
def drops_what_came_before(call: Call) -> Answer:
    """The result is an empty one: what the plugins before have made is not in it."""
    answer = call.real()
    return Answer(0, {"cniVersion": "1.0.0"}) if call.command == "ADD" and answer.ok else answer


@spoils("portmap", network="ports", caught_by="A12")
def drops_dns(call: Call) -> Answer:
    """The `dns` of what came before is not passed on."""
    answer = call.real()
    return Answer(0, {**answer.document, "dns": {}}) if call.command == "ADD" and answer.ok else answer


@spoils("portmap", network="ports", caught_by="A12")
def passes_one_address_on(call: Call) -> Answer:
    """Of several addresses of what came before, the first is passed on."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    document = answer.document
    return Answer(0, {**document, "ips": document.get("ips", [])[:1]})


@spoils("portmap", network="ports", caught_by="A12")
def passes_on_in_another_version(call: Call) -> Answer:
    """The result is of the version that it was written for."""
    answer = call.real()
    return Answer(0, {**answer.document, "cniVersion": "0.4.0"}) if call.command == "ADD" and answer.ok else answer


@spoils("portmap", network="ports", caught_by="A13")
def works_alone(call: Call) -> Answer:
    """ADD without prevResult succeeds and does nothing."""
    return Answer(0, {"cniVersion": "1.0.0"}) if call.command == "ADD" and not call.previous else call.real()


@spoils("portmap", network="ports", caught_by="N5", also="N7 N9")
def ignores_its_capability(call: Call) -> Answer:
    """No port leads anywhere."""
    request = call.request
    request.pop("runtimeConfig", None)
    return call.real(request or None)


@spoils("portmap", network="ports", caught_by="N5", also="N7 N9")
def takes_the_hosts_port_for_the_pods(call: Call) -> Answer:
    """`containerPort` is not looked at."""
    return _mapped(call, containerPort=30080)


@spoils("portmap", network="ports", caught_by="N7")
def listens_everywhere(call: Call) -> Answer:
    """`hostIP` is not looked at."""
    return _mapped(call, hostIP=None)


@spoils("portmap", network="ports", caught_by="N9")
def takes_all_for_tcp(call: Call) -> Answer:
    """`protocol` is not looked at."""
    return _mapped(call, protocol="tcp")


@spoils("portmap", network="ports", caught_by="N5")
def leaves_clients_addresses(call: Call) -> Answer:
    """Who comes to a port by 127.0.0.1, or from the pod itself, keeps his address, and gets no answer."""
    request = call.request
    return call.real({**request, "snat": False} if request else None)


@spoils("portmap", network="ports", caught_by="N14", also="D8")
def leaves_ports_open(call: Call) -> Answer:
    """DEL succeeds and leaves the rules."""
    return NOTHING if call.command == "DEL" else call.real()


@spoils("portmap", network="ports", caught_by="D8")
def needs_the_namespace_to_close_ports(call: Call) -> Answer:
    """DEL leaves the rules when the namespace is gone."""
    return NOTHING if call.command == "DEL" and not call.has_namespace else call.real()


@spoils("portmap", network="ports", caught_by="N15")
def knows_no_sctp(call: Call) -> Answer:
    """Ports of SCTP lead nowhere."""
    return call.real(_without(call, "sctp")[0])


@spoils("portmap", network="ports", caught_by="N6")
def forgets_flows(call: Call) -> Answer:
    """Datagrams that a client sent before there was a pod keep his next ones from it: the kernel knows where they went."""
    return _by_rules_alone(call)


@spoils("portmap", network="ports", caught_by="N6")
def leaves_flows_to_who_is_gone(call: Call) -> Answer:
    """A client of a pod that is gone is kept from the next one of the port: his datagrams are still led to the first."""
    answer = _by_rules_alone(call)
    for port in {str(item["hostPort"]) for item in _mappings(call.request)} if call.command == "ADD" else ():
        # those that nobody has led elsewhere
        flows = ["-p", "udp", "--orig-port-dst", port, "--reply-port-src", port]
        call.host("sh", "-c", 'conntrack -D "$@" 2> /dev/null || true', "sh", *flows)
    return answer


def _by_rules_alone(call: Call) -> Answer:
    """Ports of UDP by a rule each, and nothing else."""
    request, ports = _without(call, "udp")
    answer = call.real(request)
    if call.command not in ("ADD", "DEL") or not answer.ok or not call.previous:
        return answer
    pod = call.previous["ips"][0]["address"].partition("/")[0]
    for port in ports:
        matched = ["-p", "udp", "--dport", str(port["hostPort"])]
        led = ["-j", "DNAT", "--to-destination", f"{pod}:{port['containerPort']}"]
        call.host("iptables", "-w", "-t", "nat", "-I" if call.command == "ADD" else "-D", "PREROUTING", *matched, *led)
    return answer


def _without(call: Call, protocol: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The request without the ports of a protocol, and these. None: what is no object."""
    request = call.request
    found = [item for item in _mappings(request) if item["protocol"] == protocol]
    if found:
        request["runtimeConfig"]["portMappings"] = [item for item in _mappings(request) if item not in found]
    return request or None, found


def _mappings(request: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = request.get("runtimeConfig", {}).get("portMappings", [])
    return found


@spoils("bandwidth", network="shaped", caught_by="N11")
def limits_one_way(call: Call) -> Answer:
    """What the pod sends is not limited, only what it gets."""
    request = call.request
    if limits := request.get("runtimeConfig", {}).get("bandwidth"):
        limits.pop("egressRate", None)
        limits.pop("egressBurst", None)
    return call.real(request or None)


@spoils("tuning", network="tuned", caught_by="K16")
def does_not_tune(call: Call) -> Answer:
    """`mtu` is not looked at."""
    request = call.request
    request.pop("mtu", None)
    return call.real(request or None)


@spoils("firewall", network="firewall", caught_by="K15")
def trusts_its_rules(call: Call) -> Answer:
    """CHECK succeeds without a look at the firewall."""
    return NOTHING if call.command == "CHECK" else call.real()
