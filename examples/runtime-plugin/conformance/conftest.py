"""The project's conformance suite on this package's runtime. Copy it for a runtime of your own, and change `runtime`.

pip install -e examples/runtime-plugin
sudo .venv/bin/python -m pytest examples/runtime-plugin/conformance -n 2
"""

import importlib.util
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes.oci.images.store import DiskImageStore
from runtimes.plugins import factories

REPO = Path(__file__).parents[3]  # the checkout that has the suite
SUITE = REPO / "tests" / "conformance" / "runtimes"
sys.path.insert(0, str(REPO / "tests" / "support"))


def suite_module(path: Path) -> ModuleType:
    """A file of the suite as a module."""
    name = f"conformance_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


suite = suite_module(SUITE / "conftest.py")
demo_image, image_archive, image_store, folder = (
    suite.demo_image,
    suite.image_archive,
    suite.image_store,
    suite.folder,
)


def context(directory: Path, store: DiskImageStore) -> Any:
    """What a factory is given (runtimes.plugins.PluginContext), as far as this package uses it."""
    from runtimes.oci.config import OCIRuntimeConfig
    from runtimes.oci.engine import OCIRuntime
    from runtimes.registry import Runtime

    def oci(handler: str, settings: dict[str, Any]) -> Runtime:
        config = OCIRuntimeConfig(
            name=handler, path=settings["path"], state_dir=directory / "state", run_dir=directory / "run"
        )
        engine = OCIRuntime(config=config, images=store, network=None)
        return Runtime(
            handler=handler,
            service=engine,
            images=store,
            lifecycle=engine,
            streaming=engine,
            cri_handler=handler,
            display_name=handler,
        )

    return SimpleNamespace(images=store, oci=oci)


@pytest.fixture
async def runtime(folder: Path, image_store: Path) -> AsyncIterator[Any]:
    """The suite's fixture of this name, for one implementation: the type `traced`, found by its entry point."""
    store = DiskImageStore(image_store)
    await store.start()
    settings = {"path": shutil.which("runc"), "options": {"file": str(folder / "calls.jsonl")}}
    made = factories({})["traced"]("traced", settings, context(folder, store))
    await made.lifecycle.start()
    subject = suite.Subject(
        name="traced",
        handler=made.cri_handler,
        service=made.service,
        images=made.images,
        streaming=made.streaming,
        cgroup_parent=f"/natest-{secrets.token_hex(4)}",
        directory=folder,
        image_ref=suite.IMAGE,
    )
    yield subject
    for pod in (await made.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items:
        await made.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod.id))
    await made.lifecycle.stop()
    await store.stop()
    assert suite.leaks(folder, subject.cgroup_parent) == []
