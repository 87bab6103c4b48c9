"""Volumes and the files that a sandbox gives its containers."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux import syscalls
from runtimes.testing.subject import Subject

pytestmark = pytest.mark.asyncio


async def test_a_folder_and_a_file_are_mounted(runtime: Subject, tmp_path: Path) -> None:
    """Writes arrive on the host, read-only ones are refused, files replace files."""
    (tmp_path / "rw").mkdir()
    (tmp_path / "ro").mkdir()
    (tmp_path / "ro" / "seen").write_text("seen\n")
    (tmp_path / "file").write_text("one file\n")
    pod = await runtime.run_sandbox()
    config = runtime.container_config("echo out > /rw/out; cat /ro/seen /etc/one; touch /ro/x 2>/dev/null; echo $?")
    config.mounts.add(host_path=str(tmp_path / "rw"), container_path="/rw")
    config.mounts.add(host_path=str(tmp_path / "ro"), container_path="/ro", readonly=True)
    config.mounts.add(host_path=str(tmp_path / "file"), container_path="/etc/one")
    status, text = await runtime.run_in(pod, config)
    assert text == "seen\none file\n1\n"
    assert (tmp_path / "rw" / "out").read_text() == "out\n"
    assert list(status.mounts) == list(config.mounts)


async def test_mounts_inside_mounts(runtime: Subject, tmp_path: Path) -> None:
    """In whatever order they are listed, the outer one comes first."""
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    pod = await runtime.run_sandbox()
    config = runtime.container_config("cat /outer/name /outer/inner/name")
    config.mounts.add(host_path=str(tmp_path / "inner"), container_path="/outer/inner")
    config.mounts.add(host_path=str(tmp_path / "outer"), container_path="/outer")
    assert (await runtime.run_in(pod, config))[1].strip() == "outerinner"


async def test_links_of_the_host_are_followed(runtime: Subject, tmp_path: Path) -> None:
    """A volume may be named by a link, as kubelets' folders often are; what is mounted below it comes along."""
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "real" / "file").write_text("by a link\n")
    (tmp_path / "link").symlink_to("real")
    syscalls.mount("natest", tmp_path / "real" / "below", "tmpfs")
    try:
        (tmp_path / "real" / "below" / "file").write_text("and below\n")
        config = runtime.container_config("cat /data/file /data/below/file")
        config.mounts.add(host_path=str(tmp_path / "link"), container_path="/data")
        _, text = await runtime.run_in(await runtime.run_sandbox(), config)
    finally:
        syscalls.umount(tmp_path / "real" / "below")
    assert text == "by a link\nand below\n"


async def test_mounts_replace_the_sandbox_files(runtime: Subject, tmp_path: Path) -> None:
    """A volume on /etc/hosts or /dev/shm is what the container sees there."""
    (tmp_path / "hosts").write_text("10.1.2.3 other\n")
    (tmp_path / "shm").mkdir()
    pod = await runtime.run_sandbox()
    config = runtime.container_config("cat /etc/hosts; echo x > /dev/shm/x")
    config.mounts.add(host_path=str(tmp_path / "hosts"), container_path="/etc/hosts")
    config.mounts.add(host_path=str(tmp_path / "shm"), container_path="/dev/shm")
    assert (await runtime.run_in(pod, config))[1] == "10.1.2.3 other\n"
    assert (tmp_path / "shm" / "x").read_text() == "x\n"


async def test_resolv_conf_and_hostname(runtime: Subject) -> None:
    """The DNS configuration is in /etc/resolv.conf, the pod's name in /etc/hostname and in the kernel."""
    _, text = await runtime.run("cat /etc/resolv.conf /etc/hostname; hostname")
    assert text.splitlines() == [
        "search a.example b.example",
        "nameserver 10.0.0.10",
        "options ndots:5",
        "pod",
        "pod",
    ]


async def test_containers_of_a_pod_share_memory(runtime: Subject) -> None:
    """/dev/shm is one for all containers of a pod, 64 MiB, and not the host's."""
    pod = await runtime.run_sandbox()
    await runtime.run_in(
        pod, runtime.container_config("echo shared > /dev/shm/word; chmod 666 /dev/shm/word", name="writer")
    )
    script = "cat /dev/shm/word; df -k /dev/shm | tail -1"
    _, text = await runtime.run_in(pod, runtime.container_config(script, name="reader"))
    assert text.splitlines()[0] == "shared"
    assert "65536" in text.splitlines()[1]


@pytest.fixture
def shared_mount(tmp_path: Path) -> Iterator[Path]:
    """A folder whose mounts propagate."""
    folder = tmp_path / "shared"
    folder.mkdir()
    syscalls.mount("natest", folder, "tmpfs")
    syscalls.mount("", folder, flags=syscalls.MS_SHARED)
    yield folder
    subprocess.run(["umount", "-R", "-l", str(folder)], check=True)


