"""What runc, crun and runsc do differently: one object each, and nobody else asks which one it is."""

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oci_core import oci_core

from proto import cri_pb2 as cri
from runtimes import errors, oci
from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.oci import records
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.lifecycle import ContainerState
from runtimes.oci.records import ContainerRecord, ProcessRef
from runtimes.oci.traits.contract import ExecTerminal, Probed, RuntimeTraits
from runtimes.oci.traits.probe import probe, traits_of
from runtimes.oci.traits.runc import Crun, Runc
from runtimes.oci.traits.runsc import Runsc

INIT = ProcessRef(pid=999_999_999, start_ticks=1)  # no such process
OTHER = 999_999_998


class Program:
    """What the runtime's command line was asked."""

    path = "/bin/runtime"
    global_args = ("--root=/r",)

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, verb: str) -> Any:
        async def ask(*arguments: Any) -> None:
            self.asked.append((verb, *arguments))

        return ask


def traits(variant: type[RuntimeTraits], root: Path, **probed: Any) -> Any:
    core = oci_core(root)
    told = Probed(**{"name": variant.name, "version": "1.2", **probed})
    cgroups = SimpleNamespace(processes=lambda cgroup: frozenset({OTHER, INIT.pid}) if cgroup == "/c" else frozenset())
    return variant(probed=told, config=core.config, paths=core.paths, program=Program(), cgroups=cgroups)  # type: ignore[arg-type]


def record(*, infra: bool = False, create_error: str = "") -> ContainerRecord:
    return ContainerRecord(
        id="c",
        sandbox_id="s",
        boot_id="b",
        created_at_ns=6,
        config=records.raw(cri.ContainerConfig()),
        image_id="i",
        image_ref="i",
        cgroup="/c",
        state=ContainerState.CREATED,
        infra=infra,
        create_error=create_error,
        init=INIT,
    )


def test_the_variants() -> None:
    """By the name that the program gives itself; a stranger gets nothing but the OCI command line."""
    assert [traits_of(name) for name in ("runc", "crun", "runsc", "youki")] == [Runc, Crun, Runsc, RuntimeTraits]
    terminals = [variant.exec_terminal for variant in (RuntimeTraits, Runc, Crun, Runsc)]
    assert terminals == [ExecTerminal.COOKED, ExecTerminal.RAW, ExecTerminal.CONSOLE_SOCKET, ExecTerminal.COOKED]
    table = {
        variant.name: (
            variant.json_log,
            variant.groups_by_name,
            variant.read_only_superblocks,
            variant.block_devices,
            variant.guest_hostname,
            variant.joins_pid_namespaces,
            variant.maps_users,
            variant.needs_infra,
        )
        for variant in (RuntimeTraits, Runc, Crun, Runsc)
    }
    assert table == {
        "": (False, True, True, True, False, False, False, False),
        "runc": (True, True, True, True, False, True, True, False),
        "crun": (True, False, False, True, False, True, True, False),
        "runsc": (False, False, False, False, True, False, False, True),
    }


@pytest.mark.parametrize(
    ("variant", "probed", "able"),
    [
        (Runc, {"mount_options": frozenset({"rro"})}, True),
        (Runc, {"mount_options": frozenset({"ro"})}, False),
        (Crun, {"version": "1.4.5"}, True),
        (Crun, {"version": "1.3"}, False),
        (Crun, {"version": "0.21"}, False),
        (Runsc, {"version": "release-20240101.0"}, False),
    ],
)
def test_recursive_read_only(tmp_path: Path, variant: type[RuntimeTraits], probed: dict[str, Any], able: bool) -> None:
    """runc lists the mount option; crun has it since 1.4; gVisor has none."""
    assert traits(variant, tmp_path, **probed).recursive_read_only is able


@pytest.mark.parametrize("variant", [RuntimeTraits, Runc, Crun])
async def test_by_default_the_command_line_is_asked(tmp_path: Path, variant: type[RuntimeTraits]) -> None:
    """conmon calls the program itself; start, delete and update are its commands, but for what it has refused."""
    found = traits(variant, tmp_path)
    assert found.conmon_runtime(record()) == (Path("/bin/runtime"), ("--root=/r",))
    await found.start(record())
    await found.delete(record())
    await found.delete(record(create_error="refused"))
    assert await found.update("c", {"cpu": {}}) == CgroupLimits()
    assert await found.update("c", {}) == CgroupLimits()
    assert found.program.asked == [("start", "c"), ("delete", "c"), ("update", "c", {"cpu": {}})]
    assert (found.holder(None), await found.usages(["c"])) == (None, None)


@pytest.mark.parametrize("variant", [Runc, Crun])
@pytest.mark.parametrize(
    ("config", "driver", "asked"),
    [
        ('{"ociVersion": "1.0.2"}', "cgroupfs", []),
        ('{"hooks": {"poststop": []}}', "cgroupfs", [("delete", "c")]),
        ('{"ociVersion": "1.0.2"}', "systemd", [("delete", "c")]),
        ("{", "cgroupfs", [("delete", "c")]),
    ],
)
async def test_an_ended_container_is_forgotten_without_the_program(
    tmp_path: Path, variant: type[RuntimeTraits], config: str, driver: str, asked: list[Any]
) -> None:
    """Its folder is all that is left of it, unless hooks are to be called, or systemd has its cgroup."""
    found = traits(variant, tmp_path)
    found.config = dataclasses.replace(found.config, cgroup_driver=driver)
    folder, bundle = found.paths.runtime_root / "c", found.paths.bundle("c")
    folder.mkdir(parents=True)
    (folder / "state.json").touch()
    bundle.mkdir(parents=True)
    (bundle / "config.json").write_text(config)
    await found.delete(record())
    assert (found.program.asked, folder.exists()) == (asked, bool(asked))


