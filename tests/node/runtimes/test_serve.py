"""The engine on a socket: `nodeagent runtime serve` as a process, with the stubs of any CRI client at the other end."""

import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import socket
import stat
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from components import require
from served_runtime import Client, Served, served_place

from proto import cri_pb2 as cri
from runtimes.testing import images

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.xdist_group("serve"),
]

IMAGE = "localhost/conformance:1"


@pytest.fixture(scope="module")
def place(image_archive: Path) -> Iterator[Served]:
    """One server for the tests of this file, with runc and crun."""
    with served_place() as made:
        made.import_image(image_archive)
        made.start()
        yield made


@pytest.fixture
async def client(place: Served) -> AsyncIterator[Client]:
    """Stubs; whatever pods a test makes are removed."""
    async with place.client() as made:
        yield made
        for pod in (await made.runtime.ListPodSandbox(cri.ListPodSandboxRequest())).items:
            await made.runtime.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod.id))


async def run_pod(client: Client, place: Served, name: str, handler: str = "") -> tuple[str, cri.PodSandboxConfig]:
    config = place.pod(name)
    answer = await client.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=config, runtime_handler=handler))
    return answer.pod_sandbox_id, config


async def launch(client: Client, pod: tuple[str, cri.PodSandboxConfig], script: str) -> str:
    return await create(client, pod, container(script))


def container(script: str) -> cri.ContainerConfig:
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name="main"),
        image=cri.ImageSpec(image=IMAGE),
        command=["/bin/sh", "-c", script],
        log_path="main.log",
    )


async def create(client: Client, pod: tuple[str, cri.PodSandboxConfig], config: cri.ContainerConfig) -> str:
    """Create and start."""
    request = cri.CreateContainerRequest(pod_sandbox_id=pod[0], config=config, sandbox_config=pod[1])
    container_id: str = (await client.runtime.CreateContainer(request)).container_id
    await client.runtime.StartContainer(cri.StartContainerRequest(container_id=container_id))
    return container_id


async def state_of(client: Client, container_id: str) -> Any:
    answer = await client.runtime.ContainerStatus(cri.ContainerStatusRequest(container_id=container_id))
    return answer.status


async def has_exited(client: Client, container_id: str) -> bool:
    return bool((await state_of(client, container_id)).state == cri.CONTAINER_EXITED)


async def succeeds(client: Client, request: cri.ExecSyncRequest) -> bool:
    return bool((await client.runtime.ExecSync(request)).exit_code == 0)


