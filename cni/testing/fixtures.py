"""What the checks are given: `network_implementation` (plugin.py), on a host of its own for each."""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from cni.testing import journal
from cni.testing.host import fresh_host
from cni.testing.implementation import Implementation
from cni.testing.levels import check_id
from cni.testing.subject import Subject, kept_by

__all__ = ["network"]

# name and configuration of an implementation -> what it keeps on a host without pods
_KEPT = pytest.StashKey[dict[str, frozenset[str]]]()


@pytest_asyncio.fixture
async def network(request: pytest.FixtureRequest, network_implementation: Implementation) -> AsyncIterator[Subject]:
    """The implementation on a fresh host; afterwards nothing of the check's pods may be left there."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if reason := network_implementation.exceptions.get(check_id(request.function.__name__)):
        pytest.skip(f"excepted: {reason}")
    kept = request.config.stash.setdefault(_KEPT, {})
    name = f"{network_implementation.name} {json.dumps(network_implementation.document)}"
    if name not in kept:
        with on_fresh_host(network_implementation) as first:
            kept[name] = await kept_by(first)
    with on_fresh_host(network_implementation) as subject:
        subject.kept = kept[name]
        yield subject
        await subject.close()


@contextlib.contextmanager
def on_fresh_host(implementation: Implementation) -> Iterator[Subject]:
    """Move the event loop's thread to a host of its own for the block. Everything that is made goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="natest-cni-"))
    loop = asyncio.get_running_loop()
    journal.begin(folder)
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder)
        # threads are where their maker is, and idle ones may be from elsewhere
        undo.callback(lambda: loop.set_default_executor(concurrent.futures.ThreadPoolExecutor()))
        host = undo.enter_context(fresh_host(folder))
        own = concurrent.futures.ThreadPoolExecutor()
        loop.set_default_executor(own)
        undo.callback(own.shutdown)
        subject = Subject(
            implementation=implementation,
            host=host,
            folder=folder,
            document=implementation.document_in(folder),
            memory=folder / "memory",
        )
        undo.callback(subject.remove_namespaces)
        yield subject
