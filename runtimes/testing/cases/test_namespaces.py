"""What the containers of a pod share with each other and with the host."""

import os
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.testing.subject import Pod, Subject

pytestmark = pytest.mark.asyncio


def host_ns(kind: str) -> str:
    return str(Path(f"/proc/self/ns/{kind}").readlink())


def argv_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").replace("\0", " ")
    except OSError:
        return ""


async def pod_with(runtime: Subject, **modes: cri.NamespaceMode) -> Pod:
    config = runtime.sandbox_config(**({"hostname": ""} if modes.get("network") == cri.NODE else {}))
    for name, mode in modes.items():
        setattr(config.linux.security_context.namespace_options, name, mode)
    return await runtime.run_sandbox(config)


def container_with(
    runtime: Subject, *script: str, name: str = "main", **modes: cri.NamespaceMode
) -> cri.ContainerConfig:
    config = runtime.container_config(*script, name=name)
    for key, mode in modes.items():
        setattr(config.linux.security_context.namespace_options, key, mode)
    return config


async def test_namespaces_of_a_pod(runtime: Subject) -> None:
    """Network, IPC and UTS are the pod's, shared by its containers; PID and mount are each container's own."""
    runtime.needs("host namespaces")
    pod = await runtime.run_sandbox()
    found = []
    for name in ("a", "b"):
        container_id = await runtime.launch(pod, runtime.container_config(name=name))
        found.append(
            (await runtime.sh(container_id, "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done")).split()
        )
    first, second = found
    assert first[:3] == second[:3]
    for one, kind in zip(first, ("net", "ipc", "uts", "pid", "mnt"), strict=True):
        assert one != host_ns(kind)
    assert first[3] != second[3]
    assert first[4] != second[4]


async def test_loopback_is_up(runtime: Subject) -> None:
    """127.0.0.1 answers in a pod without any network."""
    _, text = await runtime.run("ping -c 1 -W 2 127.0.0.1 > /dev/null && echo up || ifconfig lo")
    assert "up" in text.lower()


async def test_host_network(runtime: Subject) -> None:
    """The host's interfaces and name."""
    runtime.needs("host namespaces")
    pod = await pod_with(runtime, network=cri.NODE)
    config = container_with(
        runtime, "readlink /proc/self/ns/net; readlink /proc/self/ns/uts; hostname", network=cri.NODE
    )
    _, text = await runtime.run_in(pod, config)
    assert text.split() == [host_ns("net"), host_ns("uts"), os.uname().nodename]


async def test_host_pid_and_ipc(runtime: Subject) -> None:
    """The host's processes and message queues."""
    runtime.needs("host namespaces")
    pod = await pod_with(runtime, pid=cri.NODE, ipc=cri.NODE)
    script = "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc"
    _, text = await runtime.run_in(pod, container_with(runtime, script, pid=cri.NODE, ipc=cri.NODE))
    assert text.split() == [host_ns("pid"), host_ns("ipc")]


async def test_a_stopped_container_leaves_no_process_in_a_shared_pid_namespace(runtime: Subject) -> None:
    """What the first process started ends with it, although the namespace goes on."""
    runtime.needs("host namespaces")
    pod = await pod_with(runtime, pid=cri.NODE)
    marker = f"{10**6 + os.getpid()}"
    container_id = await runtime.launch(pod, container_with(runtime, f"sleep {marker} & sleep {marker}", pid=cri.NODE))
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
    left = [argv for argv in map(argv_of, Path("/proc").iterdir()) if argv == f"sleep {marker}"]
    assert left == []


async def test_a_shared_pid_namespace(runtime: Subject) -> None:
    """With mode POD the containers see each other's processes."""
    pod = await pod_with(runtime, pid=cri.POD)
    await runtime.launch(pod, container_with(runtime, "sleep 4321", name="a", pid=cri.POD))
    container_id = await runtime.launch(pod, container_with(runtime, "sleep 5432", name="b", pid=cri.POD))
    text = await runtime.sh(container_id, "ps -o pid,args")
    assert "sleep 4321" in text
    assert "sleep 5432" in text
    response = await runtime.service.list_containers(cri.ListContainersRequest())
    assert len(response.containers) == 2, "what holds the namespace is not listed"


async def test_a_target_pid_namespace(runtime: Subject) -> None:
    """A debug container sees its target's processes; an unknown target is refused."""
    runtime.needs("target pid")
    pod = await runtime.run_sandbox()
    target = await runtime.launch(pod, runtime.container_config("sleep 6543"))
    config = runtime.container_config("ps -o args", name="debug")
    options = config.linux.security_context.namespace_options
    options.pid, options.target_id = cri.TARGET, target
    _, text = await runtime.run_in(pod, config)
    assert "sleep 6543" in text
    config = runtime.container_config(name="lost")
    options = config.linux.security_context.namespace_options
    options.pid, options.target_id = cri.TARGET, "0" * 64
    with pytest.raises(errors.NotFound):
        await runtime.create(pod, config)


