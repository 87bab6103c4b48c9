"""Sandboxes and containers from their making to their end."""

import asyncio
import time
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.testing.subject import Subject

pytestmark = pytest.mark.asyncio


async def test_a_container_runs_to_its_end(runtime: Subject) -> None:
    """Output is in the log in the CRI's format, the exit code, reason and the times in the status."""
    before = time.time_ns()
    pod = await runtime.run_sandbox()
    config = runtime.container_config("echo out; echo err >&2; sleep 0.2; exit 3")
    container_id = await runtime.create(pod, config)
    created = await runtime.status(container_id)
    assert (created.state, created.started_at, created.finished_at) == (cri.CONTAINER_CREATED, 0, 0)
    await runtime.start(container_id)
    status = await runtime.exited(container_id)
    assert (status.exit_code, status.reason, status.message) == (3, "Error", "")
    assert before <= created.created_at <= status.started_at <= status.finished_at <= time.time_ns()
    assert status.metadata == config.metadata
    assert (dict(status.labels), dict(status.annotations)) == (dict(config.labels), dict(config.annotations))
    log = Path(status.log_path)
    assert log == Path(pod[1].log_directory) / "main.log"
    lines = {tuple(line.split(" ")[1:]) for line in log.read_text().splitlines()}
    assert lines == {("stdout", "F", "out"), ("stderr", "F", "err")}


async def test_what_a_sandbox_reports(runtime: Subject) -> None:
    """A running sandbox is READY with the metadata it was made with, and listed by id, state and label."""
    sandbox_id, config = await runtime.run_sandbox()
    status = (await runtime.service.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))).status
    assert (status.id, status.state, status.metadata) == (sandbox_id, cri.SANDBOX_READY, config.metadata)
    assert (dict(status.labels), dict(status.annotations)) == ({"app": "pod"}, {"note": "kept"})
    assert status.runtime_handler == runtime.handler
    assert status.linux.namespaces.options == config.linux.security_context.namespace_options
    for wanted, found in (
        (cri.PodSandboxFilter(), True),
        (cri.PodSandboxFilter(id=sandbox_id), True),
        (cri.PodSandboxFilter(id="ffff"), False),
        (cri.PodSandboxFilter(state=cri.PodSandboxStateValue(state=cri.SANDBOX_READY)), True),
        (cri.PodSandboxFilter(state=cri.PodSandboxStateValue(state=cri.SANDBOX_NOTREADY)), False),
        (cri.PodSandboxFilter(label_selector={"app": "pod"}), True),
        (cri.PodSandboxFilter(label_selector={"app": "other"}), False),
    ):
        items = (await runtime.service.list_pod_sandbox(cri.ListPodSandboxRequest(filter=wanted))).items
        assert (sandbox_id in [item.id for item in items]) is found, wanted


async def test_a_sandbox_and_its_list_entry_agree(runtime: Subject) -> None:
    """Metadata, state, time of making, labels and annotations, before and after its end."""
    before = time.time_ns()
    pod = await runtime.run_sandbox()
    made = time.time_ns()
    for state in (cri.SANDBOX_READY, cri.SANDBOX_NOTREADY):
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=pod[0])
        status = (await runtime.service.pod_sandbox_status(request)).status
        (item,) = (await runtime.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items
        assert (status.state, before <= status.created_at <= made) == (state, True)
        for name in ("id", "metadata", "state", "created_at", "labels", "annotations", "runtime_handler"):
            assert getattr(item, name) == getattr(status, name), name
        await runtime.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))


async def test_a_container_and_its_list_entry_agree(runtime: Subject) -> None:
    """In every state; the times that have passed stay as they are."""
    pod = await runtime.run_sandbox()
    container_id = await runtime.create(pod, runtime.container_config())
    seen = []
    for state in (cri.CONTAINER_CREATED, cri.CONTAINER_RUNNING, cri.CONTAINER_EXITED):
        status = await runtime.status(container_id)
        (item,) = (await runtime.service.list_containers(cri.ListContainersRequest())).containers
        assert (status.state, item.pod_sandbox_id) == (state, pod[0])
        for name in ("id", "metadata", "state", "created_at", "labels", "annotations"):
            assert getattr(item, name) == getattr(status, name), name
        assert item.image.image
        assert item.image_ref
        seen.append((status.created_at, status.started_at, status.finished_at))
        if state == cri.CONTAINER_CREATED:
            await runtime.start(container_id)
        elif state == cri.CONTAINER_RUNNING:
            await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
    created, started, finished = seen[2]
    assert [tuple(map(bool, times)) for times in seen] == [
        (True, False, False),
        (True, True, False),
        (True, True, True),
    ]
    assert seen[:2] == [(created, 0, 0), (created, started, 0)]
    assert created <= started <= finished


