"""Files of the agent's own, as a power cut, a full disk or a careless hand leaves them; and what the kernel shows of itself."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodeagent.cli.check.cgroups import read as read_own_mounts
from nodeagent.pods.resize.allocation import PodResources
from nodeagent.pods.resize.checkpoint import Checkpoint, CorruptCheckpoint
from nodeagent.pods.translation.dns import parse_resolv_conf
from nodeagent.pods.translation.env_file import EnvFileError, parse_env_file
from nodeagent.pods.user_namespaces import _read
from nodeagent.server.log_lines import nine_digits, parse_line, parse_time
from nodeagent.server.log_reader import LogOptions, read_log
from runtimes.errors import RuntimeFault
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.cgroups.detect import read_mounts
from runtimes.oci import records
from runtimes.oci.exits import read_exit
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.records import Records
from runtimes.oci.images.unpack import read_usage
from runtimes.oci.spec import cdi, seccomp
from runtimes.oci.store import DiskSync, RecordStore
from tests.fuzz import scratch
from tests.fuzz.contract import Errors, Target
from tests.fuzz.grammar import lines, near

_ID = "sha256:" + "a" * 64
_ALLOCATED: Any = {"u1": {"containers": {"c": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}}, "pod": None}}
_SANDBOX: Any = {
    "id": "x",
    "boot_id": "b",
    "handler": "runc",
    "created_at_ns": 1,
    "config": {"metadata": {"name": "p", "uid": "u", "namespace": "n", "attempt": 1}, "linux": {"cgroup_parent": "/a"}},
    "state": "ready",
    "network": True,
    "ips": ["10.1.0.5"],
}
_CONTAINER: Any = {
    "id": "x",
    "sandbox_id": "s",
    "boot_id": "b",
    "created_at_ns": 1,
    "config": {
        "metadata": {"name": "c"},
        "image": {"image": "a"},
        "mounts": [{"container_path": "/a", "host_path": "/b"}],
    },
    "image_id": "i",
    "image_ref": "r",
    "cgroup": "/k",
    "state": "exited",
    "init": {"pid": 5, "start_ticks": 7},
    "resources": {"cpu_shares": "2", "memory_limit_in_bytes": "5"},
}
_IMAGE: Any = {"id": _ID, "tags": ["docker.io/library/a:1"], "digests": [], "size_bytes": 5, "pins": []}
_SECCOMP: Any = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}, "args": []}],
}
_CDI: Any = {
    "cdiVersion": "0.6.0",
    "kind": "a.io/b",
    "devices": [{"name": "d", "containerEdits": {"env": ["A=b"], "deviceNodes": [{"path": "/dev/null"}]}}],
}
_MAPPINGS: Any = {"uidMappings": [{"hostId": 65536, "containerId": 0, "length": 65536}]}
_MAPPINGS["gidMappings"] = _MAPPINGS["uidMappings"]
_MOUNTS = (
    "29 1 0:26 / /sys/fs/cgroup/memory rw,nosuid shared:5 - cgroup cgroup rw,memory",
    "30 1 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
    "31 1 8:1 /a\\040b / rw,relatime master:1 - ext4 /dev/sda1 rw",
)


def _checkpoint(data: bytes) -> None:
    """The bytes as a whole file, and as the pods of one whose checksum is right."""
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    whole = b'{"version":1,"checksum":"' + digest.encode() + b'","pods":' + data + b"}"
    for content in (data, whole):
        try:
            Checkpoint(scratch.file("allocated_pods_state", content), PodResources).load()
        except CorruptCheckpoint:
            continue


def _runtime_records(data: bytes) -> None:
    """All that an engine reads at its start; a record that cannot be used is one of what was half made."""
    for kind, check, restored in (
        (records.SandboxRecord, records.check_sandbox, _of_sandbox),
        (records.ContainerRecord, records.check_container, _of_container),
    ):
        folder = scratch.file("records/x/state.json", data).parents[1]
        found, _ = RecordStore(folder, kind, DiskSync(), lambda record, _, check=check: check(record, record.id)).load()  # type: ignore[misc]
        for record in found.values():
            restored(record)


def _of_sandbox(record: Any) -> None:
    records.sandbox_config(record.config)


def _of_container(record: Any) -> None:
    records.container_config(record.config)
    records.resources(record.resources)


def _images(data: bytes) -> None:
    layout = Layout(scratch.file("images/x", b"").parent / "store")
    layout.create()
    path = layout.record(_ID)
    path.write_bytes(data)
    known = Records(layout)
    list(known)
    known.find("a")
    usage = layout.usage(_ID)
    usage.parent.mkdir(parents=True, exist_ok=True)
    usage.write_bytes(data)
    read_usage(layout, _ID)


def _user_namespace(data: bytes) -> None:
    _read(scratch.file("userns", data))


def _profile(data: bytes) -> None:
    path = scratch.file("seccomp.json", data)
    seccomp._load.cache_clear()
    seccomp._load(str(path), 0, frozenset({"CAP_CHOWN"}), (6, 1))


def _devices(data: bytes) -> None:
    for suffix in ("json", "yaml"):
        spec: Any = {
            "process": {"env": [], "user": {"additionalGids": []}},
            "linux": {"resources": {"devices": []}},
            "mounts": [],
        }
        path = scratch.file(f"cdi-{suffix}/a.{suffix}", data)
        cdi.inject(spec, ["a.io/b=d"], [path.parent])


def _kernel(data: bytes) -> None:
    """What the kernel prints is right; names in it are a stranger's."""
    text = data.decode(errors="replace")
    parse_resolv_conf(text)
    table = "\n".join(
        (*_MOUNTS, f"32 1 0:5 / /mnt/{_escaped(text)} rw - {_escaped(text) or 'x'} {_escaped(text) or 'y'} rw")
    )
    read_mounts(Path("/sys/fs/cgroup"), table)
    read_own_mounts(
        f"{_escaped(text) or 'x'} /mnt/{_escaped(text)} ext4 rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
    )


