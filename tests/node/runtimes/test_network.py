"""Where a pod's network comes into its life, and what happens when it fails."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from components import require

from cni.testing import namespaces
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci.namespaces import is_pinned

pytestmark = pytest.mark.node


class Provider:
    """A network whose every step the test decides about."""

    def __init__(self):
        self.calls = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.setup_error = None
        self.teardown_error = None

    async def setup(self, sandbox_id, netns_path, config):
        self.calls.append(("setup", sandbox_id, is_pinned(netns_path)))
        await self.gate.wait()
        if self.setup_error:
            raise self.setup_error
        return ("10.9.8.7", "fd00::7")

    async def teardown(self, sandbox_id, netns_path, config):
        self.calls.append(("teardown", sandbox_id, netns_path is not None and is_pinned(netns_path)))
        if self.teardown_error:
            raise self.teardown_error

    async def status(self):
        return "Network plugin returns error: not yet"


async def test_the_addresses_are_reported_and_remembered(node):
    """The first IP is the pod's, the others follow; a new agent still knows them; DEL gets the live namespace."""
    network = Provider()
    async with node.agent(network=network) as subject:
        pod = await subject.run_sandbox()
    async with node.agent(network=network) as subject:
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=pod[0])
        status = (await subject.service.pod_sandbox_status(request)).status
        assert status.network == cri.PodSandboxNetworkStatus(ip="10.9.8.7", additional_ips=[cri.PodIP(ip="fd00::7")])
        await node.remove_all(subject)
    assert network.calls == [("setup", pod[0], True), ("teardown", pod[0], True)]


async def test_create_does_not_wait_for_the_network_and_start_does(node):
    """A container is made while the network comes up; it runs only afterwards."""
    network = Provider()
    network.gate.clear()
    async with node.agent(network=network) as subject:
        early = asyncio.get_running_loop().create_future()
        config = subject.sandbox_config()
        running = asyncio.create_task(
            subject.service.run_pod_sandbox(cri.RunPodSandboxRequest(config=config), on_created=early.set_result)
        )
        sandbox_id = await early
        container_id = await subject.create((sandbox_id, config), subject.container_config())
        starting = asyncio.create_task(subject.start(container_id))
        await asyncio.sleep(0.2)
        assert not running.done()
        assert not starting.done()
        assert (await subject.status(container_id)).state == cri.CONTAINER_CREATED
        network.gate.set()
        assert (await running).pod_sandbox_id == sandbox_id
        await starting
        assert (await subject.status(container_id)).state == cri.CONTAINER_RUNNING
        await node.remove_all(subject)


async def test_a_network_that_fails_leaves_nothing(node):
    """The error is the network's; containers made early are gone; the address is given back."""
    network = Provider()
    network.gate.clear()
    network.setup_error = errors.Internal('plugin type="x" failed (add): no more addresses')
    async with node.agent(network=network) as subject:
        early = asyncio.get_running_loop().create_future()
        config = subject.sandbox_config()
        running = asyncio.create_task(
            subject.service.run_pod_sandbox(cri.RunPodSandboxRequest(config=config), on_created=early.set_result)
        )
        sandbox_id = await early
        container_id = await subject.create((sandbox_id, config), subject.container_config())
        starting = asyncio.create_task(subject.start(container_id))
        await asyncio.sleep(0.05)
        network.gate.set()
        with pytest.raises(errors.Internal, match="no more addresses"):
            await running
        with pytest.raises(errors.RuntimeFault, match="no more addresses"):
            await starting
        assert list((await subject.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items) == []
        assert list((await subject.service.list_containers(cri.ListContainersRequest())).containers) == []
        assert network.calls == [("setup", sandbox_id, True), ("teardown", sandbox_id, True)]
        assert list((node.directory / "state" / "sandboxes").iterdir()) == []
        assert list((node.directory / "run" / "pods").iterdir()) == []
    assert node.leaks() == []


async def test_a_cancelled_sandbox_leaves_nothing(node):
    """Cancelled while the network hangs, even twice: everything is undone before the caller goes on."""
    network = Provider()
    network.gate.clear()
    async with node.agent(network=network) as subject:
        early = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(
            subject.service.run_pod_sandbox(
                cri.RunPodSandboxRequest(config=subject.sandbox_config()), on_created=early.set_result
            )
        )
        await early
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await subject.until(lambda: not any((node.directory / "state" / "sandboxes").iterdir()))
        assert [call[0] for call in network.calls] == ["setup", "teardown"]


async def test_a_network_that_cannot_be_undone_is_tried_again(node):
    """The sandbox stays listed as NOTREADY until its teardown succeeds; no second address leaks."""
    network = Provider()
    async with node.agent(network=network) as subject:
        pod = await subject.run_sandbox()
        container_id = await subject.launch(pod, subject.container_config())
        network.teardown_error = errors.Internal("the plugin is broken")
        with pytest.raises(errors.Internal, match="broken"):
            await subject.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))
        assert (await subject.status(container_id)).state == cri.CONTAINER_EXITED
    async with node.agent(network=network) as subject:
        with pytest.raises(errors.Internal, match="broken"):
            await subject.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod[0]))
        assert len((await subject.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items) == 1
        network.teardown_error = None
        await subject.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod[0]))
        assert list((await subject.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items) == []


async def test_a_half_connected_sandbox_is_disconnected_at_the_next_start(node):
    """An agent that died within the ADD: the next one runs the DEL with the namespace that is still there."""
    network = Provider()
    async with node.agent() as subject:
        pod = await subject.run_sandbox()
    record_path = node.directory / "state" / "sandboxes" / pod[0] / "state.json"
    record = json.loads(record_path.read_text())
    record_path.write_text(json.dumps(record | {"state": "creating", "network": True}))
    async with node.agent(network=network) as subject:
        assert list((await subject.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items) == []
    assert network.calls == [("teardown", pod[0], True)]


async def test_a_sandbox_without_a_record_is_disconnected_by_its_name(node):
    """After a power cut the directory may be all that is left: DEL runs without a namespace."""
    network = Provider()
    async with node.agent():
        pass
    (node.directory / "state" / "sandboxes" / ("f" * 64)).mkdir()
    async with node.agent(network=network):
        pass
    assert network.calls == [("teardown", "f" * 64, False)]


async def test_the_condition_tells_what_is_missing(node):
    """NetworkReady is the provider's word."""
    async with node.agent(network=Provider()) as subject:
        status = (await subject.service.status(cri.StatusRequest())).status
    assert [(entry.type, entry.status, entry.reason, entry.message) for entry in status.conditions] == [
        ("RuntimeReady", True, "", ""),
        ("NetworkReady", False, "NetworkPluginNotReady", "Network plugin returns error: not yet"),
    ]


# with real plugins


def _network(tmp_path: Path):
    from runtimes.oci.network import CNINetwork, CNISettings

    require("/usr/lib/cni/ptp")
    conf_dir = tmp_path / "net.d"
    conf_dir.mkdir(exist_ok=True)
    settings = CNISettings(conf_dir=conf_dir, bin_dirs=(Path("/usr/lib/cni"),), cache_dir=tmp_path / "cni")
    return CNINetwork(settings), conf_dir


def _conflist(tmp_path: Path, name: str, subnet: str) -> str:
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]], "dataDir": str(tmp_path / "ipam")}
    return json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "ptp", "ipam": ipam}]})


