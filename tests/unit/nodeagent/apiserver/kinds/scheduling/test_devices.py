"""Which devices claims are given, and which they cannot have."""

from typing import Any

import pytest

from nodeagent.apiserver.kinds.scheduling.device_selectors import SelectorError, compiled, selects
from nodeagent.apiserver.kinds.scheduling.devices import CannotAllocate, allocate, ids_of, is_usable, offers_of

DRIVER, NODE = "gpu.example", "n"
CLASSES: dict[str, Any] = {
    "gpu": {
        "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}], "config": [{"opaque": 1}]}
    },
    "any": {"spec": {}},
}


def device(name: str, **fields: Any) -> dict[str, Any]:
    numa = 1 if name in ("c", "d") else 0
    attributes = {"model": {"string": name}, "numa": {"int": numa}, f"{DRIVER}/driver": {"version": "1.10.0"}}
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": "40Gi"}}, **fields}


def slice_of(*devices: Any, generation: int = 1, count: int = 1, driver: str = DRIVER, **where: Any) -> dict[str, Any]:
    pool = {"name": "p", "generation": generation, "resourceSliceCount": count}
    return {"spec": {"driver": driver, "pool": pool, "devices": list(devices), **(where or {"nodeName": NODE})}}


def claim(*requests: Any, **devices: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": {"devices": {"requests": list(requests), **devices}}}


def exactly(name: str, *, of: str = "gpu", where: str = "", **asked: Any) -> dict[str, Any]:
    selectors = [{"cel": {"expression": where}}] if where else []
    return {"name": name, "exactly": {"deviceClassName": of, "count": 1, "selectors": selectors, **asked}}


FOUR = [slice_of(device("a"), device("b"), device("c"), device("d"))]


def given(*claims: Any, slices: Any = FOUR, taken: Any = ()) -> list[list[str]]:
    """By claim: request=device."""
    found = allocate(claims, CLASSES, offers_of(slices, NODE, {}), {(DRIVER, "p", name) for name in taken}, NODE)
    return [[f"{each['request']}={each['device']}" for each in one["devices"]["results"]] for one in found]


MATCH = {"constraints": [{"matchAttribute": f"{DRIVER}/numa"}]}


@pytest.mark.parametrize(
    ("claims", "taken", "found"),
    [
        ([claim(exactly("r"))], (), [["r=a"]]),
        ([claim(exactly("r", count=2)), claim(exactly("s"))], ("b",), [["r=a", "r=c"], ["s=d"]]),
        ([claim(exactly("r", where=f'device.attributes["{DRIVER}"].model == "c"'))], (), [["r=c"]]),
        ([claim(exactly("r"), exactly("s"), **MATCH)], ("b",), [["r=c", "s=d"]]),
        (
            [claim(exactly("r", count=2), constraints=[{"distinctAttribute": f"{DRIVER}/numa"}])],
            (),
            [["r=a", "r=c"]],
        ),
        ([claim(exactly("r", allocationMode="All"))], (), [["r=a", "r=b", "r=c", "r=d"]]),
        ([claim(exactly("r", adminAccess=True))], ("a", "b", "c", "d"), [["r=a"]]),
        ([claim(exactly("r", capacity={"requests": {"memory": "40Gi"}}))], (), [["r=a"]]),
        (
            [
                claim(
                    {
                        "name": "r",
                        "firstAvailable": [
                            {"name": "big", "deviceClassName": "gpu", "count": 9},
                            {"name": "small", "deviceClassName": "gpu", "count": 1},
                        ],
                    }
                )
            ],
            (),
            [["r/small=a"]],
        ),
    ],
)
def test_what_is_given(claims: Any, taken: Any, found: Any) -> None:
    """The first that fit: free, selected, matching each other, large enough, the preferred alternative."""
    assert given(*claims, taken=taken) == found


@pytest.mark.parametrize(
    ("claims", "taken", "text"),
    [
        ([claim(exactly("r", count=5))], (), "cannot allocate all claims"),
        ([claim(exactly("r", allocationMode="All"))], ("d",), "cannot allocate all claims"),
        ([claim(exactly("r", count=2), **MATCH)], ("a", "c"), "cannot allocate all claims"),
        ([claim(exactly("r", capacity={"requests": {"memory": "41Gi"}}))], (), "cannot allocate all claims"),
        ([claim(exactly("r", of="nothing"))], (), "request r: device class nothing does not exist"),
    ],
)
def test_what_cannot_be_had(claims: Any, taken: Any, text: str) -> None:
    """Too few, one of all is taken, none that match, a class that is not there."""
    with pytest.raises(CannotAllocate) as caught:
        given(*claims, taken=taken)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("slices", "names"),
    [
        ([slice_of(device("old")), slice_of(device("new"), generation=2)], ["new"]),
        ([slice_of(device("half"), count=2)], []),
        ([slice_of(device("away"), nodeName="other"), slice_of(device("far"), allNodes=True, driver="z")], ["far"]),
        ([slice_of(device("x", nodeName=NODE), device("y", nodeName="other"), perDeviceNodeSelection=True)], ["x"]),
        ([slice_of(device("x", consumesCounters=[{}]), device("y", bindingConditions=["c"]), device("z"))], ["z"]),
    ],
)
def test_what_is_offered(slices: Any, names: Any) -> None:
    """The newest whole generation of a pool, what is on the node, and nothing that needs accounts that are not kept."""
    assert [offer.id[2] for offer in offers_of(slices, NODE, {})] == names


