"""The table of verbs against the protocol itself: a method, its messages, and the one that gives long answers in pieces."""

import pytest

from proto import cri_pb2 as cri
from runtimes.cri.calls import Call
from runtimes.cri.endpoint import Endpoint
from runtimes.cri.service import CRIImages, CRIRuntime

CLASSES = [CRIRuntime, CRIImages]


def calls(kind: type) -> dict[str, Call]:
    return {name: member for name, member in vars(kind).items() if isinstance(member, Call)}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_verb_is_one_of_the_protocols(kind: type) -> None:
    """Same service, same name, same answer; what streams the pieces is a method, too."""
    package, _, service = kind.service.rpartition(".")  # type: ignore[attr-defined]
    assert cri.DESCRIPTOR.package == package
    methods = cri.DESCRIPTOR.services_by_name[service].methods_by_name
    for name, call in calls(kind).items():
        method = methods[call.method]
        assert method.output_type.name == call.response.__name__, name
        if call.pieces is not None:
            stream = methods[call.stream]
            assert stream.output_type.name == call.pieces.__name__, name


def test_no_verb_is_missing() -> None:
    """Whatever the CRI lists and does can be asked; events have a way of their own."""
    ours = {call.method for kind in CLASSES for call in calls(kind).values()}
    ours |= {call.stream for kind in CLASSES for call in calls(kind).values()}
    theirs = {method.name for service in cri.DESCRIPTOR.services_by_name.values() for method in service.methods}
    assert theirs - ours == {"GetContainerEvents"}


async def test_a_verb_is_made_once() -> None:
    """It belongs to its endpoint, and the second look finds the same."""
    endpoint, other = Endpoint("unix:///run/a.sock"), Endpoint("unix:///run/b.sock")
    one, two = CRIRuntime(endpoint), CRIRuntime(other)
    assert one.status is one.status
    assert one.status is not two.status