def runs(arguments: bytes) -> bool:
    """Some process on this machine has been started with them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if arguments in path.read_bytes():
                return True
    return False


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 60
    for _ in iter(lambda: time.monotonic() < deadline, False):
        if await happened():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("did not happen in time")


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def test_a_pods_life(client: Client, place: Served) -> None:
    """Run, create, start, exec by URL, log, stop, remove; every step is an event; the sandbox has its address."""
    events = client.runtime.GetContainerEvents(cri.GetEventsRequest())
    await events.initial_metadata()
    pod = await run_pod(client, place, "life", "crun")
    status = (await client.runtime.PodSandboxStatus(cri.PodSandboxStatusRequest(pod_sandbox_id=pod[0]))).status
    assert (status.state, status.runtime_handler) == (cri.SANDBOX_READY, "crun")
    assert ipaddress.ip_address(status.network.ip) in ipaddress.ip_network(place.subnet)
    container_id = await launch(client, pod, "echo said; trap 'exit 3' TERM; while :; do sleep 0.1; done")
    done = await client.runtime.ExecSync(cri.ExecSyncRequest(container_id=container_id, cmd=["cat", "/etc/hostname"]))
    assert (done.stdout, done.exit_code) == (b"life\n", 0)
    streams, url = await client.exec(container_id, "sh", "-c", "cat; echo err >&2; exit 4", stdin=b"through")
    assert (streams[1], streams[2]) == (b"through", b"err\n")
    assert json.loads(streams[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "4"}]
    assert url.startswith("http://127.0.0.1:")
    await client.runtime.StopContainer(cri.StopContainerRequest(container_id=container_id, timeout=20))
    ended = await state_of(client, container_id)
    assert (ended.state, ended.exit_code, ended.reason) == (cri.CONTAINER_EXITED, 3, "Error")
    line = Path(ended.log_path).read_text().splitlines()[0]
    assert line.split(" ", 3)[1:] == ["stdout", "F", "said"]
    for _ in range(2):  # as often as one likes
        await client.runtime.RemoveContainer(cri.RemoveContainerRequest(container_id=container_id))
        await client.runtime.StopPodSandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))
        await client.runtime.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod[0]))
    found = [await events.read() for _ in range(8)]
    kinds = ["CREATED", "STARTED", "STOPPED", "DELETED"]
    assert [(event.container_id, kinds[event.container_event_type]) for event in found] == [
        (pod[0], "CREATED"),
        (pod[0], "STARTED"),
        (container_id, "CREATED"),
        (container_id, "STARTED"),
        (container_id, "STOPPED"),
        (container_id, "DELETED"),
        (pod[0], "STOPPED"),
        (pod[0], "DELETED"),
    ]
    assert [(status.id, status.exit_code) for status in found[4].containers_statuses] == [(container_id, 3)]
    events.cancel()


async def test_runtimes_side_by_side(client: Client, place: Served) -> None:
    """The handler chooses; lists, statistics and metrics have all of them; ids, and beginnings of ids, find their way."""
    pods = {handler: await run_pod(client, place, f"in-{handler}", handler) for handler in ("runc", "crun")}
    default = await run_pod(client, place, "in-default")
    ids = {handler: await launch(client, pod, "sleep 1000") for handler, pod in pods.items()}
    listed = (await client.runtime.ListPodSandbox(cri.ListPodSandboxRequest())).items
    assert {item.id: item.runtime_handler for item in listed} == {
        pods["runc"][0]: "runc",
        pods["crun"][0]: "crun",
        default[0]: "runc",
    }
    for handler, container_id in ids.items():
        short = container_id[:13]
        assert (await state_of(client, short)).id == container_id
        wanted = cri.ListContainersRequest(filter=cri.ContainerFilter(pod_sandbox_id=pods[handler][0]))
        assert [item.id for item in (await client.runtime.ListContainers(wanted)).containers] == [container_id]
        stats = (await client.runtime.ContainerStats(cri.ContainerStatsRequest(container_id=short))).stats
        assert (stats.attributes.id, stats.memory.working_set_bytes.value > 0) == (container_id, True)
        streams, _ = await client.exec(short, "hostname")
        assert streams[1] == f"in-{handler}\n".encode()
    stream = client.runtime.StreamContainers(cri.StreamContainersRequest())
    assert {item.id for message in [found async for found in stream] for item in message.containers} == {*ids.values()}
    metrics = (await client.runtime.ListPodSandboxMetrics(cri.ListPodSandboxMetricsRequest())).pod_metrics
    assert {entry.pod_sandbox_id for entry in metrics} == {default[0], *(pod[0] for pod in pods.values())}
    described = (await client.runtime.ListMetricDescriptors(cri.ListMetricDescriptorsRequest())).descriptors
    keys = {entry.name: len(entry.label_keys) for entry in described}
    rows = [row for entry in metrics for row in (entry, *entry.container_metrics)]
    assert all(len(item.label_values) == keys[item.name] for row in rows for item in row.metrics)
    measured = {"container_cpu_usage_seconds_total", "container_memory_rss", "container_processes"}
    assert all(measured <= {item.name for item in row.metrics} for entry in metrics for row in entry.container_metrics)
    pieces = client.runtime.StreamPodSandboxMetrics(cri.StreamPodSandboxMetricsRequest())
    streamed = [
        entry.pod_sandbox_id for piece in [found async for found in pieces] for entry in piece.pod_sandbox_metrics
    ]
    assert sorted(streamed) == sorted(entry.pod_sandbox_id for entry in metrics)
    code, text = await refused(
        client.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=place.pod("x"), runtime_handler="kata"))
    )
    assert (code, "kata" in text, "crun, runc" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True, True)


async def test_what_the_runtime_says_of_itself(client: Client) -> None:
    """Version, conditions, every handler with its features and the default under the empty name, the cgroup driver; a runtime
    whose program is missing is told as not started."""
    version = await client.runtime.Version(cri.VersionRequest(version="0.1.0"))
    assert (version.runtime_name, version.runtime_api_version) == ("nodeagent", "v1")
    status = await client.runtime.Status(cri.StatusRequest(verbose=True))
    assert {item.type: item.status for item in status.status.conditions} == {"RuntimeReady": True, "NetworkReady": True}
    assert [handler.name for handler in status.runtime_handlers] == ["runc", "", "crun"]
    assert status.runtime_handlers[0].features == status.runtime_handlers[1].features
    told = json.loads(status.info["handlers"])
    assert (set(told), told["absent"]) == ({"runc", "crun", "absent"}, "not started")
    driver = (await client.runtime.RuntimeConfig(cri.RuntimeConfigRequest())).linux.cgroup_driver
    assert driver == cri.CGROUPFS
    network = cri.RuntimeConfig(network_config=cri.NetworkConfig(pod_cidr="10.1.0.0/16"))
    await client.runtime.UpdateRuntimeConfig(cri.UpdateRuntimeConfigRequest(runtime_config=network))


async def test_errors_have_their_codes(client: Client, place: Served) -> None:
    """NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT, UNIMPLEMENTED and DEADLINE_EXCEEDED, as a kubelet expects them."""
    nobody = "0" * 64
    code, text = await refused(client.runtime.ContainerStatus(cri.ContainerStatusRequest(container_id=nobody)))
    assert (code, nobody in text) == (grpc.StatusCode.NOT_FOUND, True)
    await client.runtime.StopContainer(cri.StopContainerRequest(container_id=nobody))
    pod = await run_pod(client, place, "codes")
    ended = await launch(client, pod, "exit 0")
    await until(lambda: has_exited(client, ended))
    calls = client.runtime
    for wanted, call in (
        (grpc.StatusCode.FAILED_PRECONDITION, calls.Exec(cri.ExecRequest(container_id=ended, cmd=["ls"], stdout=True))),
        (grpc.StatusCode.INVALID_ARGUMENT, calls.Exec(cri.ExecRequest(container_id=ended, cmd=["ls"]))),
        (grpc.StatusCode.UNIMPLEMENTED, calls.CheckpointContainer(cri.CheckpointContainerRequest(container_id=ended))),
        (grpc.StatusCode.UNAVAILABLE, calls.RunPodSandbox(cri.RunPodSandboxRequest(runtime_handler="absent"))),
        (grpc.StatusCode.NOT_FOUND, calls.PortForward(cri.PortForwardRequest(pod_sandbox_id=nobody))),
    ):
        assert (await refused(call))[0] is wanted
    other = await run_pod(client, place, "sleeper")
    sleeper = await launch(client, other, "sleep 1000")
    slow = cri.ExecSyncRequest(container_id=sleeper, cmd=["sleep", "100"], timeout=1)
    assert (await refused(calls.ExecSync(slow)))[0] is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_containers_outlive_the_server(client: Client, place: Served, how: signal.Signals) -> None:
    """Stopped or killed, the next server has the same container, running; the dead one's socket is no obstacle."""
    pod = await run_pod(client, place, "stays")
    container_id = await launch(client, pod, "sleep 1000")
    before = await state_of(client, container_id)
    code = place.end(how)
    assert (code, place.socket.exists()) == ((0, False) if how is signal.SIGTERM else (-signal.SIGKILL, True))
    place.start()
    async with place.client() as after:
        assert await state_of(after, container_id) == before
        streams, _ = await after.exec(container_id, "hostname")
        assert streams[1] == b"stays\n"