def _escaped(text: str) -> str:
    """As the kernel writes a name in its tables."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in text)


def _exit(data: bytes) -> None:
    read_exit(scratch.file("exit", data))


def _log(data: bytes) -> None:
    for line in data.split(b"\n"):
        found = parse_line(line)
        if found is not None:
            parse_time(found.time)
            nine_digits(found.time)
    path = scratch.file("log/0.log", data)
    asyncio.run(_sent(path, LogOptions(tail_lines=3, timestamps=True, since=parse_time("2026-01-02T03:04:05Z"))))
    asyncio.run(_sent(path, LogOptions(limit_bytes=100)))


async def _sent(path: Path, options: LogOptions) -> None:
    async def ended() -> bool:
        return False

    async for _ in read_log(path, options, ended):
        pass


def _target(name: str, run: Callable[[bytes], object], allowed: Errors, *documents: Any) -> Target:
    return Target(name=name, run=run, allowed=allowed, inputs=near(*documents))


_LOG_WORDS = (
    "2026-01-02T03:04:05.000000001Z",
    " stdout",
    " stderr",
    " F",
    " P",
    ":x",
    " ",
    "x" * 5000,
    '{"log":"a\\n","stream":"stdout","time":"2026"}',
)
TARGETS = (
    _target("checkpoint", _checkpoint, (), _ALLOCATED),
    _target("runtime-records", _runtime_records, (), _SANDBOX, _CONTAINER),
    _target("image-records", _images, (), _IMAGE, {"bytes": 5, "inodes": 6}),
    _target("user-namespace", _user_namespace, UNREADABLE, _MAPPINGS),
    _target("seccomp", _profile, UNREADABLE, _SECCOMP),
    _target("cdi", _devices, (RuntimeFault,), _CDI),
    Target(
        name="kernel-tables",
        run=_kernel,
        inputs=lines(
            ("a", " - ", "\\040", "\\", "(deleted)", "é"), ("nameserver 1.1.1.1", "search a b", "options ndots:5")
        ),
    ),
    Target(name="exit-file", run=_exit, inputs=lines(("0", "1", "-1", "9" * 60, "²", "\0"), ("137",))),
    Target(name="log", run=_log, inputs=lines(_LOG_WORDS, ("2026-01-02T03:04:05.1Z stdout F a",))),
    Target(
        name="env-file",
        run=lambda data: parse_env_file(data.decode(errors="replace")),
        allowed=(EnvFileError,),
        inputs=lines(("A", "=", "'", "\n", "#", " ", '"'), ("A='b'", "# x")),
    ),
)
