"""nodeagent.pods.user_namespaces and id_pool: ranges of host ids for pods. docs/facts/pod-lifecycle.md 11.6."""

import json
from pathlib import Path
from typing import Any

import pytest

from nodeagent.pods import id_pool
from nodeagent.pods.id_pool import InvalidPool, find_pool, parse
from nodeagent.pods.user_namespaces import UNSUPPORTED, IdPool, IdRange, UserNamespaceError, UserNamespaces
from nodeagent.podspec.pod import PodUID
from proto import cri_pb2 as cri

SIZE = 65536


def make(root: Path, pool: IdPool | None = None, *, supported: bool = True) -> UserNamespaces:
    return UserNamespaces(root, pool or IdPool(), lambda pod: supported)


def own(kit: Any, uid: str, **spec: Any) -> Any:
    return kit.pod(meta={"uid": uid}, **{"hostUsers": False, **spec})


def test_a_pod_has_one_mapping_for_users_and_groups(kit: Any, tmp_path: Path) -> None:
    """The default pool begins at 65536; the file is in the kubelet's form; asking again changes nothing."""
    namespaces = make(tmp_path)
    entry = cri.IDMapping(host_id=SIZE, container_id=0, length=SIZE)
    expected = cri.UserNamespace(mode=cri.POD, uids=[entry], gids=[entry])
    assert namespaces.of(own(kit, "a")) == expected
    assert namespaces.of(own(kit, "a")) == expected
    written = {"hostId": SIZE, "containerId": 0, "length": SIZE}
    assert json.loads((tmp_path / "pods/a/userns").read_text()) == {"uidMappings": [written], "gidMappings": [written]}


@pytest.mark.parametrize("host_users", [None, True])
def test_pods_with_the_hosts_users_have_none(kit: Any, tmp_path: Path, host_users: bool | None) -> None:
    """hostUsers nil or true."""
    assert make(tmp_path, supported=False).of(own(kit, "a", hostUsers=host_users)) is None
    assert not (tmp_path / "pods").exists()


def test_a_runtime_that_cannot(kit: Any, tmp_path: Path) -> None:
    """The words, and nothing given away."""
    namespaces = make(tmp_path, supported=False)
    with pytest.raises(UserNamespaceError) as caught:
        namespaces.of(own(kit, "a"))
    assert str(caught.value) == UNSUPPORTED
    assert UNSUPPORTED == "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
    assert namespaces.ranges == {}


def test_ranges_are_distinct_and_used_again(kit: Any, tmp_path: Path) -> None:
    """The lowest free one; a full pool says so; what was released is free."""
    namespaces = make(tmp_path, IdPool(first=SIZE, length=3 * SIZE))
    for uid in "abc":
        namespaces.of(own(kit, uid))
    assert {uid: item.first for uid, item in namespaces.ranges.items()} == {"a": SIZE, "b": 2 * SIZE, "c": 3 * SIZE}
    with pytest.raises(UserNamespaceError, match="could not find an empty slot"):
        namespaces.of(own(kit, "d"))
    namespaces.release(PodUID("b"))
    namespaces.release(PodUID("b"))
    assert not (tmp_path / "pods/b/userns").exists()
    namespaces.of(own(kit, "d"))
    assert namespaces.ranges["d"] == IdRange(2 * SIZE, SIZE)


