"""The knobs of write requests."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import DeleteOptions, WriteOptions, delete_options, manager_of, write_options


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, WriteOptions()),
        ({"dryRun": ["All"]}, WriteOptions(dry_run=True)),
        (
            {"fieldValidation": ["Strict"], "fieldManager": ["kubectl"]},
            WriteOptions(field_validation="Strict", field_manager="kubectl"),
        ),
        ({"force": ["true"]}, WriteOptions(force=True)),
        ({"force": ["FALSE"]}, WriteOptions()),
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
            {"dryRun": [""]},
            'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: [""]: supported values: "All"',
        ),
        (
            {"dryRun": ["all"], "fieldManager": ["a\nb"]},
            'DeleteOptions.meta.k8s.io "" is invalid: [fieldManager: Invalid value: "a\\nb": should only contain printable '
            'characters, dryRun: Unsupported value: ["all"]: supported values: "All"]',
        ),
        (
            {"fieldValidation": ["foo"]},
            'DeleteOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "foo": supported values: '
            '"", "Ignore", "Strict", "Warn"',
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
    ("query", "body", "code", "message"),
    [
        (
            {},
            {"propagationPolicy": "Foo"},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Foo": supported values: '
            '"Foreground", "Background", "Orphan", "nil"',
        ),
        (
            {},
            {"propagationPolicy": "Orphan", "orphanDependents": True},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": '
            "orphanDependents and deletionPropagation cannot be both set",
        ),
        ({"gracePeriodSeconds": ["x"]}, {}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"gracePeriodSeconds": [""]}, {}, 400, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({}, {"gracePeriodSeconds": "5"}, 400, None),
        ({}, {"gracePeriodSeconds": 1.5}, 400, None),
        ({}, {"preconditions": "u"}, 400, None),
        ({}, {"kind": "Pod", "apiVersion": "v1"}, 400, 'no kind "Pod" is registered for version "v1"'),
        (
            {},
            {"kind": "DeleteOptions", "apiVersion": "policy/v1", "dryRun": ["foo"]},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["foo"]: supported values: "All"',
        ),
    ],
)
def test_bad_delete_options(query: Any, body: Any, code: int, message: str | None) -> None:
    """Contradictions, nonsense and bodies of another kind are refused: 400 what cannot be read, 422 what is not known."""
    with pytest.raises(ApiError) as caught:
        delete_options(query, body)
    assert caught.value.code == code
    assert message is None or caught.value.message == message


@pytest.mark.parametrize(
    ("user_agent", "manager"),
    [
        ("kubectl/v1.32.4 (linux/amd64) kubernetes/59526cd", "kubectl"),
        ("My Client", "My Client"),
        ("", ""),
        ("/v1", ""),
        ("a\tb\x00c/1", "abc"),
        ("x" * 200, "x" * 128),
        ("ü" * 100, "ü" * 64),
    ],
)
def test_a_client_without_a_manager_is_known_by_its_name(user_agent: str, manager: str) -> None:
    """What comes before the first slash, as far as it can be printed and is not too long."""
    assert manager_of(user_agent) == manager
