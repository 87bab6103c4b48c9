"""What looks wrong and is allowed: nothing of it may be blamed as a broken must."""

import fcntl
import sys
from typing import Any

from .call import NOTHING, Answer, Call, error
from .mutant import allowed


def _told(call: Call, **changes: Any) -> Answer:
    answer = call.real()
    return Answer(0, {**answer.document, **changes}) if call.command == "ADD" and answer.ok else answer


@allowed("bridge", touches="A1 A3 A21 K1")
def has_keys_of_its_own(call: Call) -> Answer:
    """The result has keys that the specification does not know, in interfaces and addresses too."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    document = answer.document
    for item in (*document.get("interfaces", ()), *document.get("ips", ())):
        item["example.org/trace"] = {"id": 1}
    return Answer(0, {**document, "example.org/zone": "a"})


@allowed("bridge", touches="A1 A21 E13")
def prints_blanks(call: Call) -> Answer:
    """What it prints, results and errors, has blank lines before and after it."""
    answer = call.real()
    return Answer(answer.status, b"\n \n" + answer.stdout + b"\n\n") if answer.stdout else answer


@allowed("bridge", touches="A1 E2 V1")
def talks_on_standard_error(call: Call) -> Answer:
    """It logs on standard error, when all is well too."""
    print(f"time=now level=debug msg={call.command}", file=sys.stderr)
    return call.real()


@allowed("bridge", touches="V1 V5 A21")
def knows_later_versions(call: Call) -> Answer:
    """VERSION lists versions that are not published yet."""
    answer = call.real()
    if call.command != "VERSION":
        return answer
    return Answer(
        0, {**answer.document, "supportedVersions": [*answer.document["supportedVersions"], "1.2.0", "2.0.0"]}
    )


@allowed("bridge", touches="E9 E13 P3")
def explains_its_errors(call: Call) -> Answer:
    """Errors have `details`, and a code of its own, of 100 and more, where none of the specification's is meant."""
    answer = call.real()
    if answer.ok or not answer.stdout:  # or it was killed
        return answer
    document = answer.document
    code = document["code"] if document["code"] < 100 else 142
    return Answer(3, {**document, "code": code, "details": "see example.org"})


@allowed("bridge", touches="E15")
def refuses_unknown_keys(call: Call) -> Answer:
    """A key that it does not know is refused with code 2."""
    return error('unsupported field: "unknown": "value"', 2) if "unknown" in call.request else call.real()


@allowed("bridge", touches="A3 A4")
def tells_no_macs(call: Call) -> Answer:
    """The interfaces in the result have no `mac`."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    document = answer.document
    for item in document.get("interfaces", ()):  # older versions have none
        item.pop("mac", None)
    return Answer(0, document)


@allowed("bridge", touches="A3 A4 A8 K1")
def tells_the_pods_interface_first(call: Call) -> Answer:
    """The interfaces of the result are the other way round, and the MACs in capital letters."""
    request = call.request
    if call.command == "CHECK" and call.previous:  # which the real one takes for other MACs
        interfaces = call.previous["interfaces"]
        request["prevResult"]["interfaces"] = [{**item, "mac": item["mac"].lower()} for item in interfaces]
        return call.real(request)
    answer = call.real()
    if call.command != "ADD" or not answer.ok or "ips" not in answer.document:
        return answer
    document = answer.document
    interfaces = [{**item, "mac": item["mac"].upper()} for item in reversed(document.get("interfaces", ()))]
    last = len(interfaces) - 1
    ips = [{**ip, "interface": last - ip["interface"]} for ip in document["ips"]]
    return Answer(0, {**document, "interfaces": interfaces, "ips": ips})


@allowed("bridge", network="0.3.1", touches="A2 A3 A4 D7 K1 N1")
def tells_addresses_only(call: Call) -> Answer:
    """The result of a version without CHECK lists no interfaces, and the addresses name none."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok or "ips" not in answer.document:
        return answer
    document = answer.document
    document.pop("interfaces")
    return Answer(0, {**document, "ips": [{k: v for k, v in ip.items() if k != "interface"} for ip in document["ips"]]})


@allowed("bridge", network="no CHECK", touches="K1 K2")
def cannot_check(call: Call) -> Answer:
    """CHECK always fails, of a network that has `disableCheck`."""
    return error("not implemented", 100) if call.command == "CHECK" else call.real()


@allowed("bridge", touches="D1 L3")
def leaves_something_for_all(call: Call) -> Answer:
    """With the first pod come a device, a route and a firewall rule for the whole node, which stay, as the bridge does."""
    answer = call.real()
    if call.command == "ADD" and answer.ok and "odd0" not in call.host("ip", "-j", "link"):
        with open(call.state_file("odd-lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if "odd0" not in call.host("ip", "-j", "link"):
                call.host("ip", "link", "add", "odd0", "type", "bridge")
                call.host("ip", "link", "set", "odd0", "up")
                call.host("ip", "route", "add", "198.51.100.0/24", "dev", "odd0")
                call.host("iptables", "-w", "-A", "FORWARD", "-i", "cni0", "-j", "ACCEPT")
    return answer


@allowed("bridge", touches="D2 D3")
def forgets_quickly(call: Call) -> Answer:
    """DEL of what it does not know succeeds without a look at anything."""
    named = call.container_id and call.ifname
    if call.command == "DEL" and named and not call.has_link and call.has_namespace and not _reserved(call):
        return NOTHING
    return call.real()


def _reserved(call: Call) -> bool:
    for path in call.reservations:
        with open(path) as file:
            if call.container_id in file.read():
                return True
    return False


@allowed("host-local", touches="P3 D12")
def gives_the_lowest_address(call: Call) -> Answer:
    """An address that is released is given to the next pod."""
    if call.command == "ADD":
        call.host("rm", "-f", f"{call.data_dir}/last_reserved_ip.0")
    return call.real()


@allowed("bridge", network="0.3.1", touches="A2 A5 A8 N1 N2")
def gives_single_addresses(call: Call) -> Answer:
    """Addresses are /32, and everything is reached by a gateway with a route on the link."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok or not call.has_link or "ips" not in answer.document:
        return answer
    document, gateway = answer.document, "10.88.0.1"
    address = document["ips"][0]["address"].partition("/")[0] + "/32"
    call.inside("ip", "address", "flush", "dev", call.ifname)
    call.inside("ip", "address", "add", address, "dev", call.ifname)
    call.inside("ip", "route", "append", gateway, "dev", call.ifname)
    call.inside("ip", "route", "append", "default", "via", gateway, "dev", call.ifname)
    routes = [{"dst": f"{gateway}/32"}, {"dst": "0.0.0.0/0", "gw": gateway}]
    return Answer(0, {**document, "ips": [{**document["ips"][0], "address": address}], "routes": routes})


@allowed("", network="layer 2", touches="A1 A2 A3 A8 A12 N1")
def gives_no_addresses(call: Call) -> Answer:
    """A bridge without IPAM and without an address, and tuning behind it: the result has no `ips` and no `routes`."""
    return call.real()