def test_taints() -> None:
    """Only who tolerates them is given such devices."""
    slices = [slice_of(device("t", taints=[{"key": "k", "effect": "NoSchedule"}]))]
    with pytest.raises(CannotAllocate):
        given(claim(exactly("r")), slices=slices)
    assert given(claim(exactly("r", tolerations=[{"key": "k", "operator": "Exists"}])), slices=slices) == [["r=t"]]


def test_the_result() -> None:
    """Configurations of class and claim, the only node that it can be used on, and what it takes from others."""
    wanted = claim(exactly("r"), config=[{"opaque": 2}])
    (found,) = allocate([wanted], CLASSES, offers_of(FOUR, NODE, {}), (), NODE)
    assert found["devices"]["config"] == [
        {"source": "FromClass", "requests": ["r"], "opaque": 1},
        {"source": "FromClaim", "opaque": 2},
    ]
    allocated = {**wanted, "status": {"allocation": found}}
    assert (is_usable(allocated, NODE, {}), is_usable(allocated, "other", {})) == (True, False)
    assert list(ids_of(allocated)) == [(DRIVER, "p", "a")]
    found["devices"]["results"][0]["adminAccess"] = True
    assert list(ids_of(allocated)) == []


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ('device.capacity["gpu.example"].memory.compareTo(quantity("40Gi")) == 0', True),
        ('device.capacity["gpu.example"].memory == quantity("40960Mi")', True),
        ('device.capacity["gpu.example"].memory.isGreaterThan(quantity("80G"))', False),
        ('device.attributes["gpu.example"].driver.isGreaterThan(semver("1.9.0"))', True),
        ('device.attributes["gpu.example"].driver.isLessThan(semver("1.10.0-rc.1"))', False),
        ('"other.org" in device.attributes && device.attributes["other.org"].x', False),
        ('device.attributes["other.org"].x', None),
        ("device.driver", None),
        ('cel.bind(x, device.driver, x == "gpu.example")', None),
        ('semver("x") == semver("y")', None),
    ],
)
def test_expressions(expression: str, answer: bool | None) -> None:
    """Amounts and versions are compared as such; what has no answer is an error, as upstream, and not a no."""
    if answer is None:
        with pytest.raises(SelectorError):
            selects(expression, DRIVER, device("a"))
    else:
        assert selects(expression, DRIVER, device("a")) is answer


@pytest.mark.parametrize("expression", ["device.?driver == 'a'", "cel.bind(x, 1, x == 1)", "device.driver =="])
def test_what_the_library_cannot_do_is_refused_as_it_is_written(expression: str) -> None:
    """Not when a pod waits for its devices."""
    with pytest.raises(SelectorError):
        compiled(expression)
