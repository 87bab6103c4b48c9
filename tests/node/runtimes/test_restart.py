"""Agents come and go; what they run stays, and what they left half made goes."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux import syscalls

pytestmark = pytest.mark.node

RUNTIMES = ["runc", "crun", "runsc"]


@pytest.mark.parametrize("name", RUNTIMES)
async def test_a_new_agent_adopts_what_runs(node, name):
    """Same ids, same states; exec, attach, log and exit work as before."""
    async with node.agent(name) as first:
        pod = await first.run_sandbox()
        config = first.container_config("while read line; do echo got $line; done; exit 9")
        config.stdin = config.stdin_once = True
        container_id = await first.launch(pod, config)
        created = await first.create(pod, first.container_config(name="created"))
        before = await first.status(container_id)
    async with node.agent(name) as second:
        assert await second.status(container_id) == before
        sandboxes = (await second.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items
        assert [(item.id, item.state) for item in sandboxes] == [(pod[0], cri.SANDBOX_READY)]
        assert (await second.exec(container_id, "/bin/echo", "again")).stdout == b"again\n"
        await second.start(created)
        events = second.service.events()
        session = await second.streaming.open_attach(
            cri.AttachRequest(container_id=container_id, stdin=True, stdout=True, stderr=True)
        )
        await session.write_stdin(b"word\n")
        await session.close_stdin()
        output = b"".join([chunk async for _, chunk in session.output()])
        await session.close()
        assert output == b"got word\n"
        event = await asyncio.wait_for(anext(events), 20)
        assert (event.container_id, event.container_event_type) == (container_id, cri.CONTAINER_STOPPED_EVENT)
        assert (await second.status(container_id)).exit_code == 9
        await node.remove_all(second)


@pytest.mark.parametrize("name", RUNTIMES)
async def test_what_ended_while_nobody_looked(node, name):
    """The exit code and the time of the exit are those of the container, not of the agent's return."""
    async with node.agent(name) as first:
        pod = await first.run_sandbox()
        container_id = await first.launch(pod, first.container_config("sleep 0.5; exit 3"))
        log = Path((await first.status(container_id)).log_path)
    exits = node.directory / "state" / "exits" / container_id
    await first.until(exits.exists)
    ended_by_ns = time.time_ns()
    async with node.agent(name) as second:
        status = await second.status(container_id)
        assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 3, "Error")
        assert status.started_at < status.finished_at <= ended_by_ns
        assert log.exists()
        await node.remove_all(second)


async def test_an_agent_that_was_killed(node):
    """SIGKILL to the agent's whole process group leaves its containers running."""
    script = AGENT.format(directory=str(node.directory), store=str(node.image_store), parent=node.cgroup_parent)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    container_id = ""
    while not container_id:
        line = await process.stdout.readline()
        assert line, "the agent ended by itself"
        words = line.decode().split()
        container_id = words[1] if words[0] == "started" else ""
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    async with node.agent() as second:
        assert (await second.status(container_id)).state == cri.CONTAINER_RUNNING
        assert (await second.exec(container_id, "/bin/echo", "alive")).stdout == b"alive\n"
        await node.remove_all(second)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["runc", "crun"])
