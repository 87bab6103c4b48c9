"""A runtime as the suite meets it: how it is made, what it cannot do, and a started one for one test."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from proto import cri_pb2 as cri
from runtimes.contract import NetworkProvider
from runtimes.cri.factory import cri_runtime
from runtimes.hollow.factory import hollow_runtime
from runtimes.oci.factory import oci_runtime
from runtimes.oci.images.store import DiskImageStore
from runtimes.plugins import factories
from runtimes.registry import Runtime, RuntimeFactory
from runtimes.testing.abilities import ABILITIES
from runtimes.testing.host import remove_cgroups
from runtimes.testing.subject import IMAGE, Subject

BUILT_IN: Mapping[str, RuntimeFactory] = {"oci": oci_runtime, "cri": cri_runtime, "hollow": hollow_runtime}


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """`type`: built in (`oci`, `cri`, `hollow`), or of an installed package, found by its entry point as the agent finds it.

    `settings`: what stands under `runtimes.<name>` in the agent's configuration; a function of the test's own folder where the
    runtime writes there.
    `exceptions`: ability (runtimes/testing/abilities.py), or the name of a case -> why this runtime does without. Raises
    ValueError for a name that is neither.
    """

    name: str
    type: str
    settings: Mapping[str, Any] | Callable[[Path], Mapping[str, Any]] = field(default_factory=dict)
    exceptions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.exceptions if name not in ABILITIES and not name.startswith("test_")]
        if unknown:
            raise ValueError(f"exceptions of {self.name}: {', '.join(unknown)}: no ability and no case (test_…)")

    def settings_in(self, folder: Path) -> Mapping[str, Any]:
        given = self.settings(folder) if callable(self.settings) else self.settings
        return {"options": {}, **given}


class Context:
    """What the agent offers to a factory (`PluginContext`), with all folders below a test's own."""

    cgroup_driver: Literal["cgroupfs", "systemd"] = "cgroupfs"
    conmon_path = ""
    conmon_cgroup = "/nodeagent-conmon"

    def __init__(self, folder: Path, images: DiskImageStore, network: NetworkProvider | None) -> None:
        self._folder = folder
        self.images = images
        self.network: Any = network  # None: the engine leaves pods unconnected

    def state_dir(self, handler: str) -> Path:
        return self._folder / "state"

    def run_dir(self, handler: str) -> Path:
        return self._folder / "run"

    def oci(self, handler: str, settings: Mapping[str, Any]) -> Runtime:
        return oci_runtime(handler, settings, self)


@contextlib.asynccontextmanager
async def started(
    implementation: Implementation, folder: Path, image_store: Path, network: NetworkProvider | None = None
) -> AsyncIterator[Subject]:
    """The runtime, made as the agent makes it; afterwards its pods are removed, and it is stopped.

    `image_store`: the engine's image store, with the suite's image in it. `network`: what the engine connects pods by.
    """
    store = DiskImageStore(image_store)
    await store.start()
    made = factories(BUILT_IN)[implementation.type](
        implementation.name, implementation.settings_in(folder), Context(folder, store, network)
    )
    await made.lifecycle.start()
    subject = Subject(
        name=implementation.name,
        runtime=made,
        exceptions=implementation.exceptions,
        cgroup_parent=f"/natest-{secrets.token_hex(4)}",
        directory=folder,
        image_ref=IMAGE,
    )
    try:
        yield subject
    finally:
        for pod in (await made.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items:
            if pod.metadata.uid in subject.uids:  # an endpoint may have pods of others
                await made.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod.id))
                await made.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod.id))
        await made.lifecycle.stop()
        await store.stop()
        if not subject.can("cgroups are removed"):
            remove_cgroups(subject.cgroup_parent)
