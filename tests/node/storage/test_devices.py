"""Claims as block devices of containers, by runtime."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from components import needs
from node_fixtures import started_node
from node_under_test import NodeUnderTest, eventually
from pods_under_test import state_of, waits_for
from runtime_classes import on, runtime_class
from volume_objects import Storage, bind, ended, user_of, with_device

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("storage-devices"), needs("runc", "crun", "runsc")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Any) -> Iterator[NodeUnderTest]:
    gvisor = {"args": ["--platform=ptrace", "--network=host"], "infraContainer": "always"}
    runtimes: dict[str, Any] = {
        "runc": {"type": "oci", "path": shutil.which("runc")},
        "crun": {"type": "oci", "path": shutil.which("crun")},
        "gvisor": {"type": "oci", "path": shutil.which("runsc"), **gvisor},
    }
    for made in started_node(tmp_path_factory.mktemp("devices"), demo_image, runtimes=runtimes, defaultRuntime="runc"):
        made.apply(runtime_class("crun"), runtime_class("gvisor"))
        yield made


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_device_in_a_container(node: NodeUnderTest, storage: Storage, runtime: str) -> None:
    """What a container writes on its block volume is on the disk; a claim for reading lets nobody write; both are told of."""
    device, claim = storage.disk(), f"raw-{runtime}"
    bind(node, claim, mode="Block", local={"path": str(device)})
    write = "echo on the disk | dd of=/dev/data bs=512 count=1 conv=sync,fsync 2>/dev/null"
    writes, reads = f"writes-{runtime}", f"reads-{runtime}"
    node.apply(with_device(user_of(claim, writes, f"{write}; echo done", **on(runtime))))
    node.running(writes)
    node.pod_when(writes, lambda _: node.container_log(writes, "c").endswith("done"))
    with device.open("rb") as disk:
        os.posix_fadvise(disk.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert disk.read(11) == b"on the disk"
    told = f'MapVolume.MapPodDevice succeeded for volume "{claim}"'
    maps = node.root_dir / "plugins/kubernetes.io/local-volume/volumeDevices" / claim
    (link,) = (node.root_dir / "pods").glob(f"*/volumeDevices/kubernetes.io~local-volume/{claim}")
    assert [message for reason, message in node.events(writes) if reason == "SuccessfulMountVolume"] == [
        f'{told} globalMapPath "{maps}"',
        f'{told} volumeMapPath "{link.parent}"',
    ]
    read = "dd if=/dev/data bs=11 count=1 2>/dev/null; echo; dd if=/dev/zero of=/dev/data bs=1 count=1 2>&1"
    node.apply(with_device(user_of(claim, reads, read, read_only=True, **on(runtime))))
    node.running(reads)
    node.pod_when(reads, lambda _: "dd: " in node.container_log(reads, "c"))
    log = node.container_log(reads, "c")
    assert log.startswith("on the disk\n")
    assert "Operation not permitted" in log
    for name in (writes, reads):
        ended(node, name)
    eventually(lambda: not maps.exists(), "nothing of the device is left")


def test_a_runtime_without_block_devices(node: NodeUnderTest, storage: Storage) -> None:
    """gVisor's kernel has none: the container says so, instead of running with something that is no disk."""
    bind(node, "raw-gvisor", mode="Block", local={"path": str(storage.disk())})
    node.apply(with_device(user_of("raw-gvisor", "on-gvisor", "ls -l /dev/data", **on("gvisor"))))
    pod = node.pod_when("on-gvisor", waits_for("CreateContainerError"))
    assert state_of(pod)[2] == "/dev/data: this runtime gives containers no block devices"
    ended(node, "on-gvisor")
