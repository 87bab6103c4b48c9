"""Which annotations of a pod reach its runtime."""

import pytest

from runtimes.oci.spec.annotations import allowed

GIVEN = {
    "dev.gvisor.spec.cgroup-parent": "/",
    "dev.gvisor.spec.mount.a.type": "bind",
    "run.oci.hooks.stdout": "/etc/cron.d/x",
    "org.systemd.property.ExecStopPost": "x",
    "io.kubernetes.cri.sandbox-id": "another",
    "io.katacontainers.config.hypervisor/path": "/x",
    "note": "n",
}


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ([], set()),
        (["note"], {"note"}),
        (["not"], set()),
        (["n.te"], set()),
        (["dev.gvisor.*"], {"dev.gvisor.spec.cgroup-parent", "dev.gvisor.spec.mount.a.type"}),
        (["dev.gvisor.spec.mount.*.type"], {"dev.gvisor.spec.mount.a.type"}),
        (["io.katacontainers.*"], set()),
        (["io.katacontainers.*/*"], {"io.katacontainers.config.hypervisor/path"}),
        (["*"], set(GIVEN) - {"io.kubernetes.cri.sandbox-id", "io.katacontainers.config.hypervisor/path"}),
        (["io.kubernetes.cri.*", "io.kubernetes.cri.sandbox-id"], set()),
    ],
)
def test_nothing_unless_it_is_allowed(patterns: list[str], names: set[str]) -> None:
    """By whole name; a star stops at a slash; what tells the pod's structure is never the pod's."""
    assert allowed(GIVEN, patterns) == {name: GIVEN[name] for name in names}