async def test_pods_on_a_real_network(node, tmp_path):
    """An address of the subnet on eth0, reachable from the host; nothing reserved afterwards."""
    network, conf_dir = _network(tmp_path)
    (conf_dir / "10-test.conflist").write_text(_conflist(tmp_path, "natest-a", "10.213.1.0/24"))
    async with node.agent(network=network) as subject:
        pod = await subject.run_sandbox()
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=pod[0])
        ip = (await subject.service.pod_sandbox_status(request)).status.network.ip
        assert ip.startswith("10.213.1.")
        container_id = await subject.launch(pod, subject.container_config())
        assert f"inet addr:{ip}" in await subject.sh(container_id, "ifconfig eth0")
        stats = await subject.service.pod_sandbox_stats(cri.PodSandboxStatsRequest(pod_sandbox_id=pod[0]))
        assert stats.stats.linux.network.default_interface.name == "eth0"
        # the file changes to another network: the pod still leaves the one it is in
        (conf_dir / "10-test.conflist").write_text(_conflist(tmp_path, "natest-b", "10.213.2.0/24"))
        other = await subject.run_sandbox(subject.sandbox_config("other"))
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=other[0])
        assert (await subject.service.pod_sandbox_status(request)).status.network.ip.startswith("10.213.2.")
        await node.remove_all(subject)
    assert [path.name for path in (tmp_path / "ipam").glob("*/10.*")] == []
    assert list((tmp_path / "cni" / "results").iterdir()) == []


async def test_garbage_of_a_state_that_was_lost(tmp_path):
    """A namespace went, and nobody knows its sandbox: its address is free again, and that of one that lives is not."""
    network, conf_dir = _network(tmp_path)
    (conf_dir / "10-test.conflist").write_text(_conflist(tmp_path, "natest-d", "10.213.4.0/24"))
    run = tmp_path / "run"
    run.mkdir()
    paths = [run / "lost", run / "alive"]
    for path in paths:
        namespaces.create(path)
    try:
        _, (ip,) = [await network.setup(path.name, path, cri.PodSandboxConfig()) for path in paths]
        namespaces.delete(paths[0])
        await network.collect_garbage(run, ())
        assert [path.name for path in (tmp_path / "ipam").glob("*/10.*")] == [ip]
        await network.teardown("alive", paths[1], cri.PodSandboxConfig())
    finally:
        for path in paths:
            namespaces.delete(path)
    assert list((tmp_path / "cni" / "results").iterdir()) == []


async def test_no_network_configuration(node, tmp_path):
    """The node says so; a pod fails with the folder's name and leaves nothing; a file that appears is used at once."""
    network, conf_dir = _network(tmp_path)
    async with node.agent(network=network) as subject:
        status = (await subject.service.status(cri.StatusRequest())).status
        ready = next(entry for entry in status.conditions if entry.type == "NetworkReady")
        assert (ready.status, ready.reason) == (False, "NetworkPluginNotReady")
        assert ready.message.startswith("Network plugin returns error: no CNI configuration file in")
        with pytest.raises(errors.Unavailable, match="no CNI configuration file"):
            await subject.run_sandbox()
        (conf_dir / "10-test.conflist").write_text(_conflist(tmp_path, "natest-c", "10.213.3.0/24"))
        assert all(entry.status for entry in (await subject.service.status(cri.StatusRequest())).status.conditions)
        await subject.run_sandbox(subject.sandbox_config("second"))
        await node.remove_all(subject)
    shutil.rmtree(conf_dir)