async def test_stopping_ends_what_is_open(client: Client, place: Served) -> None:
    """An event stream ends with UNAVAILABLE and an exec's connection closes: SIGTERM waits for nobody's client."""
    pod = await run_pod(client, place, "open")
    container_id = await launch(client, pod, "sleep 1000")
    events = client.runtime.GetContainerEvents(cri.GetEventsRequest())
    await events.initial_metadata()
    running = asyncio.create_task(client.exec(container_id, "sleep", "1007"))
    await until(lambda: asyncio.to_thread(runs, b"sleep\x001007\0"))
    assert await asyncio.to_thread(place.end) == 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await asyncio.wait_for(running, 30)
    place.start()


async def test_attach_and_ports_by_url(client: Client, place: Served) -> None:
    """Attach shows what a container writes from now on and takes its input; a port of the pod is reached from the host."""
    pod = await run_pod(client, place, "wires")
    config = container("while read line; do echo got $line; done")
    config.stdin = True
    attached = await create(client, pod, config)
    request = cri.AttachRequest(container_id=attached, stdin=True, stdout=True, stderr=True)
    async with aiohttp.ClientSession() as http:
        url = (await client.runtime.Attach(request)).url
        async with http.ws_connect(url, protocols=["v4.channel.k8s.io"]) as socket:
            await socket.send_bytes(b"\0hello\n")
            found = b""
            while not found.endswith(b"\n"):
                found += (await socket.receive(timeout=60)).data[1:]
            assert found == b"got hello\n"
        server = container("while :; do echo through | nc -l -p 8099; done")
        server.metadata.name = "server"
        serving = await create(client, pod, server)
        listens = cri.ExecSyncRequest(container_id=serving, cmd=["sh", "-c", "netstat -ltn | grep -q :8099"])
        await until(lambda: succeeds(client, listens))
        url = (await client.runtime.PortForward(cri.PortForwardRequest(pod_sandbox_id=pod[0], port=[8099]))).url
        async with http.ws_connect(url, protocols=["v4.channel.k8s.io"]) as socket:
            messages = [(await socket.receive(timeout=60)).data for _ in range(3)]
    assert messages == [b"\0\xa3\x1f", b"\1\xa3\x1f", b"\0through\n"]


