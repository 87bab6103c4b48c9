"""The factory of runtimes of type `oci`: `path`, `args`, `infraContainer`, `annotations`, `podAnnotations`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from runtimes.contract import NetworkProvider
from runtimes.oci.config import OCIRuntimeConfig
from runtimes.oci.engine import OCIRuntime
from runtimes.oci.images.contract import ImageStore
from runtimes.registry import Runtime


class EngineContext(Protocol):
    """What the engine needs of the agent. `conmon_path` empty: where it usually is."""

    @property
    def images(self) -> ImageStore: ...

    @property
    def network(self) -> NetworkProvider: ...

    @property
    def cgroup_driver(self) -> Literal["cgroupfs", "systemd"]: ...

    @property
    def conmon_path(self) -> str: ...

    @property
    def conmon_cgroup(self) -> str: ...

    def state_dir(self, handler: str) -> Path: ...

    def run_dir(self, handler: str) -> Path: ...


def oci_runtime(handler: str, settings: Mapping[str, Any], context: EngineContext) -> Runtime:
    """Implements `RuntimeFactory`. Raises ValueError."""
    path = settings.get("path", "")
    if not path.startswith("/"):
        raise ValueError("path: needs the absolute path of the runtime's program")
    defaults = OCIRuntimeConfig.for_handler(handler, path)
    config = OCIRuntimeConfig(
        name=handler,
        path=path,
        global_args=tuple(settings.get("args", ())),
        infra_container=settings.get("infraContainer", defaults.infra_container),
        state_dir=context.state_dir(handler),
        run_dir=context.run_dir(handler),
        conmon_path=context.conmon_path or defaults.conmon_path,
        cgroup_driver=context.cgroup_driver,
        conmon_cgroup=context.conmon_cgroup,
        annotations=tuple(settings.get("annotations", {}).items()),
        pod_annotations=tuple(settings.get("podAnnotations", ())),
    )
    engine = OCIRuntime(config=config, images=context.images, network=context.network)
    return Runtime(
        handler=handler,
        service=engine,
        images=context.images,
        lifecycle=engine,
        streaming=engine,
        cri_handler=handler,
        display_name=handler,
    )
