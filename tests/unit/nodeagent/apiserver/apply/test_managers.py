"""The entries of managedFields: read, written, ordered, bounded."""

from typing import Any

import pytest

from nodeagent.apiserver.apply.managers import (
    BadEntries,
    Manager,
    Owned,
    applier,
    capped,
    decode,
    encode,
    invalid_entries,
    is_reset,
    same_but_times,
    updater,
)


def entry(manager: str, operation: str = "Update", time: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}}},
        **more,
    }


def test_round_trip_in_order() -> None:
    """Applies come before updates, then the older, then by name; keys are as the API writes them."""
    stored = [
        entry("z", "Apply"),
        entry("a", "Apply", "2026-01-02T00:00:00Z"),
        entry("b"),
        entry("c"),
        entry("c", subresource="status"),
        entry("a", time="2026-01-02T00:00:00Z"),
    ]
    assert encode(decode(reversed(stored))) == stored
    assert list(encode(decode([entry("c", subresource="status")]))[0]) == [
        "manager",
        "operation",
        "apiVersion",
        "time",
        "fieldsType",
        "fieldsV1",
        "subresource",
    ]


def test_an_apply_has_one_entry_whatever_its_version() -> None:
    """An update has one a version."""
    versions = [entry("m", "Apply"), entry("m", "Apply", apiVersion="v2"), entry("m"), entry("m", apiVersion="v2")]
    assert list(decode(versions)) == [applier("m", ""), updater("m", "v1", ""), updater("m", "v2", "")]


@pytest.mark.parametrize(
    "bad",
    [
        {"operation": "Patch"},
        {"operation": None},
        {"apiVersion": ""},
        {"fieldsType": ""},
        {"fieldsType": "FieldsV2"},
        {"fieldsV1": {"data": {}}},
        {"fieldsV1": {"f:a": 1}},
    ],
)
def test_bad_entries(bad: dict[str, Any]) -> None:
    """What no server wrote is refused as a whole."""
    with pytest.raises(BadEntries):
        decode([entry("ok"), entry("m") | bad])


def test_what_a_client_may_not_call_itself() -> None:
    """Names have a length and can be printed; so have subresources a length."""
    errors = invalid_entries([entry("x" * 129), entry("a\nb"), entry("ok", subresource="s" * 257), entry("ok")])
    assert [str(error) for error in errors] == [
        "metadata.managedFields[0].manager: Too long: may not be more than 128 bytes",
        'metadata.managedFields[1].manager: Invalid value: "a\\nb": should only contain printable characters',
        "metadata.managedFields[2].subresource: Too long: may not be more than 256 bytes",
    ]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [(None, False), ([], True), ([{}], True), ([{"manager": ""}], True), ([entry("m")], False), ([{}, {}], False)],
)
def test_reset(entries: Any, expected: bool) -> None:
    """An empty list, or one with one empty entry, asks for the owners to be forgotten; no list does not."""
    assert is_reset(entries) is expected


def test_same_but_times() -> None:
    """A new time alone is no change."""
    one = [entry("a"), entry("b")]
    assert same_but_times(one, [entry("a", time="2030-01-01T00:00:00Z"), entry("b")])
    assert same_but_times(None, [])
    assert not same_but_times(one, one[:1])
    assert not same_but_times(one, [entry("a"), entry("c")])


def test_names_in_messages() -> None:
    """An update is named with its version, both with their subresource."""
    assert [m.shown for m in (updater("a", "v1", "status"), updater("", "v1", ""), applier('q"', ""))] == [
        '"a" with subresource "status" using v1',
        '"unknown" using v1',
        '"q\\""',
    ]


def test_old_updates_become_ancient_changes() -> None:
    """Ten entries of updates are kept, applies not counted; the oldest of a version go together, with the newest time."""
    owners = {applier("x", ""): owned("z", 0)} | {updater(f"m{n:02}", "v1", ""): owned(f"f{n}", n) for n in range(12)}
    result = capped(owners)
    assert list(result) == [applier("x", ""), *(updater(f"m{n:02}", "v1", "") for n in range(3, 12)), ancient("v1")]
    assert result[ancient("v1")] == Owned(
        fields={"f:f0": {}, "f:f1": {}, "f:f2": {}}, version="v1", time="2026-01-01T00:00:02Z"
    )
    again = capped(result | {updater("new", "v1", ""): owned("n", 20)})
    assert len(again) == 11
    assert set(again[ancient("v1")].fields) == {"f:f0", "f:f1", "f:f2", "f:f3"}


def test_ancient_changes_by_version() -> None:
    """Entries of two versions are never one."""
    owners = {updater(f"m{n}", f"v{n % 2}", ""): owned(f"f{n}", n, f"v{n % 2}") for n in range(11)}
    result = capped(owners)
    assert len(result) == 10
    assert set(result[ancient("v0")].fields) == {"f:f0", "f:f2"}


def owned(field: str, second: int, version: str = "v1") -> Owned:
    return Owned(fields={f"f:{field}": {}}, version=version, time=f"2026-01-01T00:00:{second:02}Z")


def ancient(version: str) -> Manager:
    return updater("ancient-changes", version, "")
