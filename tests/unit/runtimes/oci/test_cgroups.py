"""Names of cgroups."""

import pytest

from runtimes.oci.cgroups import container_cgroup, expand_slice, oci_cgroups_path


@pytest.mark.parametrize(
    ("parent", "driver", "cgroup", "oci"),
    [
        ("/kubepods/pod1", "cgroupfs", "/kubepods/pod1/abc", "/kubepods/pod1/abc"),
        ("/", "cgroupfs", "/abc", "/abc"),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx_1.slice",
            "systemd",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx_1.slice/nodeagent-abc.scope",
            "kubepods-burstable-podx_1.slice:nodeagent:abc",
        ),
        ("system.slice", "systemd", "/system.slice/nodeagent-abc.scope", "system.slice:nodeagent:abc"),
    ],
)
def test_names(parent, driver, cgroup, oci):
    """A path for cgroupfs; slice, prefix and name for systemd, whose scope is then where the dashes say."""
    assert container_cgroup(parent, "abc", driver) == cgroup
    assert oci_cgroups_path(parent, "abc", driver) == oci


def test_slices():
    """Every dash is a parent."""
    assert expand_slice("a-b-c.slice") == "/a.slice/a-b.slice/a-b-c.slice"
