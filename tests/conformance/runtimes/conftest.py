"""One suite for every implementation of the runtime contract. A test sees the contract and CRI messages, nothing else.

`runtime` is parametrised over the implementations; to add one, write a factory (an async context manager that yields a
`Subject`) and name it in FACTORIES. What an implementation cannot do is said once, in EXCEPTIONS, with the reason.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest
from containerd_under_test import Containerd, bridge_network, containerd
from subnets import claim_subnet
from url_streaming import URLStreaming

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import ImageService, LocalStreaming, NetworkProvider, RuntimeService
from runtimes.cri.factory import cri_runtime
from runtimes.oci.config import OCIRuntimeConfig
from runtimes.oci.engine import OCIRuntime
from runtimes.oci.images.store import DiskImageStore
from runtimes.oci.network import CNINetwork, CNISettings

T = TypeVar("T")

IMAGE = "localhost/conformance:1"
DEADLINE_SECONDS = 30.0

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/www:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nweb:x:1001:\nstaff:x:2000:web\naudit:x:2001:web,other\nnogroup:x:65534:\n",
}
MASKED_PATHS = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

# (implementation, what a test asks for) -> why not
EXCEPTIONS = {
    **{
        (name, "privileged by the sandbox"): "the engine's sandboxes are no processes that could be privileged or not"
        for name in ("crun", "runc", "runsc")
    },
    (
        "runsc",
        "container limits",
    ): "one gVisor sandbox holds all containers of a pod: only the pod's limit is the kernel's",
    ("runsc", "statistics of one container"): "the processes of all containers are the sandbox's",
    (
        "runsc",
        "orphans of execs",
    ): "the sandbox tells parents of processes only, and an orphan's is the container's first",
    ("runsc", "host files in proc"): "gVisor has a /proc of its own, without these files",
    ("runsc", "mount propagation"): "mounts made on the host later are not seen by the sandbox's file server",
    ("runsc", "host namespaces"): "a sandbox has its own kernel: the host's PID and IPC namespaces cannot be shared",
    ("runsc", "target pid"): "runsc takes no path of a PID namespace to join",
    ("runsc", "seccomp in proc"): "the profile is the sandbox's own; the guest kernel reports none",
    (
        "runsc",
        "start error",
    ): "runsc checks neither the program nor its mounts before `start`, and words errors its own way",
    ("runsc", "sysctls"): "gVisor keeps its own values of kernel settings",
    ("runsc", "devices"): "gVisor shows only devices that it implements itself",
    ("runsc", "recursive read-only"): "runsc has no rro mount option",
    ("runsc", "no_new_privs in proc"): "the guest kernel always behaves as if it were set and reports nothing",
    # containerd 1.6 was made for the CRI of Kubernetes 1.23: fields and verbs that came later are unknown to it
    (
        "containerd",
        "error codes",
    ): "1.6 answers UNKNOWN, or whatever lies below, for a wrong state, a taken name and a bad argument",
    (
        "containerd",
        "joining repeated requests",
    ): "a name is reserved as long as it is being made: the second is refused",
    ("containerd", "stop signals in the configuration"): "ContainerConfig.stop_signal came with CRI of 1.33",
    ("containerd", "relative host paths"): "1.6 makes them, below its own working directory",
    ("containerd", "runtime configuration"): "the RuntimeConfig verb came with containerd 2.0",
    ("containerd", "recursive read-only"): "came with containerd 2.0; refused by runtimes/cri",
    ("containerd", "image volumes"): "came with containerd 2.1; it refuses them, in words of its own",
    (
        "containerd",
        "declared volumes of any kind",
    ): "it copies folders only, and images are imported by the engine's store here",
    ("containerd", "user namespaces"): "came with containerd 1.7; refused by runtimes/cri",
    ("containerd", "group policies"): "came with containerd 2.0; Strict is refused by runtimes/cri",
    ("containerd", "users in the status"): "ContainerStatus.user came with containerd 2.0",
    (
        "containerd",
        "capabilities with a prefix",
    ): "1.6 puts CAP_ before every name, and leaves out what it does not know",
    ("containerd", "ambient capabilities"): "came with containerd 1.7",
    ("containerd", "AppArmor's default without AppArmor"): "1.6 refuses every profile on a host that has none",
    (
        "containerd",
        "a writable /sys",
    ): "the pause container mounts the pod's sysfs read-only, and the kernel has one of it a network namespace",
    ("containerd", "no update after the end"): "1.6 notes the new limits of a container that has ended",
    ("containerd", "figures of the running only"): "1.6 lists created containers among the others, without figures",
    ("containerd", "metrics"): "came with containerd 2.2; runtimes/serve makes them from the statistics",
    ("containerd", "list one image"): "ListImages answers all there are, whatever the filter, up to this day",
    ("containerd", "execs end with their children"): "1.6 waits for everyone who holds the command's output open",
    ("containerd", "execs end with their client"): "1.6 leaves the command running when its client goes away",
}


@dataclass(kw_only=True)
class Subject:
    """One implementation, started: what the tests talk to. `directory` is the test's own folder on the host."""

    name: str
    handler: str
    service: RuntimeService
    images: ImageService
    streaming: LocalStreaming | None
    cgroup_parent: str
    directory: Path
    image_ref: str = ""
    pods: list[str] = field(default_factory=list)

    def needs(self, ability: str) -> None:
        """Skip the test, with the reason, where the implementation is known not to have the ability."""
        if reason := EXCEPTIONS.get((self.name, ability)):
            pytest.skip(f"{self.name}: {reason}")

    def can(self, ability: str) -> bool:
        """For a test that has more to say: whether the implementation has the ability."""
        return (self.name, ability) not in EXCEPTIONS

    def refusal(self, kind: type[errors.RuntimeFault], match: str | None = None) -> Any:
        """Expects an error of that class; of any, where the implementation's codes do not tell them apart."""
        return pytest.raises(kind if self.can("error codes") else errors.RuntimeFault, match=match)

    # sandboxes

    def sandbox_config(self, name: str = "pod", **fields: object) -> cri.PodSandboxConfig:
        uid = secrets.token_hex(8)
        logs = self.directory / "logs" / f"{name}-{uid}"
        logs.mkdir(parents=True)
        config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=uid, namespace="default"),
            hostname=name,
            log_directory=str(logs),
            dns_config=cri.DNSConfig(servers=["10.0.0.10"], searches=["a.example", "b.example"], options=["ndots:5"]),
            labels={"app": name},
            annotations={"note": "kept"},
        )
        config.linux.cgroup_parent = f"{self.cgroup_parent}/pod{uid}"
        config.linux.security_context.namespace_options.pid = cri.CONTAINER
        config.linux.security_context.seccomp.profile_type = cri.SecurityProfile.RuntimeDefault
        for key, value in fields.items():
            getattr(config, key).CopyFrom(value) if hasattr(value, "CopyFrom") else setattr(config, key, value)
        return config

    async def run_sandbox(self, config: cri.PodSandboxConfig | None = None) -> tuple[str, cri.PodSandboxConfig]:
        config = config or self.sandbox_config()
        response = await self.service.run_pod_sandbox(
            cri.RunPodSandboxRequest(config=config, runtime_handler=self.handler)
        )
        self.pods.append(response.pod_sandbox_id)
        return response.pod_sandbox_id, config

    # containers

    def container_config(self, *args: str, name: str = "main") -> cri.ContainerConfig:
        config = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name),
            image=cri.ImageSpec(image=self.image_ref, user_specified_image=IMAGE),
            command=["/bin/sh", "-c"],
            args=[" ".join(args) or "sleep 1000"],
            labels={"part": name},
            annotations={"hash": "1"},
            log_path=f"{name}.log",
        )
        security = config.linux.security_context
        security.namespace_options.pid = cri.CONTAINER
        security.masked_paths.extend(MASKED_PATHS)
        security.readonly_paths.extend(READONLY_PATHS)
        return config

    async def create(self, pod: tuple[str, cri.PodSandboxConfig], config: cri.ContainerConfig) -> str:
        response = await self.service.create_container(
            cri.CreateContainerRequest(pod_sandbox_id=pod[0], config=config, sandbox_config=pod[1])
        )
        return response.container_id

    async def start(self, container_id: str) -> None:
        await self.service.start_container(cri.StartContainerRequest(container_id=container_id))

    async def launch(self, pod: tuple[str, cri.PodSandboxConfig], config: cri.ContainerConfig) -> str:
        container_id = await self.create(pod, config)
        await self.start(container_id)
        return container_id

    async def status(self, container_id: str) -> cri.ContainerStatus:
        return (await self.service.container_status(cri.ContainerStatusRequest(container_id=container_id))).status

    async def exited(self, container_id: str) -> cri.ContainerStatus:
        """The status once the container has ended."""

        async def ended() -> cri.ContainerStatus | None:
            status = await self.status(container_id)
            return status if status.state == cri.CONTAINER_EXITED else None

        return await until(ended)

    @staticmethod
    async def eventually(probe: Callable[[], Awaitable[T | None]]) -> T:
        return await until(probe)

    @staticmethod
    async def until(happened: Callable[[], bool]) -> None:
        async def probe() -> bool | None:
            return happened() or None

        await until(probe)

    async def run(self, *args: str) -> tuple[cri.ContainerStatus, str]:
        """Run a shell script in a container of a pod of its own; its final status and its output."""
        pod = await self.run_sandbox()
        return await self.run_in(pod, self.container_config(*args))

    async def run_in(
        self, pod: tuple[str, cri.PodSandboxConfig], config: cri.ContainerConfig
    ) -> tuple[cri.ContainerStatus, str]:
        status = await self.exited(await self.launch(pod, config))
        return status, log_text(Path(status.log_path))

    async def exec(self, container_id: str, *cmd: str, timeout: int = 0) -> cri.ExecSyncResponse:
        return await self.service.exec_sync(
            cri.ExecSyncRequest(container_id=container_id, cmd=list(cmd), timeout=timeout)
        )

    async def sh(self, container_id: str, script: str) -> str:
        """The output of a script in a running container, which must succeed."""
        response = await self.exec(container_id, "/bin/sh", "-c", script)
        assert response.exit_code == 0, response
        return response.stdout.decode()


