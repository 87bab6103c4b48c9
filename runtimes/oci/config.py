"""What one handler of the engine is configured with, and where its files are."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rlimit:
    """One process limit, name without the RLIMIT_ prefix ("NOFILE")."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OCIRuntimeConfig:
    """One handler. `state_dir` survives a reboot (records, writable layers, exit files), `run_dir` need not (bundles,
    sockets, pinned namespaces). Both belong to this handler alone.

    `conmon_cgroup` holds the monitors of all containers, so that whatever ends the agent's own cgroup leaves them alone.
    """

    name: str
    path: str
    global_args: tuple[str, ...] = ()
    infra_container: Literal["auto", "always", "never"] = "auto"
    state_dir: Path
    run_dir: Path
    conmon_path: str = "/usr/bin/conmon"
    infra_path: str = "/usr/bin/catatonit"
    cgroup_driver: Literal["cgroupfs", "systemd"] = "cgroupfs"
    conmon_cgroup: str = "/nodeagent-conmon"
    rlimits: tuple[Rlimit, ...] = ()
    seccomp_profile: Path = Path("/usr/share/containers/seccomp.json")
    apparmor_profile: str = ""  # what RuntimeDefault means; must be loaded in the kernel
    cdi_dirs: tuple[Path, ...] = (Path("/etc/cdi"), Path("/var/run/cdi"))
    annotations: tuple[tuple[str, str], ...] = ()  # added to every bundle, for runtimes configured by annotations
    pod_annotations: tuple[str, ...] = ()  # patterns of the names that a pod's own annotations may have to get there
    call_timeout_seconds: float = 120.0

    @classmethod
    def for_handler(
        cls,
        name: str,
        path: str,
        *,
        state_root: Path = Path("/var/lib/nodeagent"),
        run_root: Path = Path("/run/nodeagent"),
    ) -> "OCIRuntimeConfig":
        """The defaults of a handler below the usual two folders."""
        return cls(name=name, path=path, state_dir=state_root / name, run_dir=run_root / name)


@dataclass(frozen=True, slots=True)
class Paths:
    """Every file of the engine, by id."""

    state_dir: Path
    run_dir: Path
    exits: Path = field(init=False)
    runtime_root: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exits", self.state_dir / "exits")
        object.__setattr__(self, "runtime_root", self.run_dir / "runtime")

    @property
    def sandboxes(self) -> Path:
        return self.state_dir / "sandboxes"

    @property
    def containers(self) -> Path:
        return self.state_dir / "containers"

    @property
    def bundles(self) -> Path:
        return self.run_dir / "bundles"

    @property
    def pods(self) -> Path:
        return self.run_dir / "pods"

    def sandbox(self, sandbox_id: str) -> Path:
        """Survives a reboot: record, resolv.conf, hostname, hosts."""
        return self.sandboxes / sandbox_id

    def pod(self, sandbox_id: str) -> Path:
        """Gone with a reboot: pinned namespaces, /dev/shm."""
        return self.pods / sandbox_id

    def container(self, container_id: str) -> Path:
        """Survives a reboot: record, writable layer, image volumes."""
        return self.containers / container_id

    def bundle(self, container_id: str) -> Path:
        """Gone with a reboot: config.json, conmon's socket and FIFOs, pid files. Holds the environment's secrets: 0700."""
        return self.bundles / container_id
