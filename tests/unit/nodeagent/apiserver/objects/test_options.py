"""The knobs of write requests."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import DeleteOptions, WriteOptions, delete_options, write_options


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, WriteOptions()),
        ({"dryRun": ["All"]}, WriteOptions(dry_run=True)),
        ({"dryRun": [""]}, WriteOptions()),
        (
            {"fieldValidation": ["Strict"], "fieldManager": ["kubectl"]},
            WriteOptions(field_validation="Strict", field_manager="kubectl"),
        ),
    ],
)
def test_write_options(query: Any, expected: WriteOptions) -> None:
    """The query of a write, with its defaults."""
    assert write_options(query) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"dryRun": ["foo"]},
            'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["foo"]: supported values: "All"',
        ),
        (
            {"fieldValidation": ["foo"]},
            'DeleteOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "foo": supported values: '
            '"Ignore", "Strict", "Warn"',
        ),
        (
            {"fieldManager": ["x" * 129]},
            'DeleteOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
        ),
    ],
)
def test_bad_write_options(query: Any, message: str) -> None:
    """What is not known is 422 with the words that clients know."""
    with pytest.raises(ApiError) as caught:
        write_options(query, "DeleteOptions")
    assert (caught.value.code, caught.value.message) == (422, message)


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ({}, {}, DeleteOptions()),
        ({"gracePeriodSeconds": ["3"]}, {}, DeleteOptions(grace_period_seconds=3)),
        ({"gracePeriodSeconds": ["3"]}, {"gracePeriodSeconds": 0}, DeleteOptions(grace_period_seconds=0)),
        ({"orphanDependents": ["true"]}, {}, DeleteOptions(propagation="Orphan")),
        ({}, {"orphanDependents": False}, DeleteOptions(propagation="Background")),
        ({}, {"propagationPolicy": "Foreground"}, DeleteOptions(propagation="Foreground")),
        (
            {},
            {"preconditions": {"uid": "u", "resourceVersion": "7"}, "dryRun": ["All"]},
            DeleteOptions(uid="u", revision="7", dry_run=True),
        ),
    ],
)
def test_delete_options(query: Any, body: Any, expected: DeleteOptions) -> None:
    """The body's options, and the older query form."""
    assert delete_options(query, body) == expected


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({}, {"propagationPolicy": "Foo"}),
        ({}, {"propagationPolicy": "Orphan", "orphanDependents": True}),
        ({"gracePeriodSeconds": ["x"]}, {}),
        ({}, {"gracePeriodSeconds": "5"}),
    ],
)
def test_bad_delete_options(query: Any, body: Any) -> None:
    """Contradictions and nonsense are refused."""
    with pytest.raises(ApiError) as caught:
        delete_options(query, body)
    assert caught.value.code in (400, 422)
