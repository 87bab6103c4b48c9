"""Which slices are of which Service."""

from lightkube.models.discovery_v1 import EndpointSlice
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.endpoint_slices import SlicesByService


def piece(name: str, service: str = "") -> EndpointSlice:
    labels = {"kubernetes.io/service-name": service} if service else {}
    metadata = ObjectMeta(name=name, namespace="default", labels=labels)
    return EndpointSlice(metadata=metadata, addressType="IPv4", endpoints=[])


def test_a_slice_moves_with_its_label() -> None:
    """Both Services have changed, and each has what is its own; a slice without a label is nobody's."""
    slices, web, db = SlicesByService(), ("default", "web"), ("default", "db")
    second, first = piece("b", "web"), piece("a", "web")
    assert [slices.change(None, each) for each in (second, first, piece("c"))] == [[web], [web], []]
    assert slices.of(web) == (first, second)
    moved = piece("b", "db")
    assert slices.change(second, moved) == [web, db]
    assert (slices.of(web), slices.of(db)) == ((first,), (moved,))
    assert slices.change(moved, None) == [db]
    assert slices.of(db) == ()
