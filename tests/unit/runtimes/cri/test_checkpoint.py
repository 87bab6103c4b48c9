"""CheckpointContainer of a peer: as it is asked for, for as long as it takes, and of a peer that has none."""

from pathlib import Path
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes import deadlines, errors
from runtimes.cri.factory import cri_runtime


async def test_the_peer_makes_it(tmp_path: Path, peer: Any) -> None:
    """The request goes there as it is, with the time that it asks for and no less than any verb has."""
    seen: list[tuple[Any, float]] = []

    async def answer(request: Any, context: Any) -> Any:
        seen.append((request, context.time_remaining()))
        return cri.CheckpointContainerResponse()

    requests = [
        cri.CheckpointContainerRequest(container_id="c", location="/a.tar", timeout=seconds) for seconds in (1, 1000)
    ]
    async with peer(tmp_path / "s", {"CheckpointContainer": answer}):
        made = cri_runtime("crio", {"endpoint": f"unix://{tmp_path / 's'}"})
        for request in requests:
            await made.service.checkpoint_container(request)
        await made.lifecycle.stop()
    assert [request for request, _ in seen] == requests
    assert 1 < seen[0][1] < deadlines.DEFAULT_SECONDS * 2 < seen[1][1]


async def test_a_peer_that_has_none(tmp_path: Path, peer: Any) -> None:
    """NotSupported, as of any verb that an older peer has not."""
    async with peer(tmp_path / "s", {}):
        made = cri_runtime("containerd", {"endpoint": f"unix://{tmp_path / 's'}"})
        with pytest.raises(errors.NotSupported):
            await made.service.checkpoint_container(cri.CheckpointContainerRequest(container_id="c"))
        await made.lifecycle.stop()