def log_text(path: Path, stream: str | None = None) -> str:
    """The text of a CRI log: lines "<time> <stream> <P or F> <text>"."""
    found = ""
    for line in path.read_text().splitlines():
        _, name, tag, text = line.split(" ", 3)
        if stream in (None, name):
            found += text + ("\n" if tag == "F" else "")
    return found


async def until(probe: Callable[[], Awaitable[T | None]]) -> T:
    """What `probe` answers once it is not None."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := await probe()) is None:
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def demo_image() -> ModuleType:
    """hack/demo-image as a module."""
    module = ModuleType("demo_image")
    SourceFileLoader("demo_image", str(Path(__file__).parents[3] / "hack" / "demo-image")).exec_module(module)
    return module


@pytest.fixture(scope="session")
def image_archive(demo_image: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A docker or OCI archive of the image that all tests use: busybox with users and groups of its own."""
    path = tmp_path_factory.mktemp("image") / "image.tar"
    demo_image.build(path, tag=IMAGE, files=FILES, config={"Env": ["PATH=/bin:/usr/bin", "FROM_IMAGE=yes"]})
    return path


@pytest.fixture(scope="session")
def image_store(image_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine's image store, on disk, with that image in it."""
    root = tmp_path_factory.mktemp("store")

    async def fill() -> None:
        store = DiskImageStore(root)
        await store.start()
        await store.import_archive(image_archive)
        await store.stop()

    asyncio.run(fill())
    return root


@contextlib.asynccontextmanager
async def oci_subject(
    name: str, directory: Path, image_store: Path, network: NetworkProvider | None = None
) -> AsyncIterator[Subject]:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    if name == "crun":
        mount_hugetlb()
    store = DiskImageStore(image_store)
    await store.start()
    args = ("--platform=ptrace", "--network=host", "--net-raw") if name == "runsc" else ()
    config = OCIRuntimeConfig(
        name=name, path=path, global_args=args, state_dir=directory / "state", run_dir=directory / "run"
    )
    engine = OCIRuntime(config=config, images=store, network=network)
    await engine.start()
    subject = Subject(
        name=name,
        handler=name,
        service=engine,
        images=store,
        streaming=engine,
        cgroup_parent=f"/natest-{secrets.token_hex(4)}",
        directory=directory,
        image_ref=IMAGE,
    )
    try:
        yield subject
    finally:
        pods = await engine.list_pod_sandbox(cri.ListPodSandboxRequest())
        for pod in pods.items:
            await engine.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod.id))
        await engine.stop()
        await store.stop()