async def test_a_second_attempt_has_a_name_of_its_own(runtime: Subject) -> None:
    """Metadata with another attempt is another sandbox, and another container, beside the first."""
    first = await runtime.run_sandbox()
    await runtime.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=first[0]))
    config = cri.PodSandboxConfig()
    config.CopyFrom(first[1])
    config.metadata.attempt = 1
    pod = await runtime.run_sandbox(config)
    ids = []
    for attempt in (0, 1):
        container = runtime.container_config("exit 0")
        container.metadata.attempt, container.log_path = attempt, f"main_{attempt}.log"
        ids.append(await runtime.launch(pod, container))
        await runtime.exited(ids[-1])
    assert [(await runtime.status(entry)).metadata.attempt for entry in ids] == [0, 1]
    listed = (await runtime.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items
    assert {(item.id, item.metadata.attempt, item.state) for item in listed} == {
        (first[0], 0, cri.SANDBOX_NOTREADY),
        (pod[0], 1, cri.SANDBOX_READY),
    }


async def test_containers_are_listed_by_every_filter(runtime: Subject) -> None:
    """id, state, sandbox and labels select; several at once must all hold."""
    pod = await runtime.run_sandbox()
    running = await runtime.launch(pod, runtime.container_config(name="one"))
    created = await runtime.create(pod, runtime.container_config(name="two"))
    state = cri.ContainerStateValue
    for wanted, found in (
        (cri.ContainerFilter(pod_sandbox_id=pod[0]), {running, created}),
        (cri.ContainerFilter(id=running), {running}),
        (cri.ContainerFilter(pod_sandbox_id=pod[0], state=state(state=cri.CONTAINER_RUNNING)), {running}),
        (cri.ContainerFilter(pod_sandbox_id=pod[0], state=state(state=cri.CONTAINER_CREATED)), {created}),
        (cri.ContainerFilter(label_selector={"part": "two"}), {created}),
        (cri.ContainerFilter(id=running, label_selector={"part": "two"}), set()),
        (cri.ContainerFilter(pod_sandbox_id="ffff"), set()),
    ):
        listed = (await runtime.service.list_containers(cri.ListContainersRequest(filter=wanted))).containers
        assert {entry.id for entry in listed} == found, wanted


async def test_stopping_and_removing_are_idempotent(runtime: Subject) -> None:
    """Stop and remove succeed again and again, also for what never existed; the sandbox is NOTREADY in between."""
    service, pod = runtime.service, await runtime.run_sandbox()
    container_id = await runtime.launch(pod, runtime.container_config())
    for _ in range(2):
        await service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
    status = await runtime.status(container_id)
    assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 137, "Error")
    for _ in range(2):
        await service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))
    listed = (await service.list_pod_sandbox(cri.ListPodSandboxRequest())).items
    assert [(item.id, item.state) for item in listed if item.id == pod[0]] == [(pod[0], cri.SANDBOX_NOTREADY)]
    for _ in range(2):
        await service.remove_container(cri.RemoveContainerRequest(container_id=container_id))
        await service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod[0]))
    with pytest.raises(errors.NotFound):
        await runtime.status(container_id)
    with pytest.raises(errors.NotFound):
        await service.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=pod[0]))


async def test_unknown_ids_are_not_found(runtime: Subject) -> None:
    """Every verb that needs an object says NotFound when there is none."""
    service, unknown = runtime.service, "0" * 64
    for call in (
        service.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=unknown)),
        service.create_container(cri.CreateContainerRequest(pod_sandbox_id=unknown, config=runtime.container_config())),
        service.start_container(cri.StartContainerRequest(container_id=unknown)),
        service.container_status(cri.ContainerStatusRequest(container_id=unknown)),
        service.update_container_resources(cri.UpdateContainerResourcesRequest(container_id=unknown)),
        service.reopen_container_log(cri.ReopenContainerLogRequest(container_id=unknown)),
        service.exec_sync(cri.ExecSyncRequest(container_id=unknown, cmd=["true"])),
        service.container_stats(cri.ContainerStatsRequest(container_id=unknown)),
        service.pod_sandbox_stats(cri.PodSandboxStatsRequest(pod_sandbox_id=unknown)),
    ):
        with pytest.raises(errors.NotFound):
            await call


