"""The network that a node gets that has none."""

from pathlib import Path

import pytest

from cni.config import load
from cni.default import DefaultNetwork, subnets_of, write_default


def test_both_providers_have_one_bridge_and_one_pool(tmp_path: Path) -> None:
    """The native network and the programs' differ in types and version alone, so that a node can move between them."""
    native, programs = (DefaultNetwork(native=which, ipam_dir=tmp_path).config() for which in (True, False))
    assert [plugin.type for plugin in native.plugins] == ["nodeagent-cni"]
    assert [plugin.type for plugin in programs.plugins] == ["bridge", "portmap"]
    assert (native.cni_version, programs.cni_version) == ("1.1.0", "1.0.0")
    ours, theirs = ({**network.plugins[0].raw} for network in (native, programs))
    for raw in (ours, theirs):
        raw.pop("type")
        raw.pop("capabilities", None)
    assert ours == theirs
    assert native.plugins[0].capabilities == programs.plugins[1].capabilities == {"portMappings"}


def test_a_folder_that_has_one_is_left_alone(tmp_path: Path) -> None:
    """Whatever it says."""
    path = write_default(tmp_path / "net.d", DefaultNetwork())
    assert path is not None
    assert load(path).name == "nodeagent"
    assert write_default(tmp_path / "net.d", DefaultNetwork()) is None


def test_subnets() -> None:
    """One, or one of each family; a pool and a default route for each."""
    ipam = DefaultNetwork(subnet="10.1.0.0/16, fd00::/64").conflist()["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00::/64"}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    for wrong in ("10.1.0.0/16,10.2.0.0/16", "10.1.0.1/16", ""):
        with pytest.raises(ValueError):
            subnets_of(wrong)
