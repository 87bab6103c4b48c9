"""Volumes of a CSI driver in pods: the real agent and runc, the reference driver, and one in front of it that sees all calls."""

import pytest
from csi_site import Site, claim_pod
from pods_under_test import finished

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("csi-volumes")]


def test_what_is_written_is_there_for_the_next_pod(site: Site) -> None:
    """Staged, published, unpublished and unstaged in order, by paths and with contents that drivers rely on; the data stays."""
    node = site.node
    handle = site.provision("keeps")
    node.apply(claim_pod("first", "keeps", "echo hello >/data/file; sync"))
    node.pod_when("first", finished)
    site.delete_pod("first")
    assert site.left() == []
    node.apply(claim_pod("second", "keeps", "cat /data/file"))
    node.pod_when("second", finished)
    assert node.container_log("second", "c") == "hello"
    site.delete_pod("second")
    verbs = [method for method, _ in site.front.calls if method != "NodeGetCapabilities"]
    one = ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"]
    assert verbs == one + one
    assert {request.volume_id for method, request in site.front.calls if method in one} == {handle}
