"""The checkpoint of claims, in a kubelet's form. docs/facts/node-resources.md 12.3."""

import json
import zlib
from pathlib import Path

import pytest

from nodeagent.resources.checkpoint import BadState
from nodeagent.resources.dra.state import ClaimRecord, ClaimState, DriverPart, PreparedDevice

DEVICE = PreparedDevice(pool="p", name="d", requests=["r/sub"], cdi_ids=["v/c=1"])


async def test_written_as_a_kubelet_does(tmp_path: Path) -> None:
    """Kind, version, names of fields and checksum; and read again."""
    state = ClaimState(tmp_path)
    part = DriverPart(devices=[DEVICE])
    record = ClaimRecord(uid="u", name="n", namespace="ns", pods={"pod": {}}, drivers={"x.org": part})
    state.add(record)
    await state.save()
    file = json.loads((tmp_path / "dra_manager_state").read_bytes())
    assert file["Checksum"] == zlib.crc32(file["Data"].encode())
    device = {"PoolName": "p", "DeviceName": "d", "RequestNames": ["r/sub"], "CDIDeviceIDs": ["v/c=1"]}
    assert json.loads(file["Data"]) == {
        "kind": "DRACheckpoint",
        "apiVersion": "checkpoint.dra.kubelet.k8s.io/v1",
        "ClaimInfoStateList": [
            {
                "ClaimUID": "u",
                "ClaimName": "n",
                "Namespace": "ns",
                "PodUIDs": {"pod": {}},
                "DriverState": {"x.org": {"Devices": [device]}},
            }
        ],
    }
    again = ClaimState(tmp_path)
    again.load()
    assert again.all() == (record,)


WHOLE = '{\\"kind\\":\\"DRACheckpoint\\",\\"apiVersion\\":\\"checkpoint.dra.kubelet.k8s.io/v1\\"}'


@pytest.mark.parametrize(
    "text",
    [
        f'{{"Data":"{WHOLE}","Checksum":1}}',
        "",
        "{}",
        '{"Data":"{}","Checksum":1}',
        '{"Data":"[]","Checksum":223132457}',
    ],
)
def test_a_corrupt_file(tmp_path: Path, text: str) -> None:
    """It is said which, and how to go on."""
    (tmp_path / "dra_manager_state").write_text(text)
    with pytest.raises(BadState, match=r'drain this node and delete the state file ".*/dra_manager_state"'):
        ClaimState(tmp_path).load()


@pytest.mark.parametrize(("request_", "serves"), [("", True), ("r", True), ("other", False)])
def test_which_request_a_device_is_for(request_: str, serves: bool) -> None:
    """All of the claim, its own, its alternative's; one that names none is for all."""
    assert DEVICE.serves(request_) is serves
    assert PreparedDevice(pool="p", name="d").serves(request_)
