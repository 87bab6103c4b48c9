"""Programs below the engine that are missing, hang, fail or talk rubbish."""

import asyncio
import json
import os
import shutil

import pytest

from proto import cri_pb2 as cri
from runtimes import errors

pytestmark = pytest.mark.node


def faulty(tmp_path, verb, action):
    """A runc that behaves, but for one verb."""
    path = tmp_path / f"runc-{verb}"
    path.write_text(
        f"""#!/bin/sh
for argument in "$@"; do
    if [ "$argument" = {verb} ]; then {action}; fi
done
exec {shutil.which("runc")} "$@"
"""
    )
    path.chmod(0o755)
    return str(path)


async def empty(subject):
    containers = await subject.service.list_containers(cri.ListContainersRequest())
    return list(containers.containers) == []


@pytest.mark.parametrize("path", ["/no/such/runc", "/etc/passwd"])
async def test_a_runtime_that_cannot_be_run(node, path):
    """The engine does not start, and names the program."""
    with pytest.raises(errors.Unavailable, match=path):
        async with node.agent(path=path):
            pass


async def test_no_conmon(node):
    """The engine does not start without its monitor."""
    with pytest.raises(errors.Unavailable, match="no-conmon does not exist"):
        async with node.agent(conmon_path="/no/such/no-conmon"):
            pass


async def test_a_runtime_that_went_away(node, tmp_path):
    """RuntimeReady says so; a container gets a clear refusal; the pod is removed all the same."""
    path = faulty(tmp_path, "never", "true")
    async with node.agent(path=path) as subject:
        pod = await subject.run_sandbox()
        shutil.move(path, path + ".away")
        condition = (await subject.service.status(cri.StatusRequest())).status.conditions[0]
        assert (condition.type, condition.status, condition.reason) == ("RuntimeReady", False, "RuntimeNotReady")
        assert path in condition.message
        container_id = await subject.create(pod, subject.container_config())
        with pytest.raises(errors.RuntimeFault):
            await subject.start(container_id)
        status = await subject.status(container_id)
        assert (status.exit_code, status.reason) == (128, "StartError")
        shutil.move(path + ".away", path)
        await node.remove_all(subject)


async def test_a_runtime_that_hangs_in_create(node, tmp_path):
    """The deadline ends it; the error is Timeout; nothing is left of the attempt."""
    path = faulty(tmp_path, "create", "exec sleep 600")
    async with node.agent(path=path, call_timeout_seconds=4.0) as subject:
        pod = await subject.run_sandbox()
        with pytest.raises(errors.Timeout):
            await subject.create(pod, subject.container_config())
        assert await empty(subject)
        assert list((node.directory / "state" / "containers").iterdir()) == []
        assert list((node.directory / "run" / "bundles").iterdir()) == []
        await node.remove_all(subject)
    assert node.leaks() == []


async def test_a_cancelled_creation(node, tmp_path):
    """The caller goes away while the runtime works: nothing is left when it is told so."""
    path = faulty(tmp_path, "create", "sleep 5")
    async with node.agent(path=path) as subject:
        pod = await subject.run_sandbox()
        creating = asyncio.create_task(subject.create(pod, subject.container_config()))
        await asyncio.sleep(0.3)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert await empty(subject)
        assert list((node.directory / "state" / "containers").iterdir()) == []
        await node.remove_all(subject)
    assert node.leaks() == []


@pytest.mark.parametrize("words", ["echo rubbish >&2; exit 1", "kill -9 $$", "exit 3"])
async def test_a_runtime_that_fails_in_create(node, tmp_path, words):
    """The container's start tells what the runtime said, or that it said nothing."""
    async with node.agent(path=faulty(tmp_path, "create", words)) as subject:
        pod = await subject.run_sandbox()
        container_id = await subject.create(pod, subject.container_config())
        with pytest.raises(
            errors.RuntimeFault, match="rubbish" if "rubbish" in words else "without a word|exit status"
        ):
            await subject.start(container_id)
        status = await subject.status(container_id)
        assert (status.exit_code, status.reason) == (128, "StartError")
        await node.remove_all(subject)


