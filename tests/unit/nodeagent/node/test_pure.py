"""The pure parts of the node room: addresses, capacity, labels."""

import dataclasses
import ipaddress
from pathlib import Path
from typing import Any

import pytest
import small_machine

from nodeagent.node import addresses, capacity, labels
from nodeagent.node.addresses import HostInterface, NoNodeAddress
from nodeagent.node.capacity import DeviceCount, InvalidReservation, Limits
from nodeagent.node.facts import cgroup_version, node_name, read_machine


def ip(text: str) -> addresses.IP:
    return ipaddress.ip_address(text)


def interface(name: str, *texts: str) -> HostInterface:
    return HostInterface(name=name, addresses=tuple(ip(text) for text in texts))


HOST = (
    interface("lo", "127.0.0.1", "::1"),
    interface("docker0", "172.17.0.1"),
    interface("eth0", "192.0.2.2", "fd00::2", "fe80::1"),
    interface("eth1", "198.51.100.7"),
)

MACHINE = dataclasses.replace(small_machine.MACHINE, memory_bytes=8 * 2**30, hugepages={2 * 2**20: 512, 2**30: 0})


@pytest.mark.parametrize(
    ("name", "wanted", "resolved", "routes", "chosen"),
    [
        ("n", "", [], ["eth0"], ["192.0.2.2"]),
        ("n", "::", [], ["eth0"], ["fd00::2"]),
        ("n", "0.0.0.0", [], ["eth0"], ["192.0.2.2"]),
        ("n", "198.51.100.7", ["192.0.2.2"], ["eth0"], ["198.51.100.7"]),
        ("n", "fd00::2,192.0.2.2", [], [], ["fd00::2", "192.0.2.2"]),
        ("n", "", ["127.0.0.1", "203.0.113.9", "198.51.100.7"], ["eth0"], ["198.51.100.7"]),
        ("n", "", ["fd00::2"], ["eth1"], ["fd00::2"]),
        ("192.0.2.2", "", [], ["eth1"], ["192.0.2.2"]),
        ("n", "", ["127.0.0.1"], ["eth1"], ["198.51.100.7"]),
        ("n", "", [], [], ["172.17.0.1"]),
    ],
)
def test_choice_of_node_ip(name: str, wanted: str, resolved: list[str], routes: list[str], chosen: list[str]) -> None:
    """--node-ip, then the name as IP, then DNS if it is an address of the machine, then the default route."""
    found = addresses.choose(name, addresses.parse_node_ips(wanted), [ip(text) for text in resolved], HOST, routes)
    assert [str(address) for address in found] == chosen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1", "nodeIP can't be loopback address"),
        ("224.0.0.1", "nodeIP can't be a multicast address"),
        ("fe80::1", "nodeIP can't be a link-local unicast address"),
        ("203.0.113.1", "node IP: 203.0.113.1 not found in the host's network interfaces"),
    ],
)
def test_node_ip_that_cannot_be(text: str, message: str) -> None:
    """An address that the operator asks for and that cannot work is an error with the reason."""
    with pytest.raises(NoNodeAddress, match=message):
        addresses.choose("n", addresses.parse_node_ips(text), [], HOST, ["eth0"])


def test_no_address_at_all() -> None:
    """A machine with only loopback has no node IP."""
    with pytest.raises(NoNodeAddress):
        addresses.choose("n", [], [], HOST[:1], [])


def test_node_ip_list() -> None:
    """Rubbish and seconds of a family are left out."""
    found = addresses.parse_node_ips("10.0.0.1, x, 10.0.0.2, fd00::1")
    assert [str(address) for address in found] == ["10.0.0.1", "fd00::1"]
    assert [(item.type, item.address) for item in addresses.node_addresses(found, "h")] == [
        ("InternalIP", "10.0.0.1"),
        ("InternalIP", "fd00::1"),
        ("Hostname", "h"),
    ]


def test_default_routes(tmp_path: Path) -> None:
    """Default routes are found in the kernel's tables: by family, then metric; host routes are none."""
    net = tmp_path / "proc/net"
    net.mkdir(parents=True)
    (net / "route").write_text(
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth1 00000000 010200C0 0003 0 0 100 00000000 0 0 0\n"
        "eth0 00000000 010200C0 0003 0 0 50 00000000 0 0 0\n"
        "eth2 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
    )
    zeros = "0" * 32
    (net / "ipv6_route").write_text(
        f"{zeros} 00 {zeros} 00 fe80{'0' * 28} 00000400 00000001 00000000 00000003 eth3\n"
        f"{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200 lo\n"
    )
    assert addresses.default_route_interfaces(tmp_path) == ["eth0", "eth1", "eth3"]
    assert addresses.default_route_interfaces(tmp_path / "none") == []