async def test_propagation_from_the_host(runtime: Subject, shared_mount: Path) -> None:
    """A mount made later on the host is seen with HostToContainer, not with Private."""
    runtime.needs("mount propagation")
    (shared_mount / "later").mkdir()
    pod = await runtime.run_sandbox()
    ids = {}
    for name, propagation in (("private", cri.PROPAGATION_PRIVATE), ("slave", cri.PROPAGATION_HOST_TO_CONTAINER)):
        config = runtime.container_config(name=name)
        config.mounts.add(host_path=str(shared_mount), container_path="/data", propagation=propagation)
        ids[name] = await runtime.launch(pod, config)
    syscalls.mount("natest", shared_mount / "later", "tmpfs")
    (shared_mount / "later" / "file").write_text("")
    assert await runtime.sh(ids["private"], "ls /data/later") == ""
    assert await runtime.sh(ids["slave"], "ls /data/later") == "file\n"


async def test_propagation_to_the_host(runtime: Subject, shared_mount: Path) -> None:
    """With Bidirectional a mount made in the container is the host's, too; its source must be a shared mount."""
    runtime.needs("mount propagation")
    (shared_mount / "inside").mkdir()
    config = runtime.sandbox_config()
    config.linux.security_context.privileged = True
    pod = await runtime.run_sandbox(config)
    container = runtime.container_config()
    container.linux.security_context.privileged = True
    container.mounts.add(host_path=str(shared_mount), container_path="/data", propagation=cri.PROPAGATION_BIDIRECTIONAL)
    container_id = await runtime.launch(pod, container)
    await runtime.sh(container_id, "mount -t tmpfs natest /data/inside && touch /data/inside/file")
    assert (shared_mount / "inside" / "file").exists()


async def test_propagation_needs_a_shared_mount(runtime: Subject, tmp_path: Path) -> None:
    """A source that cannot propagate is refused, by name."""
    runtime.needs("validation")
    folder = tmp_path / "private"
    folder.mkdir()
    syscalls.mount("natest", folder, "tmpfs")
    try:
        syscalls.mount("", folder, flags=syscalls.MS_PRIVATE)
        pod, config = await runtime.run_sandbox(), runtime.container_config()
        config.mounts.add(host_path=str(folder), container_path="/data", propagation=cri.PROPAGATION_BIDIRECTIONAL)
        with pytest.raises(errors.RuntimeFault, match=r"private.* is not a shared mount"):
            await runtime.create(pod, config)
    finally:
        syscalls.umount(folder)


async def test_recursive_read_only(runtime: Subject, tmp_path: Path) -> None:
    """With it the mounts below are read-only as well; without it they are not."""
    runtime.needs("recursive read-only")
    (tmp_path / "data" / "below").mkdir(parents=True)
    syscalls.mount("natest", tmp_path / "data" / "below", "tmpfs")
    try:
        pod = await runtime.run_sandbox()
        for recursive, code in ((False, "0"), (True, "1")):
            config = runtime.container_config("touch /data/below/x 2>/dev/null; echo $?", name=f"r{recursive}")
            config.mounts.add(
                host_path=str(tmp_path / "data"), container_path="/data", readonly=True, recursive_read_only=recursive
            )
            assert (await runtime.run_in(pod, config))[1].strip() == code
    finally:
        syscalls.umount(tmp_path / "data" / "below")


async def test_an_image_as_a_volume(runtime: Subject) -> None:
    """An image, or a folder in it, is mounted read-only; links in it lead nowhere else; what is a program runs."""
    runtime.needs("image volumes")
    pod = await runtime.run_sandbox()
    config = runtime.container_config(
        "cat /image/etc/group | head -1; cat /part/index.html | head -c 9; touch /image/x 2>&1 | wc -l"
    )
    config.mounts.add(container_path="/image", image=cri.ImageSpec(image=runtime.image_ref), readonly=True)
    config.mounts.add(
        container_path="/part", image=cri.ImageSpec(image=runtime.image_ref), image_sub_path="www", readonly=True
    )
    _, text = await runtime.run_in(pod, config)
    assert text.split() == ["root:x:0:", "<!doctype1"]
    config = runtime.container_config(
        "/tools/bin/busybox echo ran; /folder/busybox echo ran; touch /tools/x 2>&1 | wc -l", name="tools"
    )
    image = cri.ImageSpec(image=runtime.image_ref)
    config.mounts.add(container_path="/tools", image=image, readonly=True)
    config.mounts.add(container_path="/folder", image=image, image_sub_path="bin", readonly=True)
    _, text = await runtime.run_in(pod, config)
    assert text.split() == ["ran", "ran", "1"], "programs of an image run from a volume as well"
    config = runtime.container_config(name="missing")
    config.mounts.add(
        container_path="/part", image=cri.ImageSpec(image=runtime.image_ref), image_sub_path="no/such", readonly=True
    )
    with pytest.raises(errors.RuntimeFault, match="no/such"):
        await runtime.create(pod, config)
