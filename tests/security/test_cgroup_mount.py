"""A container cannot write below /sys/fs/cgroup, whatever the version, unless it is privileged. Real runtimes."""

import pytest
from node_under_test import NodeUnderTest
from pods_under_test import finished, log_of, make_pod, shell
from runtime_classes import runtime_class

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-cgroup")]

TRY = (
    "test -d /sys/fs/cgroup || { echo end; exit 0; }; touch /sys/fs/cgroup/x && echo root;"
    "mkdir /sys/fs/cgroup/memory/x && echo controller; echo end"
)


def test_the_cgroup_tree_is_read_only(node: NodeUnderTest) -> None:
    """On runc, crun and gVisor, with a writable root and without."""
    node.apply(*(runtime_class(name) for name in ("crun", "gvisor")))
    cases: dict[str, tuple[str, dict[str, bool]]] = {
        "runc": ("", {}),
        "runc-fixed": ("", {"readOnlyRootFilesystem": True}),
        "crun": ("crun", {}),
        "crun-fixed": ("crun", {"readOnlyRootFilesystem": True}),
        "gvisor": ("gvisor", {}),
    }
    for name, (handler, own) in cases.items():
        runtime = {"runtimeClassName": handler} if handler else {}
        node.apply(make_pod(name, shell("c", TRY, securityContext=own), restartPolicy="Never", **runtime))
    for name in cases:
        node.pod_when(name, finished)
    said = {name: [line for line in log_of(node, name).splitlines() if " " not in line] for name in cases}
    assert said == {name: ["end"] for name in cases}
