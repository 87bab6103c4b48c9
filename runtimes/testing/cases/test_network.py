"""A pod's place in the network: its address, its host ports, its name servers, its traffic."""

import asyncio
import socket
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes.testing.subject import Pod, Subject

pytestmark = pytest.mark.asyncio


async def address(runtime: Subject, pod: Pod) -> str:
    request = cri.PodSandboxStatusRequest(pod_sandbox_id=pod[0])
    return (await runtime.service.pod_sandbox_status(request)).status.network.ip


async def ask(host: str, port: int) -> bytes | None:
    """What a server says; None when there is none."""

    def talk() -> bytes:
        with socket.create_connection((host, port), timeout=2) as client:
            client.sendall(b"hello\n")
            return client.recv(100)

    try:
        return await asyncio.to_thread(talk)
    except OSError:
        return None


async def answered(runtime: Subject, host: str, port: int, expected: bytes) -> None:
    async def probe() -> bool | None:
        return (await ask(host, port) == expected) or None

    await runtime.eventually(probe)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])


async def test_an_address_of_its_own(networked: Subject) -> None:
    """Each pod has one, told in its status, on eth0, reachable from the host and from other pods; a stopped pod has none."""
    pods = [await networked.run_sandbox(networked.sandbox_config(name)) for name in ("one", "two")]
    one, two = [await address(networked, pod) for pod in pods]
    assert one != two
    await networked.launch(pods[0], networked.container_config("while :; do nc -l -p 8080 -e /bin/cat; done"))
    container_id = await networked.launch(pods[1], networked.container_config())
    assert f"inet {two}/" in await networked.sh(container_id, "ip addr show eth0")
    await answered(networked, one, 8080, b"hello\n")
    await networked.sh(container_id, f"until echo hi | nc -w 2 {one} 8080 | grep hi; do sleep 0.1; done")
    await networked.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pods[0][0]))
    assert await address(networked, pods[0]) == ""


async def test_a_pod_on_the_hosts_network_has_no_address(networked: Subject) -> None:
    """The host's are not the runtime's to tell."""
    networked.needs("host namespaces")
    config = networked.sandbox_config(hostname="")
    config.linux.security_context.namespace_options.network = cri.NODE
    assert await address(networked, await networked.run_sandbox(config)) == ""


async def test_host_ports(networked: Subject) -> None:
    """A host port leads to the container's port, at every address of the host or at the one that was named; a port without a
    host port does nothing; with the pod they go."""
    networked.needs("processes")
    config = networked.sandbox_config()
    everywhere, here = free_port(), free_port()
    config.port_mappings.add(protocol=cri.TCP, container_port=8080, host_port=everywhere)
    config.port_mappings.add(protocol=cri.TCP, container_port=8080, host_port=here, host_ip="127.0.0.1")
    config.port_mappings.add(protocol=cri.TCP, container_port=8082)
    pod = await networked.run_sandbox(config)
    await networked.launch(pod, networked.container_config("while :; do nc -l -p 8080 -e /bin/cat; done"))
    ip = await address(networked, pod)
    bridge = ip.rpartition(".")[0] + ".1"
    for host, port in ((ip, 8080), (bridge, everywhere), ("127.0.0.1", everywhere), ("127.0.0.1", here)):
        await answered(networked, host, port, b"hello\n")
    assert await ask(bridge, here) is None
    await networked.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))
    assert [await ask("127.0.0.1", port) for port in (everywhere, here)] == [None, None]


async def test_traffic_is_counted(networked: Subject) -> None:
    """The pod's figures have its interface, and what came in and went out."""
    networked.needs("processes", "statistics")
    pod = await networked.run_sandbox()
    await networked.launch(pod, networked.container_config("while :; do nc -l -p 8080 -e /bin/cat; done"))
    await answered(networked, await address(networked, pod), 8080, b"hello\n")
    request = cri.PodSandboxStatsRequest(pod_sandbox_id=pod[0])

    async def counted() -> cri.NetworkInterfaceUsage | None:
        found = (await networked.service.pod_sandbox_stats(request)).stats.linux.network.default_interface
        return found if found.rx_bytes.value and found.tx_bytes.value else None

    found = await networked.eventually(counted)
    assert (found.name, found.rx_errors.value, found.tx_errors.value) == ("eth0", 0, 0)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (cri.DNSConfig(servers=["10.9.9.9", "10.9.9.8"]), ["nameserver 10.9.9.9", "nameserver 10.9.9.8"]),
        (cri.DNSConfig(searches=["one.example", "two.example"]), ["search one.example two.example"]),
        (cri.DNSConfig(options=["ndots:2", "rotate"]), ["options ndots:2 rotate"]),
        (None, None),
    ],
    ids=["servers", "searches", "options", "none"],
)
async def test_name_servers(runtime: Subject, config: cri.DNSConfig | None, expected: list[str] | None) -> None:
    """What was asked for and nothing else; where nothing was asked for, the host's."""
    sandbox = runtime.sandbox_config()
    sandbox.ClearField("dns_config")
    if config is not None:
        sandbox.dns_config.CopyFrom(config)
    pod = await runtime.run_sandbox(sandbox)
    _, text = await runtime.run_in(pod, runtime.container_config("cat /etc/resolv.conf"))
    if expected is None:
        expected = Path("/etc/resolv.conf").read_text().splitlines()
    assert text.splitlines() == expected
