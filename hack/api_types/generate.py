"""Write nodeagent/apitypes/api_types.json: how the API's types look in JSON.

    hack/generate-api-types DEFINITIONS KUBECTL

DEFINITIONS is `_definitions.json` of the newest release in PyPI's kubernetes-validate (`pip download
kubernetes-validate==1.36.0`): which fields there are, how their lists and maps merge. KUBECTL is a kubectl program, of which Go's
own type descriptors are read: which fields are pointers or have `omitempty`. What neither says (fields newer than the program,
tags that changed, defaults) is in additions.json. Neither input is a dependency of the package. `typed/schema.py` describes
the format and reads it.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from go_types import GoField, GoType, Kind, Program

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "nodeagent/apitypes/api_types.json"
ADDITIONS = json.loads(Path(__file__).with_name("additions.json").read_text(encoding="utf-8"))
SPECIAL = {
    "apimachinery/pkg/api/resource.Quantity": "quantity",
    "apimachinery/pkg/apis/meta/v1.Time": "time",
    "apimachinery/pkg/apis/meta/v1.MicroTime": "micro-time",
    "apimachinery/pkg/apis/meta/v1.FieldsV1": "json",
    "apimachinery/pkg/runtime.RawExtension": "json",
    "apimachinery/pkg/util/intstr.IntOrString": "int-or-string",
}
SCALARS = {
    Kind.BOOL: "bool",
    Kind.INT: "int64",
    Kind.INT32: "int32",
    Kind.INT64: "int64",
    Kind.STRING: "string",
}
# what is never decoded, but described
ANSWERS = ("meta.v1.ListMeta", "meta.v1.Status")
OPTIONS = ("CreateOptions", "DeleteOptions", "PatchOptions", "UpdateOptions")


def main(definitions: Path, kubectl: Path) -> None:
    schemas = {_short(name): schema for name, schema in json.loads(definitions.read_text())["$defs"].items()}
    types = {_id(found): found for found in Program(kubectl).structs() if found.package.startswith("k8s.io/api")}
    kinds = dict(_kinds())
    table: dict[str, list[str]] = {}
    todo = [*kinds.values(), *ANSWERS]
    while todo:
        name = todo.pop()
        if name in table:
            continue
        table[name] = list(_lines(name, schemas.get(name), types.get(name)))
        todo += [
            match
            for line in table[name]
            for match in re.findall(r"\b(?:\w+\.v\w+\.\w+)\b", line.partition(" ")[2].partition(" ")[0])
        ]
    registered = {version: " ".join(sorted(names)) for version, names in sorted(_registered(schemas.values()).items())}
    text = json.dumps({"kinds": kinds, "registered": registered, "types": dict(sorted(table.items()))}, indent=1)
    TARGET.write_text(text + "\n", encoding="ascii")


def _registered(schemas: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Every kind of the API by its group and version."""
    found: dict[str, set[str]] = {}
    for schema in schemas:
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            version = f"{kind['group']}/{kind['version']}".removeprefix("/")
            found.setdefault(version, set()).add(kind["kind"])
    for names in found.values():
        names.update(OPTIONS)
    return found


def _kinds() -> Iterable[tuple[str, str]]:
    """`v1 Pod` -> `core.v1.Pod` for all that is served."""
    sys.path.insert(0, str(ROOT))
    from nodeagent.apiserver.registry.builtin import RESOURCES

    for resource in RESOURCES:
        if resource.measured:  # never decoded
            continue
        yield f"{resource.group_version} {resource.kind}", _type_of(resource.group_version, resource.kind)
        for sub in resource.subresources:
            if sub.own_body:
                version = sub.version or resource.version
                group = resource.group if sub.group is None else sub.group
                group_version = f"{group}/{version}".removeprefix("/")
                yield f"{group_version} {sub.kind}", _type_of(group_version, sub.kind)
    for kind in OPTIONS:
        yield f"v1 {kind}", f"meta.v1.{kind}"


def _type_of(group_version: str, kind: str) -> str:
    """`storage.k8s.io/v1`, `CSINode` -> `storage.v1.CSINode`."""
    group, _, version = group_version.rpartition("/")
    return f"{group.partition('.')[0] or 'core'}.{version}.{kind}"


def _short(definition: str) -> str:
    """`io.k8s.api.core.v1.Pod` -> `core.v1.Pod`."""
    return ".".join(definition.split(".")[-3:])


def _id(found: GoType) -> str:
    """`k8s.io/api/core/v1`, `v1.Pod` -> `core.v1.Pod`."""
    group, version = found.package.split("/")[-2:]
    return f"{group}.{version}.{found.text.rpartition('.')[2]}"