def test_capacity_and_allocatable() -> None:
    """Capacity is what there is; allocatable is less reservations, eviction thresholds and huge pages."""
    devices = {"example.com/gpu": DeviceCount(total=4, healthy=3)}
    limits = Limits(
        system_reserved={"cpu": "500m", "memory": "1Gi"},
        kube_reserved={"cpu": "250m", "ephemeral-storage": "1Gi"},
        eviction_hard={"memory.available": "100Mi", "nodefs.available": "10%"},
    )
    total = capacity.capacity(MACHINE, limits, 100 * 2**30, devices)
    assert total == {
        "cpu": "4",
        "memory": "8Gi",
        "pods": "110",
        "hugepages-2Mi": "1Gi",
        "hugepages-1Gi": "0",
        "ephemeral-storage": "100Gi",
        "example.com/gpu": "4",
    }
    assert capacity.allocatable(total, limits, devices) == {
        "cpu": "3250m",
        "memory": "6044Mi",
        "pods": "110",
        "hugepages-2Mi": "1Gi",
        "hugepages-1Gi": "0",
        "ephemeral-storage": str(89 * 2**30),
        "example.com/gpu": "3",
    }
    capacity.check_reservations(total, limits)


@pytest.mark.parametrize(
    ("limits", "name", "expected"),
    [
        (Limits(pods_per_core=10), "pods", "40"),
        (Limits(pods_per_core=100), "pods", "110"),
        (Limits(reserved_cpus=1, kube_reserved={"cpu": "2"}), "cpu", "3"),
        (Limits(system_reserved={"memory": "64Gi"}), "memory", "0"),
        (Limits(eviction_hard={"nodefs.available": "100%"}), "ephemeral-storage", str(2**30)),
        (Limits(eviction_hard={"nodefs.inodesFree": "5%"}), "ephemeral-storage", str(2**30)),
    ],
)
def test_allocatable_details(limits: Limits, name: str, expected: str) -> None:
    """Pods per core, reserved CPUs, over-reservation and switched-off thresholds."""
    total = capacity.capacity(MACHINE, limits, 2**30, {})
    assert capacity.allocatable(total, limits, {})[name] == expected


def test_too_much_reserved() -> None:
    """Reserving more than there is stops the start, with every resource named."""
    limits = Limits(system_reserved={"cpu": "5", "memory": "9Gi"})
    total = capacity.capacity(MACHINE, limits, None, {})
    with pytest.raises(InvalidReservation, match=r'^invalid Node Allocatable configuration\. .*"cpu".*"memory"'):
        capacity.check_reservations(total, limits)


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("example.com/x", True),
        ("plain", True),
        ("kubernetes.io/hostname", True),
        ("node.kubernetes.io/x", True),
        ("sub.kubelet.kubernetes.io/x", True),
        ("topology.kubernetes.io/zone", True),
        ("kubernetes.io/x", False),
        ("node-role.kubernetes.io/worker", False),
        ("node-restriction.kubernetes.io/x", False),
        ("a.k8s.io/x", False),
        ("notkubernetes.io/x", True),
    ],
)
def test_labels_a_node_may_have(key: str, allowed: bool) -> None:
    """Keys of the kubernetes.io and k8s.io domains are refused unless they are in the permitted set."""
    assert labels.forbidden([key]) == ([] if allowed else [key])


def test_facts_of_a_machine(tmp_path: Path) -> None:
    """Identity comes from the first file that says something; what is missing is empty; huge pages per size."""

    def put(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    put("etc/machine-id", "abc\n")
    put("etc/os-release", 'NAME=x\nPRETTY_NAME="My Linux 1"\n')
    put("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "3\n")
    put("proc/sys/kernel/pid_max", "4194304")
    put("proc/sys/kernel/threads-max", "1000")
    put("proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    found = read_machine(tmp_path)
    assert (found.machine_id, found.system_uuid, found.boot_id, found.os_image) == ("abc", "abc", "", "My Linux 1")
    assert (found.hugepages, found.max_pids) == ({2097152: 3}, 1000)
    assert found.cpus > 0
    assert found.memory_bytes > 0
    assert cgroup_version(tmp_path) == 2
    assert cgroup_version(tmp_path / "none") == 1


@pytest.mark.parametrize(("override", "name"), [(" Node-A ", "node-a"), ("b", "b")])
def test_node_name(override: str, name: str) -> None:
    """The name is trimmed and in lower case; a blank host name is an error."""
    assert node_name(override) == name


def test_blank_host_name(monkeypatch: Any) -> None:
    """Without any name there is no node."""
    monkeypatch.setattr("socket.gethostname", lambda: "")
    with pytest.raises(ValueError, match="empty node name"):
        node_name(" ")