@contextlib.asynccontextmanager
async def containerd_subject(daemon: Containerd, directory: Path) -> AsyncIterator[Subject]:
    """A socket's runtime. The daemon outlives the test; what the test made in it does not."""
    made = cri_runtime("containerd", {"endpoint": daemon.endpoint, "handler": "runc"})
    await made.lifecycle.start()
    subject = Subject(
        name="containerd",
        handler="runc",
        service=made.service,
        images=made.images,
        streaming=URLStreaming(made.service),
        cgroup_parent=f"/natest-{secrets.token_hex(4)}",
        directory=directory,
        image_ref=IMAGE,
    )
    try:
        yield subject
    finally:
        pods = await made.service.list_pod_sandbox(cri.ListPodSandboxRequest())
        for pod in pods.items:
            await made.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod.id))
            await made.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod.id))
        await made.lifecycle.stop()
        remove_cgroups(subject.cgroup_parent)


OCI_RUNTIMES = ("crun", "runc", "runsc")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the test's own that users other than root may pass, as they may pass /var/lib: pods have such users."""
    path = Path(tempfile.mkdtemp(prefix="natest-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def containerd_daemon(image_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """One daemon for all tests of a worker, with the suite's image; its bridge and subnet are its own."""
    if shutil.which("containerd") is None:
        pytest.skip("containerd is not installed")
    with containerd(tmp_path_factory.mktemp("c"), image_archive) as daemon:
        yield daemon


def _subject(
    request: pytest.FixtureRequest, folder: Path, image_store: Path, network: NetworkProvider | None = None
) -> contextlib.AbstractAsyncContextManager[Subject]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if request.param == "containerd":
        return containerd_subject(request.getfixturevalue("containerd_daemon"), folder)
    return oci_subject(request.param, folder, image_store, network)


@pytest.fixture(params=[*OCI_RUNTIMES, "containerd"])
async def runtime(request: pytest.FixtureRequest, folder: Path, image_store: Path) -> AsyncIterator[Subject]:
    """One started implementation after the other; afterwards nothing of the test may be left on the host."""
    async with _subject(request, folder, image_store) as subject:
        yield subject
    assert leaks(folder, subject.cgroup_parent) == []


@pytest.fixture(params=[*OCI_RUNTIMES, "containerd"])
async def networked(request: pytest.FixtureRequest, folder: Path, image_store: Path) -> AsyncIterator[Subject]:
    """As `runtime`, with pods on a bridge that can be reached from the host; containerd's always are."""
    bridge = f"natc{secrets.token_hex(4)}"
    settings = CNISettings(conf_dir=folder / "net.d", bin_dirs=(Path("/usr/lib/cni"),), cache_dir=folder / "cni")
    settings.conf_dir.mkdir()
    (settings.conf_dir / "10-test.conflist").write_text(bridge_network(bridge, claim_subnet(), folder / "ipam"))
    try:
        async with _subject(request, folder, image_store, CNINetwork(settings)) as subject:
            yield subject
    finally:
        await asyncio.to_thread(subprocess.run, ["ip", "link", "del", bridge], capture_output=True, check=False)
    assert leaks(folder, subject.cgroup_parent) == []


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry on this machine, plain HTTP, as every runtime takes it from a loopback address."""

    host: str
    folder: Path
    build: Callable[..., str]

    def push(self, name: str, **config: Any) -> tuple[str, str, str]:
        """Build an image with that configuration and push it: (reference, image id, manifest digest)."""
        archive, digest = self.folder / f"{secrets.token_hex(4)}.tar", self.folder / f"{secrets.token_hex(4)}.digest"
        image_id = self.build(archive, tag="localhost/pushed:1", files=FILES, config=config)
        reference = f"{self.host}/{name}"
        argv = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"--digestfile={digest}"]
        subprocess.run([*argv, f"oci-archive:{archive}", f"docker://{reference}"], check=True, timeout=60)
        archive.unlink()
        return reference, image_id, digest.read_text().strip()


@pytest.fixture(scope="session")
def registry(demo_image: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """docker-registry, one for all tests of a worker."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    argv = ["docker-registry", "serve", str(folder / "config.yml")]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not _listens(host):
            assert process.poll() is None and time.monotonic() < deadline, "docker-registry does not listen"
            time.sleep(0.05)
        yield Registry(host=host, folder=folder, build=demo_image.build)
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)


def _listens(host: str) -> bool:
    address, _, port = host.partition(":")
    with contextlib.suppress(OSError), socket.create_connection((address, int(port)), timeout=1):
        return True
    return False


def leaks(directory: Path, cgroup_parent: str) -> list[str]:
    """Mounts, processes and cgroups that name the test's own folder or cgroup."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                if str(directory) in argv:
                    found.append(f"process {entry.name}: {argv}")
    for root in Path("/sys/fs/cgroup").iterdir():
        found += [
            str(path)
            for path in (root / cgroup_parent.lstrip("/"), root)
            if path.name == cgroup_parent[1:] and path.exists()
        ]
    return found


def remove_cgroups(parent: str) -> None:
    """The pods' cgroups, which are the agent's to remove, not a CRI runtime's."""
    for root in Path("/sys/fs/cgroup").iterdir():
        for path, _, _ in os.walk(root / parent.lstrip("/"), topdown=False):
            Path(path).rmdir()


def mount_hugetlb() -> None:
    """crun wants no controller left to the v2 hierarchy on a host that is hybrid otherwise."""
    unified = Path("/sys/fs/cgroup/unified/cgroup.controllers")
    target = Path("/sys/fs/cgroup/hugetlb")
    if unified.exists() and not target.is_mount():
        target.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", str(target)], check=False)