async def test_a_runtime_that_fails_in_start(node, tmp_path):
    """The created process is killed, the container says why."""
    async with node.agent(path=faulty(tmp_path, "start", "echo no start today >&2; exit 1")) as subject:
        pod = await subject.run_sandbox()
        container_id = await subject.create(pod, subject.container_config())
        with pytest.raises(errors.RuntimeFault, match="no start today"):
            await subject.start(container_id)
        status = await subject.status(container_id)
        assert (status.exit_code, status.reason) == (128, "StartError")
        assert "no start today" in status.message
        await node.remove_all(subject)


async def test_an_exec_that_hangs_in_the_runtime(node, tmp_path):
    """The time-out is the caller's, and the container is unharmed."""
    async with node.agent(path=faulty(tmp_path, "exec", "exec sleep 600")) as subject:
        pod = await subject.run_sandbox()
        container_id = await subject.launch(pod, subject.container_config())
        with pytest.raises(errors.Timeout):
            await subject.exec(container_id, "true", timeout=1)
        assert (await subject.status(container_id)).state == cri.CONTAINER_RUNNING
        await node.remove_all(subject)


async def test_one_bad_container_harms_no_other(node, tmp_path):
    """Beside one that cannot start the others of the pod run on."""
    async with node.agent() as subject:
        pod = await subject.run_sandbox()
        good = await subject.launch(pod, subject.container_config(name="good"))
        for number, command in enumerate((["/etc/passwd"], ["/no/such"], ["/"])):
            config = subject.container_config(name=f"bad{number}")
            del config.args[:]
            config.command[:] = command
            bad = await subject.create(pod, config)
            with pytest.raises(errors.RuntimeFault):
                await subject.start(bad)
            assert (await subject.status(bad)).reason == "StartError"
        assert (await subject.exec(good, "/bin/echo", "well")).stdout == b"well\n"
        await node.remove_all(subject)


async def test_a_cdi_device(node, tmp_path):
    """A vendor's file turns a name into environment, mounts and device nodes; an unknown name is refused."""
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi" / "vendor.yaml").write_text(
        f"""
cdiVersion: 0.6.0
kind: vendor.com/thing
devices:
- name: one
  containerEdits:
    env: [THING=one]
    deviceNodes: [{{path: /dev/thing, hostPath: /dev/null}}]
    mounts: [{{hostPath: {tmp_path}/cdi, containerPath: /vendor, options: [ro, rbind]}}]
"""
    )
    async with node.agent(cdi_dirs=(tmp_path / "cdi",)) as subject:
        pod = await subject.run_sandbox()
        config = subject.container_config("echo $THING; echo x > /dev/thing && ls /vendor")
        config.CDI_devices.add(name="vendor.com/thing=one")
        assert (await subject.run_in(pod, config))[1] == "one\nvendor.yaml\n"
        config = subject.container_config(name="other")
        config.CDI_devices.add(name="vendor.com/thing=two")
        with pytest.raises(errors.InvalidArgument, match="thing=two"):
            await subject.create(pod, config)
        await node.remove_all(subject)


async def test_no_infra_container_no_shared_pid_namespace(node):
    """Configured never to have one, the engine refuses what needs one, and leaves nothing."""
    async with node.agent(infra_container="never") as subject:
        config = subject.sandbox_config()
        config.linux.security_context.namespace_options.pid = cri.POD
        with pytest.raises(errors.NotSupported, match="infra container"):
            await subject.run_sandbox(config)
        assert list((await subject.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items) == []


async def test_an_infra_container_that_died(node):
    """The sandbox is NOTREADY, and that is an event."""
    async with node.agent(infra_container="always") as subject:
        pod = await subject.run_sandbox()
        record = json.loads(next((node.directory / "state" / "containers").glob("*/state.json")).read_bytes())
        events = subject.service.events()
        os.kill(record["init"]["pid"], 9)
        event = await asyncio.wait_for(anext(events), 20)
        assert (event.container_id, event.container_event_type) == (pod[0], cri.CONTAINER_STOPPED_EVENT)
        assert event.pod_sandbox_status.state == cri.SANDBOX_NOTREADY
        await node.remove_all(subject)
