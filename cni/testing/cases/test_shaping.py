"""Limits of bandwidth: the capability that Kubernetes' annotations of a pod ask for."""

import pytest

from cni.testing import claims, shaping
from cni.testing.levels import should
from cni.testing.subject import Subject
from runtimes.linux import syscalls

pytestmark = pytest.mark.asyncio

PORT = 8081


@should
@pytest.mark.parametrize("direction", ["ingress", "egress"])
async def test_n11_bandwidth(network: Subject, direction: str) -> None:
    """Towards the pod, and from it: no more than the limit, and nearly as much. CNI conventions, bandwidth."""
    network.needs_capability("bandwidth")
    if missing := syscalls.in_namespace(network.host.outside, shaping.lacks):
        pytest.skip(f"cannot be tried here: this kernel has no {missing}")
    (limited, own), (free, other) = (
        await network.attach(capabilities={"bandwidth": shaping.LIMITS}),
        await network.attach(),
    )
    (ip, *_) = claims.found(
        own.pod_ips() if direction == "ingress" else other.pod_ips(),
        "addresses",
        claimed=claims.addresses(network.config),
    )
    sender, receiver = (free, limited) if direction == "ingress" else (limited, free)
    wrong = (await shaping.flow(sender.namespace, receiver.namespace, ip, PORT)).judge()
    assert not wrong, wrong
