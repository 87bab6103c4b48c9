"""The record of what is attached."""

import base64
import json
from pathlib import Path

import pytest

from cni.cache import CachedAttachment, ResultCache

RECORD = CachedAttachment(
    network="net",
    container_id="c1",
    ifname="eth0",
    netns="/run/netns/x",
    config=b'{"name": "net"}',
    args=(("IgnoreUnknown", "1"), ("K8S_POD_NAME", "p")),
    capabilities={"portMappings": []},
    result={"cniVersion": "1.0.0"},
)


def test_the_file_is_that_of_the_reference_library(tmp_path: Path) -> None:
    """Name, keys and modes are those that other tools look for."""
    ResultCache(tmp_path / "cni").write(RECORD)
    path = tmp_path / "cni/results/net-c1-eth0"
    assert json.loads(path.read_text()) == {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": base64.b64encode(RECORD.config).decode(),
        "ifName": "eth0",
        "networkName": "net",
        "netns": "/run/netns/x",
        "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAME", "p"]],
        "capabilityArgs": {"portMappings": []},
        "result": {"cniVersion": "1.0.0"},
    }
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [entry.name for entry in path.parent.iterdir()] == ["net-c1-eth0"]


def test_write_read_delete(tmp_path: Path) -> None:
    """What was written is read again until it is deleted; deleting twice is fine."""
    cache = ResultCache(tmp_path)
    assert cache.read("net", "c1", "eth0") is None
    cache.write(RECORD)
    assert cache.read("net", "c1", "eth0") == RECORD
    cache.delete("net", "c1", "eth0")
    cache.delete("net", "c1", "eth0")
    assert cache.read("net", "c1", "eth0") is None


def test_a_folder_in_place_of_a_record(tmp_path: Path) -> None:
    """It is no record, and is gone once the attachment is."""
    cache = ResultCache(tmp_path)
    (tmp_path / "results" / "net-c1-eth0" / "x").mkdir(parents=True)
    assert cache.read("net", "c1", "eth0") is None
    cache.delete("net", "c1", "eth0")
    assert list((tmp_path / "results").iterdir()) == []


def test_listing_goes_by_content(tmp_path: Path) -> None:
    """Names may contain the separator: `a` and `a-b` are two networks, `c1` and `c1-x` two containers."""
    cache = ResultCache(tmp_path)
    assert list(cache.of_network("net")) == []
    found = {}
    for network, container in (("a", "c1"), ("a-b", "c1"), ("a", "x-c1"), ("a", "c1-x")):
        record = CachedAttachment(
            network=network,
            container_id=container,
            ifname="eth0",
            netns="",
            config=b"",
            args=(),
            capabilities={},
            result={},
        )
        found[network, container] = record
        cache.write(record)
    assert {item.container_id for item in cache.of_network("a")} == {"c1", "x-c1", "c1-x"}
    assert list(cache.of_network("a-b")) == [found["a-b", "c1"]]
    assert {item.network for item in cache.of_container("c1")} == {"a", "a-b"}
    assert cache.read("a", "b-c1", "eth0") is None, "the file of that name is another attachment's"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"kind": "other"}', '{"kind": "cniCacheV1"}', '{"ips": []}', "[" * 100_000]
)
def test_a_foreign_or_broken_file_is_no_record(tmp_path: Path, content: str) -> None:
    """It must not keep a DEL from running."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "net-c1-eth0").write_text(content)
    assert ResultCache(tmp_path).read("net", "c1", "eth0") is None
    assert list(ResultCache(tmp_path).of_network("net")) == []


def test_a_record_of_another_kind_is_not_ours(tmp_path: Path) -> None:
    """Whatever else it says."""
    cache = ResultCache(tmp_path)
    cache.write(RECORD)
    path = tmp_path / "results/net-c1-eth0"
    path.write_text(path.read_text().replace("cniCacheV1", "cniCacheV9"))
    assert cache.read("net", "c1", "eth0") is None


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """Neither half a file nor a temporary one."""
    unwritable = CachedAttachment(
        network="net",
        container_id="c1",
        ifname="eth0",
        netns="",
        config=b"",
        args=(),
        capabilities={"x": object()},
        result={},
    )
    with pytest.raises(TypeError):
        ResultCache(tmp_path).write(unwritable)
    assert list((tmp_path / "results").iterdir()) == []