async def test_sysctls(runtime: Subject) -> None:
    """They are the pod's; those that would change the host are refused."""
    runtime.needs("sysctls")
    config = runtime.sandbox_config()
    config.linux.sysctls["net.ipv4.ip_unprivileged_port_start"] = "80"
    config.linux.sysctls["kernel.shm_rmid_forced"] = "1"
    pod = await runtime.run_sandbox(config)
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    _, text = await runtime.run_in(pod, runtime.container_config(script))
    assert text.split() == ["80", "1"]
    for name in ("vm.swappiness", "kernel.panic", "net.ipv4.no_such_thing"):
        config = runtime.sandbox_config(f"bad-{name.replace('.', '-').replace('_', '-')}")
        config.linux.sysctls[name] = "1"
        with pytest.raises(errors.RuntimeFault, match=name):
            await runtime.run_sandbox(config)
    config = runtime.sandbox_config("host", hostname="")
    config.linux.security_context.namespace_options.network = cri.NODE
    config.linux.sysctls["net.ipv4.ip_unprivileged_port_start"] = "80"
    with pytest.raises(errors.RuntimeFault, match="ip_unprivileged_port_start"):
        await runtime.run_sandbox(config)


def with_users(config: cri.PodSandboxConfig, first: int = 200_000, length: int = 65536) -> cri.PodSandboxConfig:
    """A user namespace of the pod's own."""
    options = config.linux.security_context.namespace_options.userns_options
    options.mode = cri.POD
    for entries in (options.uids, options.gids):
        entries.add(container_id=0, host_id=first, length=length)
    return config


async def has_users(runtime: Subject) -> bool:
    response = await runtime.service.status(cri.StatusRequest())
    return any(entry.features.user_namespaces for entry in response.runtime_handlers if entry.name == runtime.handler)


async def test_a_user_namespace(runtime: Subject, folder: Path) -> None:
    """Root in the pod is nobody on the host; its files and its volumes look as if it were root."""
    if not await has_users(runtime):
        with pytest.raises(errors.NotSupported):
            await runtime.run_sandbox(with_users(runtime.sandbox_config()))
        return
    volume, image = folder / "volume", cri.ImageSpec(image=runtime.image_ref)
    volume.mkdir()
    volume.chmod(0o777)
    (volume / "roots").write_text("only root\n")
    (volume / "roots").chmod(0o600)
    pod = await runtime.run_sandbox(with_users(runtime.sandbox_config()))
    script = "cat /proc/self/uid_map; id -u; stat -c %u:%g /bin/busybox /data/roots /image/bin; cat /data/roots; "
    script += "touch /data/new /newfile; stat -c %u /newfile; hostname; echo x > /dev/shm/x; sleep 1000"
    config = runtime.container_config(script)
    mapping = [cri.IDMapping(container_id=0, host_id=200_000, length=65536)]
    config.mounts.add(container_path="/data", host_path=str(volume), uidMappings=mapping, gidMappings=mapping)
    config.mounts.add(container_path="/image", image=image, readonly=True)
    config.linux.security_context.namespace_options.CopyFrom(pod[1].linux.security_context.namespace_options)
    container_id = await runtime.launch(pod, config)
    log = Path((await runtime.status(container_id)).log_path)
    await runtime.until(lambda: len(log.read_text().splitlines()) >= 8)
    lines = [line.split(" ", 3)[3] for line in log.read_text().splitlines()]
    assert [line.split() for line in lines[:1]] == [["0", "200000", "65536"]]
    assert lines[1:] == ["0", "0:0", "0:0", "0:0", "only root", "0", "pod"]
    assert ((volume / "new").stat().st_uid, (volume / "new").stat().st_gid) == (0, 0)
    assert await runtime.sh(container_id, "id -u; cat /proc/self/uid_map | wc -l") == "0\n1\n"
    config = runtime.container_config("touch /data/mine; stat -c %u:%g /data/mine", name="plain")
    config.mounts.add(container_path="/data", host_path=str(volume), uidMappings=mapping, gidMappings=mapping)
    config.linux.security_context.namespace_options.CopyFrom(pod[1].linux.security_context.namespace_options)
    config.linux.security_context.run_as_user.value = 1000
    assert (await runtime.run_in(pod, config))[1] == "1000:1001\n"
    assert (volume / "mine").stat().st_uid == 1000


async def test_a_user_namespace_with_a_shared_pid_namespace(runtime: Subject) -> None:
    """The two together, and a privileged port in the pod's own network namespace."""
    if not await has_users(runtime):
        pytest.skip(f"{runtime.name} has no user namespaces here")
    config = with_users(runtime.sandbox_config())
    config.linux.security_context.namespace_options.pid = cri.POD
    config.linux.sysctls["net.ipv4.ip_local_port_range"] = "40000 50000"
    pod = await runtime.run_sandbox(config)
    script = (
        "cat /proc/1/comm; cat /proc/sys/net/ipv4/ip_local_port_range; ifconfig lo:1 127.0.0.9 && echo is root here"
    )
    container = runtime.container_config(script)
    container.linux.security_context.capabilities.add_capabilities.append("NET_ADMIN")
    container.linux.security_context.namespace_options.CopyFrom(config.linux.security_context.namespace_options)
    _, text = await runtime.run_in(pod, container)
    assert text.split("\n")[0] != "sh", "the first process is not the container's"
    assert text.split("\n")[1].split() == ["40000", "50000"]
    assert text.split("\n")[2] == "is root here"


async def test_a_user_namespace_without_a_mapping_is_refused(runtime: Subject) -> None:
    """Mode POD needs ranges for users and groups."""
    config = runtime.sandbox_config()
    config.linux.security_context.namespace_options.userns_options.mode = cri.POD
    config.linux.security_context.namespace_options.userns_options.uids.add(container_id=0, host_id=1, length=1)
    with pytest.raises(errors.RuntimeFault):
        await runtime.run_sandbox(config)
