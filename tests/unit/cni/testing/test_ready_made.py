"""A network for a plugin without a configuration."""

import json
from pathlib import Path

import pytest

from cni import config
from cni.testing.ready_made import network_of, plugins_of


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        ("bridge", [("bridge", "host-local")]),
        ("ptp", [("ptp", "host-local")]),
        ("macvlan", [("macvlan", "host-local")]),
        ("ipvlan", [("ipvlan", "host-local")]),
        ("host-local", [("bridge", "host-local")]),
        ("portmap", [("bridge", "host-local"), ("portmap", None)]),
        ("tuning", [("bridge", "host-local"), ("tuning", None)]),
        ("mine", [("mine", "host-local")]),
    ],
)
def test_chains(name: str, chain: list[tuple[str, str | None]]) -> None:
    """An interface has addresses of both families; what is chained comes after one; who gives addresses is behind one."""
    found = plugins_of(name)
    assert [(part["type"], (part.get("ipam") or {}).get("type")) for part in found] == chain
    families = {":" in choices[0]["subnet"] for choices in found[0]["ipam"]["ranges"]}
    assert families == {True, False}


def plugin(folder: Path, name: str, versions: str) -> None:
    (folder / name).write_text(f'#!/bin/sh\necho \'{{"cniVersion": "1.0.0", "supportedVersions": [{versions}]}}\'\n')
    (folder / name).chmod(0o755)


def test_the_latest_version_of_all(tmp_path: Path) -> None:
    """That every plugin of the chain names and this library knows; what comes of it can be read."""
    plugin(tmp_path, "bridge", '"0.4.0", "1.0.0"')
    plugin(tmp_path, "portmap", '"0.4.0", "1.0.0", "1.1.0", "9.9.9"')
    made = network_of("portmap", [tmp_path])
    assert (made["cniVersion"], made["name"]) == ("1.0.0", "test-portmap")
    assert [part.type for part in config.parse(json.dumps(made).encode()).plugins] == ["bridge", "portmap"]
    plugin(tmp_path, "portmap", '"9.9.9"')
    with pytest.raises(ValueError, match=r"bridge, portmap: no version of CNI that all name and is known"):
        network_of("portmap", [tmp_path])
