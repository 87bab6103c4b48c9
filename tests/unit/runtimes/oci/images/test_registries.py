from pathlib import Path
from typing import Any

import pytest

from runtimes.errors import InvalidArgument
from runtimes.kube.image_reference import parse, parse_location
from runtimes.oci.images.registries import PullSource, Registries, Registry, is_loopback, registry_name


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.3.2.1", True),
        ("[::1]:5000", True),
        ("10.0.0.1:5000", False),
        ("docker.io", False),
        ("localhost.example:5000", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:
    """Registries of this machine are spoken to in plain HTTP, as by docker and containerd; unless an entry says otherwise."""
    assert is_loopback(host) is local
    assert Registries().places(parse(f"{host}/a/b"))[0].insecure is local
    (strict,) = Registries(entries=(Registry(prefix=host),)).places(parse(f"{host}/a/b"))
    assert strict.insecure is False


def test_longest_prefix() -> None:
    """The entry with the longest prefix counts; a host without its port is another registry."""
    whole = Registry(prefix="r.example:5000", mirrors=("m.example/cache",))
    team = Registry(prefix="r.example:5000/team", insecure=True, certs_dir=Path("/certs"))
    registries = Registries(entries=(whole, team))
    assert registries.for_repository("r.example:5000/team/app") is team
    assert registries.for_repository("R.Example:5000/team") is team
    assert registries.for_repository("r.example:5000/teamwork/app") is whole
    assert registries.for_repository("r.example:50000/a") is None
    assert registries.for_repository("r.example/a") is None


def places(registries: dict[str, dict[str, Any]], image: str) -> list[tuple[str, bool, str, bool]]:
    entries = tuple(Registry(prefix=prefix, **settings) for prefix, settings in registries.items())
    found = Registries(entries=entries).places(parse(image))
    return [(str(p.reference), p.insecure, str(p.certs_dir or ""), p.mirror) for p in found]


@pytest.mark.parametrize(
    ("registries", "image", "expected"),
    [
        pytest.param(
            {"gcr.io": {"mirrors": ("127.0.0.1:5000",)}, "127.0.0.1:5000": {"insecure": True}},
            "gcr.io/a/b:1",
            [("127.0.0.1:5000/a/b:1", True, "", True), ("gcr.io/a/b:1", False, "", False)],
            id="a mirror's own entry",
        ),
        pytest.param(
            {"gcr.io": {"mirrors": ("127.0.0.1:5000", "m.example")}},
            "gcr.io/a:1",
            [
                ("127.0.0.1:5000/a:1", True, "", True),
                ("m.example/a:1", False, "", True),
                ("gcr.io/a:1", False, "", False),
            ],
            id="mirrors without entries, one of them on this machine",
        ),
        pytest.param(
            {
                "gcr.io": {"mirrors": ("m:1", "m:2"), "insecure": True},
                "m:1": {"certs_dir": Path("/ca"), "mirrors": ("far:1",)},
                "far:1": {"mirrors": ("gcr.io",)},
            },
            "gcr.io/a@sha256:" + "0" * 64,
            [
                ("m:1/a@sha256:" + "0" * 64, False, "/ca", True),
                ("m:2/a@sha256:" + "0" * 64, True, "", True),
                ("gcr.io/a@sha256:" + "0" * 64, True, "", False),
            ],
            id="with its CA, its mirrors not followed; without an entry like the registry",
        ),
        pytest.param(
            {"r.example/team": {"mirrors": ("m:1", "m:1/cache")}, "m:1/cache": {"insecure": True}},
            "r.example/team/app:1",
            [
                ("m:1/app:1", False, "", True),
                ("m:1/cache/app:1", True, "", True),
                ("r.example/team/app:1", False, "", False),
            ],
            id="what follows the prefix follows the mirror",
        ),
        pytest.param(
            {"r.example/team/app": {"mirrors": ("m:1",)}},
            "r.example/team/app:1",
            [("m:1/team/app:1", False, "", True), ("r.example/team/app:1", False, "", False)],
            id="nothing follows",
        ),
        pytest.param(
            {"registry-1.docker.io": {"mirrors": ("M.example:5000",)}, "m.example:5000": {"insecure": True}},
            "busybox",
            [
                ("M.example:5000/library/busybox:latest", True, "", True),
                ("docker.io/library/busybox:latest", False, "", False),
            ],
            id="docker.io by another name, hosts in any case",
        ),
        pytest.param(
            {"docker.io": {"mirrors": ("m:1",)}},
            "registry-1.docker.io/library/busybox:1",
            [("m:1/library/busybox:1", False, "", True), ("registry-1.docker.io/library/busybox:1", False, "", False)],
            id="an image by another name of docker.io",
        ),
        pytest.param(
            {"r:1": {"mirrors": ("m:1", "r:1", "m:2", "m:1"), "insecure": True}},
            "r:1/a:1",
            [("m:1/a:1", True, "", True), ("m:2/a:1", True, "", True), ("r:1/a:1", True, "", False)],
            id="every place once, the registry last",
        ),
        pytest.param(
            {"gcr.io": {"mirrors": ("127.0.0.1:5000",)}},
            "quay.io/a:1",
            [("quay.io/a:1", False, "", False)],
            id="another",
        ),
    ],
)
def test_places(registries: dict[str, dict[str, Any]], image: str, expected: list[tuple[str, bool, str, bool]]) -> None:
    """Where an image is asked for, in which order, and how each place is reached."""
    assert places(registries, image) == expected


def test_blocked() -> None:
    """Nothing is pulled from a blocked registry, not even by its mirrors; a blocked mirror is a place not to be asked."""
    mirror = Registry(prefix="m:1", blocked=True)
    registries = Registries(entries=(Registry(prefix="bad.example", blocked=True, mirrors=("m:2",)), mirror))
    with pytest.raises(InvalidArgument, match=r"registry bad\.example is blocked by this node's configuration"):
        registries.places(parse("bad.example/a:1"))
    registries = Registries(entries=(Registry(prefix="r:1", mirrors=("m:1",)), mirror))
    assert registries.places(parse("r:1/a:1"))[0] == PullSource(reference=parse("m:1/a:1"), blocked=True, mirror=True)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("gcr.io", ("gcr.io", "")),
        ("127.0.0.1:5000/cache/two", ("127.0.0.1:5000", "cache/two")),
        ("[::1]:5000", ("[::1]:5000", "")),
        ("http://m:1/", "'http://m:1/' has a scheme: write 'm:1'; `insecure: true` in its own entry allows plain HTTP"),
        ("https://m:1", "'https://m:1' has a scheme: write 'm:1'"),
        ("", "'' is not a registry: write host[:port] or host[:port]/path"),
        ("*", "'*' is not a registry: write host[:port] or host[:port]/path"),
        ("m:1/", "'m:1/' is not a registry: write host[:port] or host[:port]/path"),
        ("mirror/cache", "'mirror/cache' is a path on docker.io: a host has a dot or a port, as in an image's name"),
        ("localhost", ("localhost", "")),
        ("m:1/Upper", "'m:1/Upper' is not a registry: write host[:port] or host[:port]/path"),
    ],
)
def test_locations(text: str, answer: object) -> None:
    """A registry or mirror is written as host, port and path; anything else is an error that says what to write."""
    if isinstance(answer, tuple):
        assert parse_location(text) == answer
        return
    with pytest.raises(ValueError) as failure:
        parse_location(text)
    assert str(failure.value) == answer


def test_names_of_one_registry() -> None:
    """Case, and Docker's many hosts, make no difference to which registry is meant; the case of a path does."""
    names = ["docker.io/a", "index.docker.io/a", "Registry-1.docker.io/a", "registry.hub.docker.com/a"]
    assert {registry_name(name) for name in names} == {"docker.io/a"}
    assert (registry_name("R.example/A"), registry_name("R.example")) == ("r.example/A", "r.example")
