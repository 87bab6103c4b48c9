"""Drivers that come and go, at a real agent: what it tells them, and what the API is told."""

import asyncio
import socket

import pytest
from csi_site import Site
from csi_under_test import Registrar
from node_under_test import eventually

from nodeagent.cli.check import plugins
from nodeagent.cli.check.finding import State

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("csi-on-the-node")]


def test_a_driver_that_comes_goes_and_comes_back(site: Site) -> None:
    """Its node id, topology and count are in the Node and the CSINode object; they go with its socket, but for the labels."""
    entry = {"name": site.name, "nodeID": "node-1", "topologyKeys": [f"topology.{site.name}/node"]}
    assert site.csi_node() == {site.name: entry}
    assert site.node_ids() == {site.name: "node-1"}
    node = site.node.api.get(f"api/v1/nodes/{site.node.name}")
    assert node is not None
    assert node["metadata"]["labels"][f"topology.{site.name}/node"] == "node-1"
    found = site.node.api.get(f"apis/storage.k8s.io/v1/csinodes/{site.node.name}")
    assert found is not None
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["apiVersion"], owner["kind"], owner["uid"]) == ("v1", "Node", node["metadata"]["uid"])
    site.registrar.stop()
    eventually(lambda: site.csi_node() == {} and site.node_ids() == {}, "it is not listed any more")
    site.registrar.start()
    eventually(lambda: site.csi_node() == {site.name: entry} and site.registrar.registered, "it is listed again")


def test_drivers_that_are_refused_are_told_why(site: Site) -> None:
    """Of a type that nobody handles, of an old version, with a name that is taken: in the words of a kubelet."""
    folder, endpoint = site.registrar.socket.parent, str(site.front.socket)
    strangers = [
        Registrar(folder / "t.sock", "toaster", endpoint, kind="Toaster"),
        Registrar(folder / "deep" / "o.sock", "old.example.com", endpoint, version="0.3.0"),
        Registrar(folder / "n.sock", site.name, endpoint),
        Registrar(folder / "x.sock", "dead.example.com", "/nowhere/csi.sock"),
    ]
    for each in strangers:
        each.start()
    try:
        eventually(lambda: all(each.told for each in strangers), "all have been told")
        told = [each.told[0] for each in strangers]
    finally:
        for each in strangers:
            each.stop()
    assert not any(registered for registered, _ in told)
    assert [text.removeprefix("RegisterPlugin error -- ") for _, text in told] == [
        f"no handler registered for plugin type: Toaster at socket {folder}/t.sock",
        'plugin validation failed with err: CSI driver "old.example.com" failed. None of the versions specified ["0.3.0"] are '
        "supported: a 1.x version is needed",
        f'plugin validation failed with err: CSI driver "{site.name}" failed. Another driver with the same name is already '
        'registered with a higher supported version: "1.0.0"',
        "plugin registration failed with err: error during CSI NodeGetInfo() call: rpc error: code = Unavailable desc = "
        "nobody listens on /nowhere/csi.sock",
    ]
    assert set(site.csi_node()) == {site.name}


def test_who_waits_for_a_plugin_can_look(site: Site) -> None:
    """`nodeagent check` says which plugins answer, and which have left a socket behind."""
    folder = site.registrar.socket.parent
    dead = folder / "dead.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(dead))
    mute = Registrar(folder / "mute.sock", "mute.example.com", "/nowhere/csi.sock").start()
    try:
        findings = asyncio.run(plugins.examine(folder))
    finally:
        mute.stop()
        dead.unlink()
    assert [(each.name, each.state, each.detail.partition(":")[0]) for each in findings] == [
        (f"{site.name} (CSIPlugin)", State.FOUND, str(site.front.socket)),
        ("dead.sock", State.DEGRADED, f"failed to dial socket {dead}"),
        ("mute.example.com (CSIPlugin)", State.DEGRADED, "/nowhere/csi.sock"),
    ]