async def test_a_name_is_taken_until_it_is_removed(runtime: Subject) -> None:
    """The same metadata twice is AlreadyExists; after removal it is free again."""
    service, pod = runtime.service, await runtime.run_sandbox()
    with runtime.refusal(errors.AlreadyExists):
        await service.run_pod_sandbox(cri.RunPodSandboxRequest(config=pod[1], runtime_handler=runtime.handler))
    first = await runtime.create(pod, runtime.container_config())
    with runtime.refusal(errors.AlreadyExists):
        await runtime.create(pod, runtime.container_config())
    await service.remove_container(cri.RemoveContainerRequest(container_id=first))
    await runtime.create(pod, runtime.container_config())


async def test_a_request_that_is_repeated_joins(runtime: Subject) -> None:
    """Twice the same at the same time is one sandbox, and one container; both callers get its id."""
    runtime.needs("joining repeated requests")
    service, config = runtime.service, runtime.sandbox_config()
    request = cri.RunPodSandboxRequest(config=config, runtime_handler=runtime.handler)
    early: list[str] = []
    tell = early.append if service.capabilities.early_sandbox else None
    answers = await asyncio.gather(*(service.run_pod_sandbox(request, on_created=tell) for _ in range(3)))
    pod = (answers[0].pod_sandbox_id, config)
    assert [answer.pod_sandbox_id for answer in answers] == [pod[0]] * 3
    assert early == [pod[0]] * (3 if tell else 0)
    wanted = runtime.container_config()
    created = await asyncio.gather(*(runtime.create(pod, wanted) for _ in range(3)))
    assert len(set(created)) == 1
    assert [item.id for item in (await service.list_containers(cri.ListContainersRequest())).containers] == created[:1]


async def test_a_container_that_handles_the_stop_signal(runtime: Subject) -> None:
    """It gets the time it was given, and its own exit code counts."""
    runtime.needs("processes")
    pod = await runtime.run_sandbox()
    script = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done"
    container_id = await runtime.launch(pod, runtime.container_config(script))
    log = Path((await runtime.status(container_id)).log_path)
    await runtime.until(lambda: "up" in log.read_text())
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=20))
    status = await runtime.status(container_id)
    assert (status.exit_code, status.reason) == (7, "Error")
    assert "bye" in log.read_text()


async def test_a_container_that_ignores_the_stop_signal_is_killed(runtime: Subject) -> None:
    """After the time given comes SIGKILL."""
    pod = await runtime.run_sandbox()
    container_id = await runtime.launch(pod, runtime.container_config("trap '' TERM; while :; do sleep 0.05; done"))
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=1))
    assert (await runtime.status(container_id)).exit_code == 137


async def test_the_stop_signal_can_be_chosen(runtime: Subject) -> None:
    """config.stop_signal replaces SIGTERM, and is reported."""
    runtime.needs("stop signals in the configuration", "processes")
    pod = await runtime.run_sandbox()
    config = runtime.container_config("trap 'exit 9' USR1; trap 'exit 8' TERM; echo up; while :; do sleep 0.05; done")
    config.stop_signal = cri.SIGUSR1
    container_id = await runtime.launch(pod, config)
    log = Path((await runtime.status(container_id)).log_path)
    await runtime.until(lambda: "up" in log.read_text())
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=20))
    status = await runtime.status(container_id)
    assert (status.exit_code, status.stop_signal) == (9, cri.SIGUSR1)


@pytest.mark.parametrize(
    ("script", "code", "reason"), [("exit 0", 0, "Completed"), ("kill -9 $$", 137, "Error"), ("exit 255", 255, "Error")]
)
async def test_exit_codes(runtime: Subject, script: str, code: int, reason: str) -> None:
    """Zero is Completed, everything else Error; a signal is 128 and its number."""
    # a first process is immune to its own signals, so the script runs in a child
    status, _ = await runtime.run(f"/bin/sh -c {script!r}; exit $?")
    assert (status.exit_code, status.reason) == (code, reason)


