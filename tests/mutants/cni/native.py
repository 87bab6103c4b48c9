"""GC, STATUS, IPv6 and host ports: mutants of the project's own program, which has what Debian's plugins have not."""

import json

from .call import NOTHING, Answer, Call, error
from .mutant import spoils

_VALID = ("cni.dev/valid-attachments", "cni.dev/attachments")


@spoils("nodeagent-cni", network="native", caught_by="G1", also="G5 G10")
def collects_everything(call: Call) -> Answer:
    """GC takes the valid attachments too."""
    return call.real({**call.request, **{key: [] for key in _VALID}}) if call.command == "GC" else call.real()


@spoils("nodeagent-cni", network="native", caught_by="G11")
def collects_nothing(call: Call) -> Answer:
    """GC succeeds and takes nothing."""
    return NOTHING if call.command == "GC" else call.real()


@spoils("nodeagent-cni", network="native", caught_by="G11")
def keeps_the_addresses_of_what_it_collects(call: Call) -> Answer:
    """GC takes links and rules of what is not valid, and leaves the addresses reserved."""
    kept = {}
    for path in call.reservations if call.command == "GC" else ():
        with open(path) as file:
            kept[path] = file.read()
    answer = call.real()
    for path, text in kept.items():
        with open(path, "w") as file:
            file.write(text)
    return answer


@spoils("nodeagent-cni", network="native", caught_by="G10")
def knows_all_attachments(call: Call) -> Answer:
    """GC fails for attachments on the list that it does not know."""
    if call.command == "GC" and "nobody" in json.dumps(call.request.get(_VALID[0])):
        return error("nobody: no such attachment", 3, "1.1.0")
    return call.real()


@spoils("nodeagent-cni", network="native", caught_by="G7")
def collects_in_old_versions(call: Call) -> Answer:
    """GC and STATUS succeed in 1.0.0, which has none."""
    old = call.request.get("cniVersion") == "1.0.0"
    return NOTHING if old and call.command in ("GC", "STATUS") else call.real()


@spoils("nodeagent-cni", network="native", caught_by="S1")
def is_never_ready(call: Call) -> Answer:
    """STATUS fails as for an unknown command."""
    return error("unknown CNI_COMMAND: STATUS", 4, "1.1.0") if call.command == "STATUS" else call.real()


@spoils("nodeagent-cni", network="native", caught_by="A22", also="N10")
def has_no_ipv6(call: Call) -> Answer:
    """Of the ranges, the first family counts: there is no IPv6 address."""
    request = call.request
    if request.get("ipam", {}).get("ranges"):
        request["ipam"]["ranges"] = request["ipam"]["ranges"][:1]
        request["ipam"]["routes"] = request["ipam"]["routes"][:1]
    return call.real(request or None)


@spoils("nodeagent-cni", network="native", caught_by="N2")
def routes_ipv6_to_nobody(call: Call) -> Answer:
    """The gateway of the second family is an address that nobody has, in the namespace and in the result."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    document, nobody = answer.document, "fd00:88::fa"
    call.inside("ip", "-6", "route", "replace", "default", "via", nobody, "dev", call.ifname)
    for item in (*document["ips"], *document["routes"]):
        if ":" in item.get("address", item.get("dst")):
            item["gateway" if "address" in item else "gw"] = nobody
    return Answer(0, document)


@spoils("nodeagent-cni", network="native", caught_by="A22")
def does_not_wait_for_ipv6(call: Call) -> Answer:
    """ADD returns while the IPv6 address is tentative."""
    answer = call.real()
    if call.command == "ADD" and answer.ok:
        address = next(ip["address"] for ip in answer.document["ips"] if ":" in ip["address"])
        call.inside("ip", "address", "delete", address, "dev", call.ifname)
        call.inside("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{call.ifname}/accept_dad")
        call.inside("ip", "address", "add", address, "dev", call.ifname)
        call.inside("ip", "-6", "route", "replace", "default", "via", "fd00:88::1", "dev", call.ifname)
    return answer


@spoils("nodeagent-cni", network="native", caught_by="K9")
def does_not_check_ports(call: Call) -> Answer:
    """CHECK does not look at the rules of host ports."""
    request = call.request
    if call.command == "CHECK":
        request.pop("runtimeConfig", None)
    return call.real(request or None)


@spoils("nodeagent-cni", network="native", caught_by="D17")
def needs_ports_to_close_them(call: Call) -> Answer:
    """DEL without the values of the capability leaves the ports as they are."""
    if call.command == "DEL" and not call.request.get("runtimeConfig"):
        kept = call.host("nft", "list", "ruleset")
        answer = call.real()
        call.host("sh", "-c", 'nft flush ruleset && printf %s "$0" | nft -f -', kept)
        return answer
    return call.real()


@spoils("nodeagent-cni", network="native", caught_by="S2")
def is_always_ready(call: Call) -> Answer:
    """STATUS succeeds when there is no address left."""
    return NOTHING if call.command == "STATUS" else call.real()


@spoils("nodeagent-cni", network="native", caught_by="G4")
def collects_in_other_networks(call: Call) -> Answer:
    """GC releases the addresses of all networks that are kept in the same folder."""
    if call.command == "GC":
        call.host("find", call.request["ipam"]["dataDir"], "-name", "[0-9]*", "-delete")
    return call.real()


@spoils("nodeagent-cni", network="native", caught_by="A15")
def chooses_macs_itself(call: Call) -> Answer:
    """The capability `mac` is declared, and its value is not looked at."""
    request = call.request
    request.get("runtimeConfig", {}).pop("mac", None)
    return call.real(request or None)
