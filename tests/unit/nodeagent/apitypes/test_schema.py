"""The table of the API's types says of every served kind what its fields are."""

from collections.abc import Iterator

import pytest

from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apitypes.schema import Field, ListOf, MapOf, Scalar, Struct, kinds, struct, struct_for

STRING = Scalar(name="string", go="string")


def test_every_served_kind_and_every_body_of_a_subresource_is_in_the_table() -> None:
    """A kind that is served without an entry would be decoded without its types."""
    served = [(resource.group_version, resource.kind) for resource in RESOURCES if not resource.measured]
    bodies = [
        (f"{sub.group}/{sub.version}" if sub.group else resource.group_version, sub.kind)
        for resource in RESOURCES
        for sub in resource.subresources
        if sub.own_body
    ]
    assert [kind for kind in served + bodies if struct_for(*kind) is None] == []
    assert struct_for("v1", "Flower") is None


def test_every_type_that_the_table_names_is_in_it_and_list_keys_are_fields() -> None:
    """All references resolve, from every kind on."""
    for path, found in _walk():
        if isinstance(found, ListOf) and found.list_type == "map":
            assert isinstance(found.item, Struct), path
            assert set(found.keys) <= set(found.item.fields), path


def test_merge_keys_are_fields_of_lists() -> None:
    """Every merge key belongs to a list of structs that have it."""
    for name in sorted({path.rpartition(".")[0] for path, _ in _walk() if path.count(".") == 3}):
        for field in struct(name).fields.values():
            if field.key:
                assert isinstance(field.type, ListOf) and isinstance(field.type.item, Struct), (name, field.name)
                assert field.key in field.type.item.fields, (name, field.name)


def _walk() -> Iterator[tuple[str, ListOf | MapOf | Scalar | Struct]]:
    seen: set[str] = set()
    todo: list[tuple[str, ListOf | MapOf | Scalar | Struct]] = [(name, struct(name)) for name in kinds().values()]
    while todo:
        path, found = todo.pop()
        yield path, found
        if isinstance(found, ListOf | MapOf):
            todo.append((path, found.item))
        elif isinstance(found, Struct) and found.name not in seen:
            seen.add(found.name)
            todo += [(f"{found.name}.{field.name}", field.type) for field in found.fields.values()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("core.v1.Container.args", Field(name="args", type=ListOf(item=STRING, go="[]string"), omitempty=True)),
        ("core.v1.Container.name", Field(name="name", type=STRING, required=True)),
        (
            "core.v1.Container.ports",
            Field(
                name="ports",
                type=ListOf(
                    item=struct("core.v1.ContainerPort"),
                    go="[]v1.ContainerPort",
                    list_type="map",
                    keys=("containerPort", "protocol"),
                ),
                omitempty=True,
                strategy=("merge",),
                key="containerPort",
            ),
        ),
        (
            "core.v1.ContainerPort.protocol",
            Field(name="protocol", type=Scalar(name="string", go="v1.Protocol"), omitempty=True, default="TCP"),
        ),
        (
            "core.v1.PodSpec.volumes",
            Field(
                name="volumes",
                type=ListOf(item=struct("core.v1.Volume"), go="[]v1.Volume", list_type="map", keys=("name",)),
                omitempty=True,
                strategy=("merge", "retainKeys"),
                key="name",
            ),
        ),
        (
            "core.v1.PodSpec.nodeSelector",
            Field(name="nodeSelector", type=MapOf(item=STRING, go="map[string]string", atomic=True), omitempty=True),
        ),
        (
            "core.v1.ResourceRequirements.limits",
            Field(
                name="limits",
                type=MapOf(item=Scalar(name="quantity", go="resource.Quantity"), go="v1.ResourceList"),
                omitempty=True,
            ),
        ),
        (
            "core.v1.SecurityContext.runAsUser",
            Field(name="runAsUser", type=Scalar(name="int64", go="int64"), pointer=True, omitempty=True),
        ),
        (
            "meta.v1.ObjectMeta.creationTimestamp",
            Field(name="creationTimestamp", type=Scalar(name="time", go="v1.Time"), omitempty=True, omitzero=True),
        ),
        (
            "meta.v1.ObjectMeta.finalizers",
            Field(
                name="finalizers",
                type=ListOf(item=STRING, go="[]string", list_type="set"),
                omitempty=True,
                strategy=("merge",),
            ),
        ),
        ("core.v1.Pod.status", Field(name="status", type=struct("core.v1.PodStatus"), omitempty=True)),
        (
            "authentication.v1.UserInfo.extra",
            Field(
                name="extra",
                type=MapOf(item=ListOf(item=STRING, go="v1.ExtraValue"), go="map[string]v1.ExtraValue"),
                omitempty=True,
            ),
        ),
    ],
)
def test_a_field(name: str, expected: Field) -> None:
    """A field has its type, list type and keys, pointer-ness, tags and patch strategy."""
    owner, _, field = name.rpartition(".")
    assert struct(owner).fields[field] == expected


def test_what_openapi_calls_a_default() -> None:
    """The documented one; the zero value of a scalar that is always written; nothing for what may be left out."""
    port, volume = struct("core.v1.ContainerPort").fields, struct("core.v1.Volume").fields
    assert [port[name].schema_default for name in ("protocol", "containerPort", "hostPort")] == ["TCP", 0, None]
    assert [volume[name].schema_default for name in ("name", "emptyDir")] == ["", None]


def test_atomic_structs() -> None:
    """References and selectors are replaced as a whole."""
    names = (
        "core.v1.ResourceFieldSelector",
        "core.v1.LocalObjectReference",
        "meta.v1.OwnerReference",
        "core.v1.PodSpec",
    )
    assert [struct(name).atomic for name in names] == [True, True, True, False]