async def test_a_container_out_of_memory_is_said_to_be(runtime: Subject) -> None:
    """The kernel's kill inside the container's limit is OOMKilled, exit code 137."""
    runtime.needs("container limits")
    pod = await runtime.run_sandbox()
    config = runtime.container_config("exec tail /dev/zero")
    config.linux.resources.memory_limit_in_bytes = 20 * 1024 * 1024
    container_id = await runtime.launch(pod, config)

    async def told() -> cri.ContainerStatus | None:
        """The exit and the kernel's word may come one after the other."""
        status = await runtime.status(container_id)
        return status if status.reason == "OOMKilled" and status.state == cri.CONTAINER_EXITED else None

    assert (await runtime.eventually(told)).exit_code == 137


async def test_a_container_that_cannot_start(runtime: Subject) -> None:
    """A program that does not exist: start fails with the runtime's words, the status says StartError and 128."""
    runtime.needs("processes")
    pod = await runtime.run_sandbox()
    config = runtime.container_config()
    del config.args[:]
    config.command[:] = ["/no/such/program"]
    container_id = await runtime.create(pod, config)
    with pytest.raises(errors.RuntimeFault, match=r"(?i)no/such/program.*no such file"):
        await runtime.start(container_id)
    status = await runtime.status(container_id)
    assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 128, "StartError")
    assert "/no/such/program" in status.message
    assert (status.started_at, status.finished_at > status.created_at) == (0, True)
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=5))
    await runtime.service.remove_container(cri.RemoveContainerRequest(container_id=container_id))


async def test_a_container_starts_once(runtime: Subject) -> None:
    """Starting what runs, or has run, is WrongState."""
    pod = await runtime.run_sandbox()
    container_id = await runtime.launch(pod, runtime.container_config())
    with runtime.refusal(errors.WrongState):
        await runtime.start(container_id)
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
    with runtime.refusal(errors.WrongState):
        await runtime.start(container_id)


async def test_stopping_a_sandbox_stops_its_containers(runtime: Subject) -> None:
    """All of them, at once; they stay listed as exited, and none can be created any more."""
    pod = await runtime.run_sandbox()
    ids = [await runtime.launch(pod, runtime.container_config(name=name)) for name in ("a", "b")]
    await runtime.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))
    assert [(await runtime.status(entry)).state for entry in ids] == [cri.CONTAINER_EXITED] * 2
    with runtime.refusal(errors.WrongState):
        await runtime.create(pod, runtime.container_config(name="c"))


async def test_removing_a_sandbox_removes_its_containers(runtime: Subject) -> None:
    """Running and created ones, without being stopped first."""
    pod = await runtime.run_sandbox()
    running = await runtime.launch(pod, runtime.container_config(name="a"))
    created = await runtime.create(pod, runtime.container_config(name="b"))
    await runtime.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod[0]))
    for container_id in (running, created):
        with pytest.raises(errors.NotFound):
            await runtime.status(container_id)


async def test_containers_of_a_pod_live_side_by_side(runtime: Subject) -> None:
    """Each has its own exit code and its own log; one that ends leaves the other alone."""
    pod = await runtime.run_sandbox()
    stays = await runtime.launch(pod, runtime.container_config(name="stays"))
    status, text = await runtime.run_in(pod, runtime.container_config("echo gone; exit 4", name="goes"))
    assert (status.exit_code, text) == (4, "gone\n")
    assert (await runtime.status(stays)).state == cri.CONTAINER_RUNNING
    again, text = await runtime.run_in(pod, runtime.container_config("echo next; exit 5", name="next"))
    assert (again.exit_code, text) == (5, "next\n")


async def test_bad_requests_are_refused(runtime: Subject) -> None:
    """InvalidArgument or NotFound, and nothing is left of the attempt."""
    pod = await runtime.run_sandbox()
    missing = runtime.container_config()
    missing.image.image = "localhost/no-such-image:1"
    with pytest.raises(errors.NotFound):
        await runtime.create(pod, missing)
    if runtime.can("validation"):
        unknown_user = runtime.container_config()
        unknown_user.linux.security_context.run_as_username = "nobody-knows-me"
        with pytest.raises(errors.RuntimeFault):
            await runtime.create(pod, unknown_user)
    if runtime.can("validation") and runtime.can("relative host paths"):
        relative = runtime.container_config()
        relative.mounts.add(container_path="/x", host_path="relative")
        with pytest.raises(errors.RuntimeFault):
            await runtime.create(pod, relative)
    listed = await runtime.service.list_containers(cri.ListContainersRequest())
    assert list(listed.containers) == []
    with pytest.raises(errors.RuntimeFault):
        await runtime.service.run_pod_sandbox(
            cri.RunPodSandboxRequest(config=runtime.sandbox_config("other"), runtime_handler="no-such-handler")
        )