def _lines(name: str, schema: Mapping[str, Any] | None, found: GoType | None) -> Iterable[str]:
    """The entries of one type, in the order of the schema (alphabetical), or of the Go struct where there is none."""
    known = dict(_fields(found)) if found else {}
    properties = schema.get("properties", {}) if schema else {field: {} for field in known}
    if schema and schema.get("x-kubernetes-map-type") == "atomic":
        yield "@atomic"
    for field, described in properties.items():
        changed = ADDITIONS["fields"].get(f"{name}.{field}")
        if changed is not None:
            kind, flags = changed.split()[0], changed.split()[1:]
        elif field in known:
            kind, flags = _field(known[field])
        else:
            raise SystemExit(f"{name}.{field} is not in the program's types: describe it in additions.json")
        _check(f"{name}.{field}", kind, described)
        if field in ((schema or {}).get("required") or ()):
            flags.append("required")
        if (default := ADDITIONS["defaults"].get(f"{name}.{field}")) is not None:
            flags.append(f"default={json.dumps(default)}")
        flags += _merge(known.get(field), described)
        if described.get("x-kubernetes-map-type") == "atomic":
            flags.append("atomic")
        yield " ".join((field, _with_list_type(kind, described), *flags))


def _fields(found: GoType) -> Iterable[tuple[str, GoField]]:
    """By their JSON names, with the fields of inlined structs as their own."""
    for field in found.fields:
        name, *options = _tag(field, "json").split(",")
        if name == "-":
            continue
        if not name and (field.embedded or "inline" in options):
            yield from _fields(field.type)
        else:
            yield name, field


def _tag(field: GoField, key: str) -> str:
    match = re.search(rf'(?:^| ){key}:"([^"]*)"', field.tag)
    return match[1] if match else ""


def _field(field: GoField) -> tuple[str, list[str]]:
    kind = _expression(field.type)
    flags = [flag for flag in _tag(field, "json").split(",")[1:] if flag in ("omitempty", "omitzero")]
    return kind, flags + _go_names(field.type)


def _expression(found: GoType) -> str:
    element = found.element
    match found.kind:
        case Kind.POINTER if element:
            return "*" + _expression(element)
        case Kind.SLICE if element:
            return "bytes" if element.kind == Kind.UINT8 else "[]" + _expression(element)
        case Kind.MAP if element:
            return f"map<{_expression(element)}>"
        case Kind.STRUCT:
            special = SPECIAL.get(f"{found.package.removeprefix('k8s.io/')}.{found.text.rpartition('.')[2]}")
            return special or _id(found)
    return SCALARS[Kind(found.kind)]


def _go_names(found: GoType) -> list[str]:
    """Names in Go that cannot be told from the type's form; error messages show them."""
    if found.kind == Kind.POINTER and found.element:
        found = found.element
    if found.kind == Kind.STRUCT:
        return []
    item = found.element
    if item is None:
        return [] if found.text == _expression(found) else [f"go={found.text}"]
    if item.kind == Kind.UINT8:
        return []
    container = "[]" if found.kind == Kind.SLICE else "map[string]"
    names = [f"go={found.text}"] if found.text != f"{container}{item.text}" else []
    plain = item.kind == Kind.STRUCT or item.text.startswith(("[]", "*")) or item.text == _expression(item)
    return names if plain else [*names, f"of={item.text}"]


def _merge(field: GoField | None, described: Mapping[str, Any]) -> list[str]:
    """How a strategic merge patch treats it: `merge=KEY` (or `merge` for values and structs), `strategy=…` if another."""
    strategy = described.get("x-kubernetes-patch-strategy", "")
    key = described.get("x-kubernetes-patch-merge-key", "")
    if field is not None and (strategy, key) != (_tag(field, "patchStrategy"), _tag(field, "patchMergeKey")):
        raise SystemExit(f"{field.name}: the patch strategies of the two inputs differ")
    flags = [f"strategy={strategy}"] if strategy else []
    return [*flags, *([f"key={key}"] if key else [])]


def _with_list_type(kind: str, described: Mapping[str, Any]) -> str:
    keys = ",".join(described.get("x-kubernetes-list-map-keys", ()))
    match described.get("x-kubernetes-list-type"):
        case "map":
            return kind.replace("[]", f"[map:{keys}]", 1)
        case "set":
            return kind.replace("[]", "[set]", 1)
    return kind


def _check(path: str, kind: str, described: Mapping[str, Any]) -> None:
    """The two inputs must agree on what a field is."""
    stated = described.get("type")
    form = stated if isinstance(stated, str) else (stated or [""])[0]
    bare = kind.removeprefix("*")
    expected = {
        "array": ("[]",),
        "object": ("map<",),
        "boolean": ("bool",),
        "string": ("string", "bytes"),
        "integer": (described.get("format") or "int64",),
    }.get(form)
    if expected and not bare.startswith(expected) and bare != "json":
        raise SystemExit(f"{path}: {kind} in Go and {form} in the schema")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: hack/generate-api-types DEFINITIONS KUBECTL")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
