"""Label and field selectors, parsed once and asked of every object."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.storage.stored import Stored
from runtimes.kube import label_selectors
from runtimes.kube.selectors import holds


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector. `operator`: as in the API's types, In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return holds(self.operator, self.values, labels.get(self.key))


_OPERATORS = {"notin": "NotIn", "!=": "NotIn", "exists": "Exists", "!": "DoesNotExist", "<": "Lt", ">": "Gt"}


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """A label selector as requirements that must all hold. Raises `ApiError` 400."""
    try:
        found = label_selectors.terms(text)
    except label_selectors.SelectorError as error:
        raise ApiError.bad_request(str(error)) from error
    return tuple(Requirement(term.key, _OPERATORS.get(term.operator, "In"), frozenset(term.values)) for term in found)


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """`field=value` or `field!=value`."""

    field: str
    value: str
    equal: bool


def parse_fields(
    text: str, selectable: Collection[str], aliases: Mapping[str, str] | None = None
) -> tuple[FieldTerm, ...]:
    """A field selector; every field must be one of `selectable`. Raises `ApiError` 400."""
    terms = []
    for term in _split_escaped(text):
        if not term:
            continue
        found = re.match(r"((?:[^=!\\]|\\.)*?)(!=|==|=)(.*)$", term, re.DOTALL)
        if found is None:
            raise ApiError.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        field, sign, value = found.groups()
        if field in (aliases or {}):
            field = (aliases or {})[field]
        elif field not in selectable:
            raise ApiError.bad_request(f"field label not supported: {field}")
        terms.append(FieldTerm(field, re.sub(r"\\(.)", r"\1", value), sign != "!="))
    return tuple(terms)


def _split_escaped(text: str) -> list[str]:
    return re.findall(r"(?:[^,\\]|\\.)+", text, re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a list or a watch asks for: a namespace ("" = all), labels and fields."""

    namespace: str = ""
    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    def matches(self, stored: Stored) -> bool:
        if self.namespace and stored.key.namespace != self.namespace:
            return False
        values = stored.index.fields
        for term in self.fields:
            if (values.get(term.field, "") == term.value) != term.equal:
                return False
        labels = stored.index.labels
        return all(requirement.matches(labels) for requirement in self.labels)

    @property
    def single_name(self) -> str:
        """The name when the selection can only hold that one; "" otherwise."""
        return self.required("metadata.name")

    def required(self, field: str) -> str:
        """The value that `field` must have; "" when there is none."""
        return next((term.value for term in self.fields if term.field == field and term.equal), "")

    @property
    def is_filter(self) -> bool:
        return bool(self.labels or self.fields)