async def test_every_change_is_an_event(runtime: Subject) -> None:
    """Created, started, stopped, deleted, in this order, each as it happens, with the pod's state at that time."""
    if not runtime.service.capabilities.events:
        pytest.skip("the runtime has no events")
    events = runtime.service.events()
    kinds = cri.ContainerEventType
    other = await runtime.run_sandbox(runtime.sandbox_config("other"))

    async def next_event() -> cri.ContainerEventResponse:
        while (event := await anext(events)).pod_sandbox_status.id == other[0]:
            pass
        return event

    async with asyncio.timeout(20):  # an endpoint's are in force when the first is reported
        while (await anext(events)).pod_sandbox_status.id != other[0]:
            pass

    async def seen(subject_id: str, *names: str) -> cri.ContainerEventResponse:
        """The next events, which are those; the last of them."""
        async with asyncio.timeout(20):
            found = [await next_event() for _ in names]
        assert [(event.container_id, kinds.Name(event.container_event_type)) for event in found] == [
            (subject_id, f"CONTAINER_{name}_EVENT") for name in names
        ]
        return found[-1]

    pod = await runtime.run_sandbox()
    started = await seen(pod[0], "CREATED", "STARTED")
    assert (started.pod_sandbox_status.metadata, started.pod_sandbox_status.state) == (
        pod[1].metadata,
        cri.SANDBOX_READY,
    )
    container_id = await runtime.create(pod, runtime.container_config("sleep 0.3; exit 6"))
    assert (await seen(container_id, "CREATED")).pod_sandbox_status.id == pod[0]
    await runtime.start(container_id)
    if not runtime.can("processes"):  # what does not run does not end by itself
        await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id))
    stopped = await seen(container_id, "STARTED", "STOPPED")
    assert stopped.pod_sandbox_status.id == pod[0]
    assert [(status.id, status.exit_code) for status in stopped.containers_statuses] == [
        (container_id, 6 if runtime.can("processes") else 137)
    ]
    await runtime.service.remove_container(cri.RemoveContainerRequest(container_id=container_id))
    assert list((await seen(container_id, "DELETED")).containers_statuses) == []
    await runtime.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))
    assert (await seen(pod[0], "STOPPED")).pod_sandbox_status.state == cri.SANDBOX_NOTREADY
    await runtime.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod[0]))
    assert (await seen(pod[0], "DELETED")).pod_sandbox_status.metadata.uid == pod[1].metadata.uid


async def test_a_container_can_be_made_before_the_network_is_up(runtime: Subject) -> None:
    """With `early_sandbox` the id comes early, and everything works with it."""
    if not runtime.service.capabilities.early_sandbox:
        pytest.skip("the runtime tells a sandbox's id only when it is complete")
    early: list[str] = []
    config = runtime.sandbox_config()
    response = await runtime.service.run_pod_sandbox(
        cri.RunPodSandboxRequest(config=config, runtime_handler=runtime.handler), on_created=early.append
    )
    assert early == [response.pod_sandbox_id]


async def test_version_status_and_configuration(runtime: Subject) -> None:
    """The runtime names itself, is ready, lists its handler, and says how it drives cgroups."""
    version = await runtime.service.version(cri.VersionRequest())
    assert version.runtime_name
    assert version.runtime_version
    assert version.runtime_api_version == "v1"
    status = await runtime.service.status(cri.StatusRequest())
    conditions = {condition.type: condition.status for condition in status.status.conditions}
    assert conditions == {"RuntimeReady": True, "NetworkReady": True}
    if not runtime.can("runtime configuration"):
        with pytest.raises(errors.NotSupported):
            await runtime.service.runtime_config(cri.RuntimeConfigRequest())
        return
    configuration = await runtime.service.runtime_config(cri.RuntimeConfigRequest())
    assert configuration.linux.cgroup_driver in (cri.CGROUPFS, cri.SYSTEMD)
