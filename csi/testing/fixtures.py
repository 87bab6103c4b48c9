"""What the cases are given: `csi_implementation` (plugin.py), asked what it can, with a directory of the case's own."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from csi import errors
from csi.client import Client
from csi.testing.implementation import Implementation
from csi.testing.levels import case_id
from csi.testing.patient import PatientEndpoint
from csi.testing.plugin import CALLS
from csi.testing.subject import Claim, Subject
from csi.values import PluginCapability
from runtimes.linux.mounts import MountError
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import to_the_end

__all__ = ["driver"]


@pytest_asyncio.fixture
async def driver(request: pytest.FixtureRequest, csi_implementation: Implementation) -> AsyncIterator[Subject]:
    """The driver; afterwards nothing of the case may be left, neither mounted nor made."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if reason := csi_implementation.exceptions.get(case_id(request.function.__name__)):
        pytest.skip(f"excepted: {reason}")
    calls: list[str] = []
    request.node.stash[CALLS] = calls
    directory = Path(tempfile.mkdtemp(prefix="csi-", dir=csi_implementation.directory)).resolve()
    try:
        subject = await _met(csi_implementation, directory, calls)
        yield subject
        assert await to_the_end(subject.clean_up()) == []
    finally:
        with contextlib.suppress(MountError):  # told above
            remove_tree(directory)


async def _met(implementation: Implementation, directory: Path, calls: list[str]) -> Subject:
    at_node = Client(PatientEndpoint(implementation.endpoint, implementation, calls))
    address = implementation.controller_endpoint or implementation.endpoint
    at_controller = Client(PatientEndpoint(address, implementation, calls))
    claims: set[Claim] = set(await at_controller.identity.capabilities())
    if PluginCapability.CONTROLLER_SERVICE in claims and not implementation.node_only:
        with contextlib.suppress(errors.NotSupported):
            claims |= await at_controller.controller.capabilities()
        if PluginCapability.GROUP_CONTROLLER_SERVICE in claims:
            claims |= await at_controller.group_controller.capabilities()
    claims |= await at_node.node.capabilities()
    return Subject(
        implementation=implementation,
        identity=at_node.identity,
        node=at_node.node,
        controller=at_controller.controller,
        group_controller=at_controller.group_controller,
        snapshot_metadata=at_controller.snapshot_metadata,
        claims=frozenset(claims),
        info=await at_node.node.info(),
        directory=directory,
    )
