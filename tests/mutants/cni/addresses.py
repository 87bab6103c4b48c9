"""IPAM plugins, and how they are asked: who has which address."""

import os
import time

from .call import NOTHING, Answer, Call, error
from .mutant import spoils


@spoils("host-local", caught_by="A8", also="P1")
def gives_one_address_to_all(call: Call) -> Answer:
    """Every pod gets the first address."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    document = answer.document
    document["ips"][0]["address"] = "10.88.0.2/24"
    return Answer(0, document)


@spoils("host-local", caught_by="P1")
def looks_before_it_takes(call: Call) -> Answer:
    """It looks for a free address and takes it a moment later, without a lock."""
    if call.command != "ADD":
        return call.real()
    taken = {os.path.basename(path) for path in call.reservations}
    time.sleep(0.5)
    address = next(item for item in (f"10.88.0.{last}" for last in range(2, 255)) if item not in taken)
    os.makedirs(call.data_dir, exist_ok=True)
    with open(f"{call.data_dir}/{address}", "w") as file:
        file.write(f"{call.container_id}\r\n{call.ifname}")
    ip = {"address": f"{address}/24", "gateway": "10.88.0.1", "interface": 0}
    return Answer(0, {"cniVersion": "1.0.0", "ips": [ip], "routes": [{"dst": "0.0.0.0/0"}], "dns": {}})


@spoils("host-local", caught_by="P2", also="P1")
def has_room_for_one_at_a_time(call: Call) -> Answer:
    """An ADD beside another is refused, in place of waiting."""
    if call.command != "ADD":
        return call.real()
    try:
        os.close(os.open(call.state_file("busy"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return error("database is locked", 11)
    time.sleep(0.2)
    answer = call.real()
    os.unlink(call.state_file("busy"))
    return answer


@spoils("host-local", caught_by="D1", also="D2 D4 D5 P3 L2")
def releases_nothing(call: Call) -> Answer:
    """DEL succeeds and keeps the reservation."""
    return NOTHING if call.command == "DEL" else call.real()


@spoils("host-local", caught_by="D11")
def releases_by_interface(call: Call) -> Answer:
    """DEL releases whatever was reserved for an interface of that name, whosever it is."""
    if call.command == "DEL":
        for path in call.reservations:
            with open(path) as file:
                if file.read().split()[1] == call.ifname:
                    os.unlink(path)
    return call.real()


@spoils("host-local", caught_by="D12", also="G5")
def releases_by_container(call: Call) -> Answer:
    """DEL of one interface releases the addresses of the container's others too."""
    if call.command == "DEL":
        for path in call.reservations:
            with open(path) as file:
                if file.read().split()[0] == call.container_id:
                    os.unlink(path)
    return call.real()


@spoils("host-local", caught_by="D4", also="D5 G2")
def releases_with_a_namespace_only(call: Call) -> Answer:
    """DEL keeps the reservation when the namespace is gone."""
    return NOTHING if call.command == "DEL" and not call.has_namespace else call.real()


@spoils("host-local", caught_by="D10", also="D2 D3")
def does_not_release_twice(call: Call) -> Answer:
    """DEL fails when nothing is reserved for the container."""
    before = len(call.reservations) if call.command == "DEL" else 0
    answer = call.real()
    if call.command == "DEL" and len(call.reservations) == before:
        return error("no such reservation", 100)
    return answer


@spoils("host-local", caught_by="P3")
def gives_what_is_not_in_the_pool(call: Call) -> Answer:
    """When the range is used up, it gives addresses from beyond it."""
    answer = call.real()
    if call.command != "ADD" or answer.ok:
        return answer
    ip = {"address": "10.88.0.200/24", "gateway": "10.88.0.1"}
    return Answer(0, {"cniVersion": "1.0.0", "ips": [ip], "dns": {}})


@spoils("host-local", caught_by="P3", hangs=True)
def waits_for_an_address(call: Call) -> Answer:
    """When the range is used up, ADD waits for a DEL."""
    answer = call.real()
    if call.command == "ADD" and not answer.ok:
        time.sleep(1000)
    return answer


@spoils("host-local", caught_by="K8")
def does_not_check_reservations(call: Call) -> Answer:
    """CHECK succeeds without a look at what is reserved."""
    return NOTHING if call.command == "CHECK" else call.real()


@spoils("bridge", caught_by="P1")
def has_one_mac_for_all(call: Call) -> Answer:
    """Every pod's interface has the same MAC."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    mac, document = "02:00:00:00:00:01", answer.document
    call.inside("ip", "link", "set", call.ifname, "address", mac)
    next(item for item in document["interfaces"] if item.get("sandbox"))["mac"] = mac
    return Answer(0, document)


@spoils("bridge", caught_by="A24", also="A20")
def does_without_addresses(call: Call) -> Answer:
    """ADD succeeds without an address when the IPAM plugin fails."""
    answer = call.real()
    if call.command != "ADD" or answer.ok or not call.has_namespace:
        return answer
    return call.real({**call.request, "ipam": {}})


@spoils("bridge", caught_by="D14")
def hides_that_an_address_is_kept(call: Call) -> Answer:
    """DEL succeeds when the IPAM plugin fails: nobody tries again, and the address stays reserved."""
    return Answer(0, b"") if call.command == "DEL" and not call.real().ok else call.real()


@spoils("bridge", caught_by="K13", also="K8")
def does_not_ask_for_addresses(call: Call) -> Answer:
    """CHECK does not ask the IPAM plugin."""
    if call.command != "CHECK" or not call.previous:
        return call.real()
    return Answer(0, b"") if call.has_link else error("no interface", 100)