async def test_gvisor_is_driven_by_its_wrapper(tmp_path: Path) -> None:
    """Containers in a sandbox are created by the wrapper, which forgets them, too; the infra container is an ordinary one."""
    found = traits(Runsc, tmp_path)
    found.paths.runtime_root.mkdir(parents=True)
    assert found.conmon_runtime(record()) == (found.config.run_dir / "runsc-in-pod", ())
    assert found.conmon_runtime(record(infra=True)) == (Path("/bin/runtime"), ("--root=/r",))
    await found.start(record(infra=True))
    await found.delete(record())
    await found.delete(record(infra=True))
    (found.paths.runtime_root / "sandbox_c.state").touch()
    await found.delete(record())
    await found.delete(record(create_error="refused"))
    assert found.program.asked == [("start", "c"), ("delete", "c"), ("delete", "c")]


async def test_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of this kernel are signalled directly; others by the runtime; a sandbox after all that is in it."""
    signalled: list[tuple[int, int]] = []
    monkeypatch.setattr("runtimes.linux.cgroups.tree.os.kill", lambda *arguments: signalled.append(arguments))
    by_kernel, by_runtime = traits(Crun, tmp_path), traits(Runsc, tmp_path)
    for found in (by_kernel, by_runtime):
        await found.signal(Container.restored(record()), INIT, 15)
        await found.signal(Container.restored(record(infra=True)), INIT, 9)
    assert by_kernel.program.asked == []
    assert (by_runtime.program.asked, signalled) == ([("kill", "c", 15)], [(OTHER, 9)])
    assert (by_kernel.has_ended(INIT), by_runtime.has_ended(INIT)) == (True, False)


async def test_the_infra_container_holds_the_pods_limits(tmp_path: Path) -> None:
    """gVisor's gets the sum of what the pod and its overhead may use; the others' keeps its own."""
    config = cri.PodSandboxConfig()
    config.linux.resources.cpu_shares, config.linux.overhead.cpu_shares = 512, 256
    config.linux.resources.cpu_period, config.linux.resources.cpu_quota = 100000, 50000
    config.linux.resources.memory_limit_in_bytes, config.linux.overhead.memory_limit_in_bytes = 1000, 24
    limits = cri.LinuxContainerResources(cpu_shares=2)
    traits(Runc, tmp_path).limit_infra(limits, config)
    assert limits == cri.LinuxContainerResources(cpu_shares=2)
    traits(Runsc, tmp_path).limit_infra(limits, config)
    assert limits == cri.LinuxContainerResources(
        cpu_shares=768, cpu_period=100000, cpu_quota=50000, memory_limit_in_bytes=1024
    )
    pod = Sandbox.restored(
        records.SandboxRecord(
            id="s", boot_id="b", handler="h", created_at_ns=1, config=records.raw(config), infra_id="c"
        ),
        oci_core(tmp_path).paths,
    )
    pod.containers["c"] = Container.restored(record(infra=True))
    assert traits(Runsc, tmp_path).holder(pod) is pod.infra


async def test_gvisors_limits_are_its_cgroups(tmp_path: Path) -> None:
    """They are written there, for runsc cannot change them; nothing for what does not change."""
    found = traits(Runsc, tmp_path)
    limits = {"cpu": {"shares": 1024, "quota": 50000, "period": 100000}, "memory": {"limit": 9, "swap": 10}}
    assert await found.update("c", limits) == CgroupLimits(
        cpu_shares=1024, cpu_quota_us=50000, cpu_period_us=100000, memory_limit_bytes=9, memory_swap_limit_bytes=10
    )
    assert await found.update("c", {"cpu": {"quota": -1}}) == CgroupLimits(cpu_quota_us=-1)
    assert await found.update("c", {}) == CgroupLimits()
    assert found.program.asked == []


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            'case $1 in features) echo \'{"mountOptions": ["ro", "rro"]}\';; *) echo "runc version 1.1.5";; esac',
            Probed(name="runc", version="1.1.5", mount_options=frozenset({"ro", "rro"})),
        ),
        (
            'case $1 in features) echo noise;; *) echo "runc version 1.0"; echo spec: 1.0.2;; esac',
            Probed(name="runc", version="1.0"),
        ),
        ('test $1 = --version && echo "crun version 1.14"', Probed(name="crun", version="1.14")),
        ("test $1 = --version && echo youki version 0.3", Probed(name="", version="0.3")),
        ("test $1 = --version && echo 0.0.1-beta", Probed(name="", version="0.0.1-beta")),
    ],
)
async def test_a_program_says_what_it_is(tmp_path: Path, script: str, expected: Probed) -> None:
    """By --version, and by `features` where the runtime has it; whatever else it prints is no reason to fail."""
    path = tmp_path / "runtime"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    assert await probe(str(path)) == expected


async def test_a_program_that_cannot_be_asked(tmp_path: Path) -> None:
    """It is told by its path."""
    with pytest.raises(errors.Unavailable, match="/nowhere cannot be run"):
        await probe("/nowhere")


def test_nobody_else_asks_which_runtime_it_is() -> None:
    """Outside of the traits and of gVisor's wrapper no code names a runtime or looks at an object's class for it."""
    asks = re.compile(
        r"\b(RUNC|CRUN|RUNSC|Runc|Crun|Runsc|shared_sandbox|host_pids|dialect)\b|traits\.name ==|\.kind is"
    )
    folder = Path(next(iter(oci.__path__)))
    found = [
        f"{path.relative_to(folder)}: {line.strip()}"
        for path in sorted(folder.rglob("*.py"))
        if path.parent.name != "traits" and path.name != "gvisor.py"
        for line in path.read_text().splitlines()
        if asks.search(line.partition("#")[0])
    ]
    assert found == []
