"""The reference driver in each of its forms, one process a form and worker."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from components import cannot_be_tested
from csi_driver import MEBIBYTE, DriverProcess

from csi.driver.growth import can_grow_mounted
from csi.testing.implementation import Implementation
from runtimes.linux import loop

# where the kernel lets nobody here do it (csi/driver/growth.py)
NOT_MOUNTED = {} if can_grow_mounted("ext4") else {"exceptions": {"X10": "a mounted ext4 grows with CAP_SYS_RESOURCE"}}
THICK = {"mutable_parameters": {"allocation": "thick"}}
FORMS = {
    "directory": {"mutable_parameters": {"allocation": "thin"}},
    "image": {"parameters": {"backing": "image"}, **THICK, **NOT_MOUNTED},
    "ext4": {"fs_type": "ext4", **NOT_MOUNTED},
    "xfs": {"fs_type": "xfs", "volume_bytes": 300 * MEBIBYTE},
    "attach": {"second_node_id": "node-2"},
}
ATTACH = ("--attach", "--alpha", "--max-volumes=4", "--other-node=node-2", "--mount-group")
# What is another matter in that form; the rest was met with directories.
OF_THE_FORM = {
    "ext4": ("test_data",),
    "xfs": ("test_expand",),
    "image": (
        *("test_node", "test_races", "test_restarts", "test_data", "test_ownership", "test_expand"),
        *("test_snapshots", "test_modify", "test_groups", "test_leaks"),
    ),
    "attach": ("test_attach", "test_lists", "test_identity", "test_ownership", "test_snapshot_metadata"),
}
AND_OF_THE_FORM = {
    "attach": ("idempotent", "a_life", "in_use", "survives", "one_snapshot"),
    "xfs": ("asked_for", "again", "clone"),
}


@pytest.fixture(scope="session")
def driver_at() -> Iterator[Callable[[str], DriverProcess]]:
    """A process for each form that is asked for, killed at the end; then nothing of it may be left."""
    made: dict[str, DriverProcess] = {}

    def driver(form: str) -> DriverProcess:
        if form not in made:
            made[form] = DriverProcess(Path(tempfile.mkdtemp(prefix="csid-")), *(ATTACH if form == "attach" else ()))
            asyncio.run(made[form].start())
        return made[form]

    yield driver
    assert [each for process in made.values() for each in process.clear()] == []


@pytest.fixture(params=FORMS)
def csi_implementation(request: pytest.FixtureRequest, driver_at: Callable[[str], DriverProcess]) -> Implementation:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if request.param in ("image", "ext4", "xfs") and not loop.available():
        cannot_be_tested("CSI volumes on loop devices: there are none here")
    return driver_at("attach" if request.param == "attach" else "plain").implementation(**FORMS[request.param])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _is_known(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _is_known(item: pytest.Item) -> bool:
    """Whether a case would meet again what another form's has met."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    form = item.callspec.params.get("csi_implementation")
    if form == "directory":  # what a restart loses is another matter with devices, which are met there
        return item.function.__module__.endswith(".test_restarts")
    if form not in OF_THE_FORM or item.function.__module__.rpartition(".")[2] in OF_THE_FORM[form]:
        return False
    return not any(word in item.name for word in AND_OF_THE_FORM.get(form, ()))
