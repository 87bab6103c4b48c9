"""Random well-typed JSON for the API's types, for hypothesis."""

from typing import Any

from hypothesis import strategies as st

from nodeagent.apitypes.schema import ListOf, MapOf, Scalar, Struct, Type

_KEYS = st.sampled_from(["cpu", "memory", "a", "x.io/a", "hugepages-2Mi", "storage", "-"])
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(
        ["", "a", "a", "b", "A/../b", "Always", "None", "TCP", "Exists", "1Gi", "metadata.name", "10.0.0.1", "x" * 300]
    ),
    "bool": st.booleans(),
    "int32": st.sampled_from([-1, 0, 1, 80, 70000, 2**31 - 1]),
    "int64": st.sampled_from([-1, 0, 1, 80, 70000, 2**31 - 1]),
    "int-or-string": st.sampled_from([0, 80, -1, "", "http"]),
    "quantity": st.sampled_from(["0", "1", "-1", "1.5", "100m", "1024Mi", "1e3", 0, 2]),
    "time": st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+02:00", "0001-01-01T00:00:00Z"]),
    "micro-time": st.just("2026-01-02T03:04:05.000001Z"),
    "bytes": st.sampled_from(["", "YQ==", "YWI=\n", "YWJj"]),
    "json": st.sampled_from([{}, {"f:metadata": {"f:labels": {}}}, "x"]),
}
CHANCES = (9, 9, 5, 3, 2, 2, 0)
"""Out of ten, how often a field is there, by depth."""


@st.composite
def values(draw: Any, kind: Type, depth: int = 0) -> Any:
    """A random value of a type; deeper structures are sparser."""
    match kind:
        case Scalar():
            return draw(_SCALARS[kind.name])
        case ListOf():
            return [draw(values(kind.item, depth)) for _ in range(draw(st.integers(0, 2)))]
        case MapOf():
            keys = draw(st.lists(_KEYS, max_size=2, unique=True))
            return {key: draw(values(kind.item, depth)) for key in keys}
        case Struct():
            chance = CHANCES[min(depth, len(CHANCES) - 1)]
            there = [field for field in kind.fields.values() if draw(st.integers(0, 9)) < chance]
            return {field.name: draw(values(field.type, depth + 1)) for field in there}
