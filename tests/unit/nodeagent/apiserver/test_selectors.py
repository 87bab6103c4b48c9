"""Label and field selectors."""

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.selectors import Selection, parse_fields, parse_labels
from nodeagent.apiserver.storage.stored import Index, Key, Stored

LABELS = {"app": "web", "tier": "front", "n": "5"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=x", True),
        ("app!=web", False),
        ("app in (db, web)", True),
        ("app in (db)", False),
        ("app notin (db,cache)", True),
        ("missing notin (a)", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("! app", False),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app in (web),tier notin (back),!gone", True),
        ("n>4", True),
        ("n<5", False),
        ("app>1", False),
        ("a.b/c=x", False),
        ("app=", False),
        ("in in (x)", False),
        ("app in (web,)", True),
    ],
)
def test_labels(text: str, expected: bool) -> None:
    """Every operator, and terms that must all hold."""
    assert all(requirement.matches(LABELS) for requirement in parse_labels(text)) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a==(", "unable to parse requirement: found '(', expected: identifier"),
        ("!,a", "unable to parse requirement: found ',', expected: identifier"),
        (
            "n>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("a=$", 'unable to parse requirement: values[0][a]: Invalid value: "$": a valid label must be an empty string'),
        ("-a", 'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric'),
    ],
)
def test_bad_labels(text: str, message: str) -> None:
    """What cannot be read is a 400 that says where it stopped making sense."""
    with pytest.raises(ApiError) as caught:
        parse_labels(text)
    assert caught.value.code == 400
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "values"),
    [("a in ()", {""}), ("a in (,b)", {"", "b"}), ("a in (b,)", {"", "b"}), ("a in (b,,c)", {"", "b", "c"})],
)
def test_empty_values(text: str, values: set[str]) -> None:
    """An empty place in a set is the empty value."""
    (requirement,) = parse_labels(text)
    assert requirement.values == values


def stored(fields: dict[str, str], namespace: str = "d") -> Stored:
    index = Index(labels=LABELS, fields=fields, uid="u", owners=())
    return Stored(resource="pods", key=Key(namespace, "x"), revision=1, data=b"{}", index=index)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("spec.nodeName=n1", True),
        ("spec.host=n1", True),
        ("spec.nodeName!=n1", False),
        ("spec.nodeName==n1,status.phase!=Failed", True),
        ("status.phase=", True),
        ("metadata.name=a\\,b", False),
    ],
)
def test_fields(text: str, expected: bool) -> None:
    """Equality and inequality, aliases, absent fields as empty text, escapes."""
    fields = parse_fields(text, ("metadata.name", "spec.nodeName", "status.phase"), {"spec.host": "spec.nodeName"})
    assert Selection(fields=fields).matches(stored({"spec.nodeName": "n1"})) is expected


def test_escaped_field_value() -> None:
    """A backslash takes the meaning from a comma."""
    (term,) = parse_fields("metadata.name=a\\,b", ("metadata.name",))
    assert term.value == "a,b"


def test_unsupported_field() -> None:
    """A field that cannot be selected by is named in a 400."""
    with pytest.raises(ApiError) as caught:
        parse_fields("spec.foo=1", ("metadata.name",))
    assert (caught.value.code, caught.value.message) == (400, "field label not supported: spec.foo")


def test_namespace() -> None:
    """A selection of a namespace holds nothing of another."""
    assert Selection(namespace="d").matches(stored({}))
    assert not Selection(namespace="e").matches(stored({}))


def test_single_name() -> None:
    """A selection by name says which one; an inequality does not."""
    assert Selection(fields=parse_fields("metadata.name=x", ("metadata.name",))).single_name == "x"
    assert Selection(fields=parse_fields("metadata.name!=x", ("metadata.name",))).single_name == ""