async def test_the_least_that_a_client_can_say(client: Client) -> None:
    """crictl's short files: a pod with a name only, a container with an image and a command only."""
    pod = cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name="least", uid="least-1", namespace="default"))
    sandbox_id = (await client.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=pod))).pod_sandbox_id
    config = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name="least"), image=cri.ImageSpec(image=IMAGE), command=["sleep", "1000"]
    )
    container_id = await create(client, (sandbox_id, pod), config)
    done = await client.runtime.ExecSync(cri.ExecSyncRequest(container_id=container_id, cmd=["id", "-u"]))
    assert (done.stdout, done.exit_code) == (b"0\n", 0)
    details = await client.runtime.ContainerStatus(
        cri.ContainerStatusRequest(container_id=container_id[:10], verbose=True)
    )
    assert json.loads(details.info["info"])["id"] == container_id


async def test_urls_are_for_one_use(client: Client, place: Served) -> None:
    """A URL that was used, or is made up, is 404."""
    pod = await run_pod(client, place, "urls")
    container_id = await launch(client, pod, "sleep 1000")
    _, url = await client.exec(container_id, "true")
    async with aiohttp.ClientSession() as http:
        for tried in (url, url[:-3] + "abc"):
            async with http.post(tried) as answer:
                assert answer.status == 404


async def test_images(client: Client, registry: str) -> None:
    """Pull from a registry, by tag; list and status show it under its names; removed, it is gone; absence is no error."""
    name = f"{registry}/served:1"
    spec = cri.ImageSpec(image=name)
    pulled = (await client.images.PullImage(cri.PullImageRequest(image=spec))).image_ref
    status = (await client.images.ImageStatus(cri.ImageStatusRequest(image=spec))).image
    assert (status.id, list(status.repo_tags).count(name)) == (pulled, 1)
    by_stream = client.images.StreamImages(cri.StreamImagesRequest())
    streamed = [image.id for message in [found async for found in by_stream] for image in message.images]
    listed = [image.id for image in (await client.images.ListImages(cri.ListImagesRequest())).images]
    assert streamed == listed and pulled in listed
    usage = (await client.images.ImageFsInfo(cri.ImageFsInfoRequest())).image_filesystems
    assert usage[0].used_bytes.value > 0
    code, _ = await refused(
        client.images.PullImage(cri.PullImageRequest(image=cri.ImageSpec(image=f"{registry}/no:9")))
    )
    assert code is grpc.StatusCode.NOT_FOUND
    for _ in range(2):
        await client.images.RemoveImage(cri.RemoveImageRequest(image=spec))
    assert not (await client.images.ImageStatus(cri.ImageStatusRequest(image=spec))).HasField("image")


@pytest.fixture
def registry(place: Served, tmp_path: Path) -> Iterator[str]:
    """A registry that holds `served:1`, an image of its own."""
    require("docker-registry")
    archive = tmp_path / "served.tar"
    images.build(archive, tag="localhost/served:1", files={"etc/served": "yes\n"})
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(tmp_path / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with tarfile.open(archive) as tar:
            kind = "docker-archive" if "manifest.json" in tar.getnames() else "oci-archive"
        push = ["skopeo", "copy", "--dest-tls-verify=false", f"{kind}:{archive}", f"docker://127.0.0.1:{port}/served:1"]
        deadline = time.monotonic() + 30
        while subprocess.run(push, capture_output=True, timeout=60).returncode:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_a_runtime_with_sandboxes_must_start(place: Served) -> None:
    """A server that could not list what is there does not start: its client would take those sandboxes for gone."""
    (place.directory / "third" / "runtimes" / "absent" / "sandboxes" / "s").mkdir(parents=True)
    options = [f"--state-dir={place.directory / 'third'}", f"--run-dir={place.directory / 'third-run'}"]
    command = place.command(*options, f"--listen={place.endpoint}3")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "runtime absent cannot be used, and has sandboxes here: mend it, or leave it out" in done.stderr


def test_the_socket_is_roots_and_one_servers(place: Served) -> None:
    """Mode 0600; a second server on the socket is refused and told whose it is; on the state, what to do instead."""
    status = place.socket.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, stat.S_ISSOCK(status.st_mode)) == (0o600, 0, True)
    assert place.process is not None
    other = [f"--state-dir={place.directory / 'other'}", f"--run-dir={place.directory / 'other-run'}"]
    second = subprocess.run(place.command(*other), capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"{place.socket} is served by process {place.process.pid} already" in second.stderr
    third = subprocess.run(
        place.command(f"--listen={place.endpoint}2"), capture_output=True, text=True, timeout=60, check=False
    )
    assert third.returncode == 1
    assert "is in use by another agent. A running agent serves its own sandboxes: add " in third.stderr
    assert f"`criServer: {{listen: {place.endpoint}2}}`" in third.stderr
    assert place.socket.stat().st_ino == status.st_ino