async def test_an_agent_killed_at_any_moment(node, name, seed):
    """Whatever it was doing: the next one starts, everything it lists is whole, and nothing remains after removal."""
    script = AGENT.format(directory=str(node.directory), store=str(node.image_store), parent=node.cgroup_parent)
    node.config(name)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, name, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).split()[0] == b"ready"
    await asyncio.sleep(random.Random(seed).uniform(0.0, 0.35))
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    async with node.agent(name) as second:
        containers = (await second.service.list_containers(cri.ListContainersRequest())).containers
        sandboxes = (await second.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items
        assert {entry.pod_sandbox_id for entry in containers} <= {item.id for item in sandboxes}
        for entry in containers:
            if entry.state == cri.CONTAINER_CREATED:
                await second.start(entry.id)
            status = await second.status(entry.id)
            if status.state == cri.CONTAINER_RUNNING:
                assert (await second.exec(entry.id, "/bin/echo", "alive")).stdout == b"alive\n"
        records = [json.loads(path.read_bytes()) for path in (node.directory / "state").glob("*/*/state.json")]
        known = {item.id for item in sandboxes} | {entry.id for entry in containers}
        assert {record["id"] for record in records if not record.get("infra")} == known
        assert {record["sandbox_id"] for record in records if record.get("infra")} <= known
        await node.remove_all(second)
    assert node.leaks() == []


AGENT = """
import asyncio, sys
from pathlib import Path
from proto import cri_pb2 as cri
from runtimes.oci.config import OCIRuntimeConfig
from runtimes.oci.engine import OCIRuntime
from runtimes.oci.images.store import DiskImageStore
import shutil

NAME = sys.argv[1] if len(sys.argv) > 1 else "runc"
DIRECTORY = Path("{directory}")

async def main():
    store = DiskImageStore(Path("{store}"))
    await store.start()
    config = OCIRuntimeConfig(
        name=NAME, path=shutil.which(NAME), state_dir=DIRECTORY / "state", run_dir=DIRECTORY / "run",
        conmon_cgroup="{parent}-conmon",
    )
    engine = OCIRuntime(config=config, images=store, network=None)
    await engine.start()
    print("ready", flush=True)
    async def one(number):
        pod = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name="p", uid=f"u{{number}}", namespace="d"), hostname="p"
        )
        pod.linux.cgroup_parent = f"{parent}/pod{{number}}"
        modes = pod.linux.security_context.namespace_options
        modes.pid = cri.POD if number % 2 else cri.CONTAINER
        sandbox_id = (await engine.run_pod_sandbox(cri.RunPodSandboxRequest(config=pod))).pod_sandbox_id
        container = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name="c"), image=cri.ImageSpec(image="localhost/conformance:1"),
            command=["/bin/sleep", "1000"],
        )
        container.linux.security_context.namespace_options.pid = modes.pid
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=container, sandbox_config=pod)
        container_id = (await engine.create_container(request)).container_id
        await engine.start_container(cri.StartContainerRequest(container_id=container_id))
        print("started", container_id, flush=True)
        if number % 3 == 2:
            await engine.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))
    number = 0
    while True:
        await asyncio.gather(one(number), one(number + 1))
        number += 2

asyncio.run(main())
"""


async def test_half_made_things_are_removed(node):
    """Directories without a record, torn records and files of nobody are gone after a start."""
    async with node.agent() as first:
        pod = await first.run_sandbox()
        kept = await first.launch(pod, first.container_config())
    state, run = node.directory / "state", node.directory / "run"
    for kind in ("containers", "sandboxes"):
        (state / kind / ("a" * 64)).mkdir()
        (state / kind / ("b" * 64)).mkdir()
        (state / kind / ("b" * 64) / "state.json").write_text('{"id": "b')
    (state / "exits" / ("c" * 64)).write_text("0")
    (run / "bundles" / ("d" * 64)).mkdir()
    (run / "pods" / ("e" * 64)).mkdir()
    async with node.agent() as second:
        assert (await second.status(kept)).state == cri.CONTAINER_RUNNING
        assert [path.name for path in (state / "containers").iterdir()] == [kept]
        assert [path.name for path in (state / "sandboxes").iterdir()] == [pod[0]]
        assert list((state / "exits").iterdir()) == []
        assert [path.name for path in (run / "bundles").iterdir()] == [kept]
        assert [path.name for path in (run / "pods").iterdir()] == [pod[0]]
        await node.remove_all(second)


async def test_a_reboot(node):
    """Nothing runs any more: containers are exited with an unknown code, sandboxes NOTREADY, and can be removed."""
    async with node.agent() as first:
        pod = await first.run_sandbox()
        container_id = await first.launch(pod, first.container_config())
    records = [*(node.directory / "state").glob("*/*/state.json")]
    assert len(records) == 2
    monitor = 0
    for path in records:
        record = json.loads(path.read_text())
        record["boot_id"] = "another"
        if "monitor" in record:
            monitor = record["monitor"]["pid"]
            os.kill(monitor, signal.SIGKILL)
            os.kill(record["init"]["pid"], signal.SIGKILL)
        path.write_text(json.dumps(record))
    for pinned in (node.directory / "run" / "pods" / pod[0]).iterdir():
        syscalls.umount(pinned, syscalls.MNT_DETACH)
    async with node.agent() as second:
        status = await second.status(container_id)
        assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 255, "Unknown")
        sandbox = await second.service.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=pod[0]))
        assert sandbox.status.state == cri.SANDBOX_NOTREADY
        with pytest.raises(errors.WrongState):
            await second.create(pod, second.container_config(name="new"))
        await node.remove_all(second)


async def test_a_monitor_that_was_killed(node):
    """Without conmon the container cannot go on: it is killed, and says why."""
    async with node.agent() as subject:
        pod = await subject.run_sandbox()
        container_id = await subject.launch(pod, subject.container_config())
        record = json.loads((node.directory / "state" / "containers" / container_id / "state.json").read_text())
        os.kill(record["monitor"]["pid"], signal.SIGKILL)
        status = await subject.exited(container_id)
        assert (status.exit_code, status.reason) == (255, "Error")
        assert "conmon" in status.message
        assert not Path(f"/proc/{record['init']['pid']}/root/bin").exists()
        await node.remove_all(subject)


async def test_monitors_leave_the_agents_cgroup(node):
    """conmon is in a cgroup of its own wherever the agent has one, and in a session of its own."""
    async with node.agent() as subject:
        pod = await subject.run_sandbox()
        container_id = await subject.launch(pod, subject.container_config())
        record = json.loads((node.directory / "state" / "containers" / container_id / "state.json").read_text())
        pid = record["monitor"]["pid"]

        def cgroups(path):
            return {line.split(":")[1]: line.split(":")[2] for line in Path(path).read_text().splitlines()}

        own = cgroups("/proc/self/cgroup")

        async def moved():
            theirs = cgroups(f"/proc/{pid}/cgroup")
            places = {name: theirs[name] for name, path in own.items() if path != "/" and name != "cpuset"}
            return set(places.values()) <= {node.conmon_cgroup} or None

        assert await subject.eventually(moved)
        assert os.getsid(pid) == pid
        await node.remove_all(subject)


async def test_the_state_belongs_to_one_engine(node):
    """A second one on the same folder does not start; after the first has ended it does."""
    async with node.agent():
        with pytest.raises(errors.Unavailable, match="in use by another agent"):
            async with node.agent():
                pass
    async with node.agent():
        pass
