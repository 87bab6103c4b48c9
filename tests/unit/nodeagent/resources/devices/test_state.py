"""nodeagent.resources.devices.state: a kubelet's file."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from nodeagent.resources.checkpoint import BadState
from nodeagent.resources.devices.state import DeviceState
from proto import deviceplugin_pb2 as api

# as kubelets have written them, with their checksums
EMPTY = {
    "Data": {
        "PodDeviceEntries": None,
        "RegisteredDevices": {"nvidia.com/gpu": ["GPU-0650a168-e770-3ea8-8ac3-8a1d419763e0"]},
    },
    "Checksum": 3952659280,
}
ONE = {
    "Data": {
        "PodDeviceEntries": [
            {
                "PodUID": "bf52b2cd-b611-4e79-86b1-280b283185c3",
                "ContainerName": "check",
                "ResourceName": "nvidia.com/gpu",
                "DeviceIDs": {"-1": ["tegra"]},
                "AllocResp": "Ch8KFk5WSURJQV9WSVNJQkxFX0RFVklDRVMSBXRlZ3Jh",
            }
        ],
        "RegisteredDevices": {"nvidia.com/gpu": ["tegra"]},
    },
    "Checksum": 3660592824,
}


def written(folder: Path, content: Any) -> DeviceState:
    (folder / "kubelet_internal_checkpoint").write_text(json.dumps(content))
    return DeviceState(folder)


@pytest.mark.parametrize("content", [EMPTY, ONE])
def test_a_kubelets_file_is_read(tmp_path: Path, content: Any) -> None:
    """Its checksum is the one that is reckoned here."""
    state = written(tmp_path, content)
    state.load()
    assert state.registered == content["Data"]["RegisteredDevices"]


def test_what_a_container_has(tmp_path: Path) -> None:
    """Devices, and the plugin's answer."""
    state = written(tmp_path, ONE)
    state.load()
    (held,) = state.of("bf52b2cd-b611-4e79-86b1-280b283185c3", "check")
    assert (held.resource, held.ids) == ("nvidia.com/gpu", {"tegra"})
    assert dict(api.ContainerAllocateResponse.FromString(held.answer).envs) == {"NVIDIA_VISIBLE_DEVICES": "tegra"}
    assert state.used("nvidia.com/gpu") == {"tegra"}


async def test_an_agent_before(tmp_path: Path) -> None:
    """Where there is no file none has counted devices here."""
    first = DeviceState(tmp_path)
    first.load()
    first.set_registered("x.org/d", ["a"])
    await first.save()
    second = DeviceState(tmp_path)
    second.load()
    assert (first.is_new, second.is_new) == (True, False)


async def test_it_writes_what_a_kubelet_would(tmp_path: Path) -> None:
    """The same content, checksum and all."""
    state = DeviceState(tmp_path)
    state.load()
    state.set_registered("nvidia.com/gpu", ["tegra"])
    answer = base64.b64decode("Ch8KFk5WSURJQV9WSVNJQkxFX0RFVklDRVMSBXRlZ3Jh")
    state.add("bf52b2cd-b611-4e79-86b1-280b283185c3", "check", "nvidia.com/gpu", {"-1": ["tegra"]}, answer)
    await state.save()
    assert json.loads(state.path.read_bytes()) == ONE
    state.remove("bf52b2cd-b611-4e79-86b1-280b283185c3")
    assert (state.uids(), state.used("nvidia.com/gpu")) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    "content",
    [
        {**EMPTY, "Checksum": 1},
        {"Data": {**ONE["Data"], "RegisteredDevices": {}}, "Checksum": 3660592824},  # type: ignore[dict-item]
        {"Data": {}},
        [],
    ],
)
def test_a_corrupt_file(tmp_path: Path, content: Any) -> None:
    """Named, with the way out."""
    with pytest.raises(BadState, match=r"checkpoint is corrupted.*delete the state file"):
        written(tmp_path, content).load()