def test_ranges_survive_the_agent(kit: Any, tmp_path: Path) -> None:
    """15.2: a running pod keeps its range, even when the configuration has changed, and nobody else gets one of its ids."""
    first = make(tmp_path)
    first.of(own(kit, "a"))
    first.of(own(kit, "b"))
    first.release(PodUID("a"))
    second = make(tmp_path, IdPool.whole(2 * SIZE))
    assert second.ranges == {"b": IdRange(2 * SIZE, SIZE)}
    mapping = second.of(own(kit, "b"))
    assert mapping is not None
    assert (mapping.uids[0].host_id, mapping.uids[0].length) == (2 * SIZE, SIZE)
    second.of(own(kit, "c"))
    assert second.ranges["c"] == IdRange(4 * SIZE, 2 * SIZE)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"uidMappings":[],"gidMappings":[]}',
        '{"uidMappings":[{"hostId":65536,"containerId":0,"length":65536}],"gidMappings":[]}',
        '{"uidMappings":[{"hostId":0,"containerId":0,"length":1}],"gidMappings":[{"hostId":0,"containerId":0,"length":1}]}',
    ],
)
def test_a_file_that_cannot_be_read_gives_no_range(kit: Any, tmp_path: Path, content: str) -> None:
    """Its pod is told, and others are not hurt; its end removes the file."""
    path = tmp_path / "pods/a/userns"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    namespaces = make(tmp_path)
    assert namespaces.ranges == {}
    with pytest.raises(UserNamespaceError, match="cannot be read"):
        namespaces.of(own(kit, "a"))
    assert namespaces.of(own(kit, "b")) is not None
    namespaces.release(PodUID("a"))
    assert namespaces.of(own(kit, "a")) is not None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"per_pod": 1000}, "multiple of 65536"),
        ({"first": 100_000}, "kubelet user assigned ID 100000 is not a multiple of 65536"),
        ({"first": 0}, "kubelet user assigned ID 0 must be greater or equal to 65536"),
        ({"length": 70_000}, "kubelet user assigned IDs length 70000 is not a multiple of 65536"),
    ],
)
def test_bad_pools(fields: Any, message: str) -> None:
    """Never a range that begins at 0, always whole ranges."""
    with pytest.raises(ValueError, match=message):
        IdPool(**fields)


def test_the_whole_pool() -> None:
    """All of the 32-bit ids but the first range; with longer ranges as many as are whole."""
    assert (IdPool().pods, IdPool.whole()) == (65535, IdPool())
    assert IdPool.whole(2 * SIZE) == IdPool(first=2 * SIZE, length=(1 << 32) - 2 * SIZE, per_pod=2 * SIZE)
    assert [item.first for item in IdPool(length=2 * SIZE)] == [SIZE, 2 * SIZE]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0: kubelet 65536 7208960\n", (65536, 7208960)),
        ("", None),
        ("0: kubelet 1 2\n1: kubelet 3 4", None),
        ("x", None),
    ],
)
def test_what_getsubids_says(text: str, expected: Any) -> None:
    """One line with one range."""
    if expected is not None:
        assert parse(text) == expected
        return
    with pytest.raises(InvalidPool):
        parse(text)


@pytest.mark.parametrize(
    ("user", "script", "expected"),
    [
        (False, None, IdPool()),
        (True, None, IdPool()),
        (True, "echo 0: kubelet 131072 7208960", IdPool(first=131072, length=7208960)),
        (True, 'test "$1" = -g || echo 0: kubelet 65536 7208960', "mismatched subuids and subgids"),
        (True, "echo 0: kubelet 65536 65536", "not enough to support 110 pods"),
        (True, "echo 0: kubelet 1 65536", "is not a multiple of 65536"),
        (True, "echo none >&2; exit 1", "error retrieving additional ids"),
    ],
)
async def test_the_machines_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: bool, script: str | None, expected: Any
) -> None:
    """User kubelet and getsubids: their range; one of them missing: all ids."""
    monkeypatch.setattr(id_pool, "_has_user", lambda: user)
    program = tmp_path / "getsubids"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setattr(id_pool.shutil, "which", lambda name: str(program) if script is not None else None)
    if isinstance(expected, IdPool):
        assert await find_pool(per_pod=SIZE, max_pods=110) == expected
        return
    with pytest.raises(InvalidPool) as caught:
        await find_pool(per_pod=SIZE, max_pods=110)
    assert expected in str(caught.value)
