"""A real `Core` of the OCI engine that stands on nothing: for unit tests of what acts on it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runtimes.oci.config import OCIRuntimeConfig, Paths
from runtimes.oci.core import Core


class Memory:
    """A store of records: what has been saved, in order. `full`: the disk takes no more."""

    def __init__(self) -> None:
        self.full = False
        self.saved: list[Any] = []

    def save(self, object_id: str, record: Any) -> None:
        if self.full:
            raise OSError(28, "No space left on device", f"{object_id}/state.json")
        self.saved.append(record)


def oci_core(root: Path, **parts: Any) -> Any:
    """`parts` are in the place of what is not there. The records' stores are `Memory`."""
    paths = Paths(root / "state", root / "run")
    for folder in (paths.exits, paths.sandboxes, paths.containers, paths.bundles, paths.pods):
        folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {
        "config": OCIRuntimeConfig.for_handler("runc", "/bin/runc", state_root=root, run_root=root),
        "paths": paths,
        "traits": SimpleNamespace(holder=lambda sandbox: None, needs_infra=False),
        "program": SimpleNamespace(),
        "host": SimpleNamespace(),
        "cgroups": SimpleNamespace(
            statistics=SimpleNamespace(oom_kills=lambda cgroup: 0),
            directories=lambda cgroup: (),
            processes=lambda cgroup: frozenset(),
            remove=lambda cgroup: True,
        ),
        "cgroup_features": SimpleNamespace(),
        "boot_id": "b",
        "images": SimpleNamespace(),
        "network": None,
        "disk": SimpleNamespace(),
        "sandbox_records": Memory(),
        "container_records": Memory(),
    }
    return Core(**{**found, **parts})
