"""When Services are led, and where pods find the API."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from configured import config

from cni.default import DefaultNetwork, write_default
from nodeagent.assembly.services import are_wanted, pod_address
from nodeagent.config import Config


def configured(folder: Path, *, standalone: bool = True, **agent: Any) -> Config:
    cni = {"confDir": str(folder / "net.d"), **agent.pop("cni", {})}
    made = config(folder, {"cni": cni, **agent})
    return replace(made, options=replace(made.options, standalone=standalone))


@pytest.mark.parametrize(
    ("written", "provider", "enabled", "wanted"),
    [
        ("native", "auto", None, True),
        ("programs", "auto", None, False),
        ("others", "auto", None, False),
        ("", "auto", None, False),
        ("", "native", None, True),
        ("native", "programs", None, False),
        ("programs", "auto", True, True),
        ("native", "auto", False, False),
    ],
)
def test_with_the_native_network(
    tmp_path: Path, written: str, provider: str, enabled: bool | None, wanted: bool
) -> None:
    """By default only then; the operator may want it otherwise. Never in a cluster."""
    if written:
        name = "nodeagent" if written != "others" else "mine"
        write_default(tmp_path / "net.d", DefaultNetwork(name=name, native=written != "programs"))
    asked = {"cni": {"provider": provider}, "services": {"enabled": enabled}}
    assert are_wanted(configured(tmp_path, **asked)) is wanted
    assert not are_wanted(configured(tmp_path, standalone=False, **asked))


@pytest.mark.parametrize(
    ("subnet", "ranges", "address"),
    [
        ("10.88.0.0/16", ["10.96.0.0/12"], "10.88.0.1"),
        ("fd88::/64,10.88.0.0/16", ["10.96.0.0/12"], "10.88.0.1"),
        ("10.88.0.0/16,fd88::/64", ["fd96::/108"], "fd88::1"),
    ],
)
def test_where_pods_find_the_api(tmp_path: Path, subnet: str, ranges: list[str], address: str) -> None:
    """At their gateway, of a family of which Services have addresses; nowhere if Services are not led."""
    agent = {"cni": {"subnet": subnet}, "services": {"enabled": True, "clusterIPRanges": ranges}}
    assert pod_address(configured(tmp_path, **agent)) == address
    agent["services"]["enabled"] = False
    assert pod_address(configured(tmp_path, **agent)) == ""
