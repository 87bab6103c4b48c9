import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runtimes.oci.images.contract import ImageConfig, ImageRecord
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.records import Records
from runtimes.oci.images.unpack import read_usage

Make = Callable[..., ImageRecord]


@pytest.fixture
def make(layout: Layout) -> Make:
    def make(letter: str, *tags: str, digests: tuple[str, ...] = ()) -> ImageRecord:
        image_id = "sha256:" + letter * 64
        return ImageRecord(
            id=image_id,
            manifest_digest="sha256:" + "0" * 64,
            tags=tags,
            digests=digests,
            layers=("sha256:" + "1" * 64,),
            size_bytes=7,
            unpacked_bytes=8,
            unpacked_inodes=9,
            config=ImageConfig(env=("A=1",), labels={"l": "1"}),
            rootfs=layout.rootfs(image_id),
        )

    return make


def test_found_by_every_name(layout: Layout, make: Make) -> None:
    """An image is found by id, bare id, short id, tag as written by a user, and digest; by nothing else."""
    digest = "docker.io/library/busybox@sha256:" + "d" * 64
    records = Records(layout)
    record = records.add(make("a", "docker.io/library/busybox:1", digests=(digest,)))
    names = [record.id, "a" * 64, "a", "aaaa", "sha256:aaaa", "busybox:1", "docker.io/busybox:1", digest]
    names += ["busybox@sha256:" + "d" * 64, "busybox:2@sha256:" + "d" * 64]
    assert [records.find(name) for name in names] == [record] * len(names)
    absent = ["", "busybox", "busybox:2", "b", "sha256:", "sha256:b", "nonsense!", "sha256:" + "b" * 64, "sha512:a"]
    assert [records.find(name) for name in absent] == [None] * len(absent)


def test_ambiguous_short_id(layout: Layout, make: Make) -> None:
    """A short id that fits two images is none."""
    records = Records(layout)
    records.add(make("a"))
    other = make("a")
    records.add(ImageRecord(**{f: getattr(other, f) for f in other.__slots__} | {"id": "sha256:" + "a" * 63 + "b"}))
    assert records.find("aaaa") is None
    assert records.find("a" * 63 + "b") is not None


def test_survives_a_restart(layout: Layout, make: Make) -> None:
    """What is recorded is read back whole."""
    record = Records(layout).add(make("a", "localhost/demo:1"))
    assert list(Records(layout)) == [record]


def test_tag_moves(layout: Layout, make: Make) -> None:
    """A tag belongs to the image that got it last; the one before stays, without it."""
    records = Records(layout)
    records.add(make("a", "localhost/demo:1", "localhost/demo:old"))
    records.add(make("b", "localhost/demo:1"))
    assert {r.id[7]: r.tags for r in records} == {"a": ("localhost/demo:old",), "b": ("localhost/demo:1",)}
    assert [r.tags for r in Records(layout) if r.id[7] == "a"] == [("localhost/demo:old",)]


def test_pins_go_with_their_names(layout: Layout, make: Make) -> None:
    """The pin of a tag stays with the tag, that of an id with the image; a kill between two records pins one image."""
    records, one, two = Records(layout), "localhost/demo:1", "localhost/demo:2"
    a, b = make("a").id, make("b").id

    def pins() -> dict[str, tuple[str, ...]]:
        found = {record.id: record.pins for record in Records(layout)}
        assert found == {record.id: record.pins for record in records}
        return found

    records.add(make("a", one, two), pinned=True)
    assert pins() == {a: (one, two)}
    killed = layout.record(a).read_bytes()
    records.add(make("b", one))
    assert pins() == {a: (two,), b: (one,)}
    layout.record(a).write_bytes(killed)
    os.utime(layout.record(a), ns=(1, 1))
    assert pins() == {a: (two,), b: (one,)}
    records.add(make("a", two))
    records.add(make("a", one), pinned=False)
    assert pins() == {a: (two,), b: ()}
    assert records.pin("a") == records.pin(a)
    assert pins() == {a: (two, a), b: ()}
    records.add(make("b", two))
    assert pins() == {a: (a,), b: (two,)}
    records.unpin(two)
    records.unpin("a")
    assert pins() == {a: (), b: ()}
    assert (records.pin("absent"), records.unpin("absent")) == (None, None)
    records.add(make("c"), pinned=True)
    assert pins()[make("c").id] == (make("c").id,)


def test_records_of_before(layout: Layout, make: Make) -> None:
    """An image whose record knows nothing of pins is not pinned: nobody can say any more how it came."""
    record = Records(layout).add(make("a", "localhost/demo:1"), pinned=True)
    path = layout.record(record.id)
    document = json.loads(path.read_bytes())
    del document["pins"]
    path.write_text(json.dumps(document))
    assert [found.pinned for found in Records(layout)] == [False]


def test_tag_moves_in_spite_of_a_kill(layout: Layout, make: Make) -> None:
    """Killed between giving a tag to one image and taking it from the other, the tag names one image only."""
    records = Records(layout)
    records.add(make("b", "localhost/demo:1"))
    old = layout.record("sha256:" + "b" * 64).read_bytes()
    records.add(make("a", "localhost/demo:1"))
    path = layout.record("sha256:" + "b" * 64)
    path.write_bytes(old)
    os.utime(path, ns=(1, 1))
    again = Records(layout)
    assert {r.id[7]: r.tags for r in again} == {"a": ("localhost/demo:1",), "b": ()}


def test_names_add_up(layout: Layout, make: Make) -> None:
    """The same image under another name has both."""
    records = Records(layout)
    records.add(make("a", "localhost/demo:1", digests=("localhost/demo@sha256:" + "1" * 64,)))
    record = records.add(make("a", "localhost/demo:2"))
    assert (record.tags, record.digests) == (
        ("localhost/demo:1", "localhost/demo:2"),
        ("localhost/demo@sha256:" + "1" * 64,),
    )


def test_other_process(layout: Layout, make: Make) -> None:
    """What another process adds and removes is seen at the next look."""
    mine, others = Records(layout), Records(layout)
    assert list(mine) == []
    for letter in "abcdef":
        others.add(make(letter))
        assert {r.id[7] for r in mine} == set("abcdef"[: "abcdef".index(letter) + 1])
    others.remove("sha256:" + "c" * 64)
    assert {r.id[7] for r in mine} == set("abdef")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id":"sha256:x"}', b"\xff", b'{"id": "../../x"}'])
def test_unreadable(layout: Layout, make: Make, content: bytes) -> None:
    """A broken record harms no other image and is swept away at start."""
    records = Records(layout)
    record = records.add(make("a"))
    broken: Path = layout.record("sha256:" + "b" * 64)
    broken.write_bytes(content)
    assert list(records) == [record]
    records.remove_unreadable()
    assert [path.name for path in layout.records.glob("*.json")] == ["a" * 64 + ".json"]


def test_remove_twice(layout: Layout, make: Make) -> None:
    """Removing what is gone is fine."""
    records = Records(layout)
    record = records.add(make("a"))
    records.remove(record.id)
    records.remove(record.id)
    assert list(records) == []


def test_what_is_no_file_is_removed(layout: Layout, make: Make) -> None:
    """A folder or a link that leads nowhere with a record's name does not hide the others, and goes."""
    records = Records(layout)
    kept = records.add(make("a", "docker.io/library/busybox:1"))
    (layout.records / f"{'b' * 64}.json" / "x").mkdir(parents=True)
    (layout.records / f"{'c' * 64}.json").symlink_to("loop")
    assert Records(layout).find("busybox:1") == kept
    Records(layout).remove_unreadable()
    assert [path.name for path in layout.records.glob("*.json")] == [f"{'a' * 64}.json"]


@pytest.mark.parametrize("damage", ["gone", "folder", "noise"])
def test_a_trees_figures_are_made_anew(layout: Layout, damage: str) -> None:
    """The tree came whole: what cannot be read of its size is measured again; where there is no tree there are no figures."""
    image_id = "sha256:" + "a" * 64
    assert read_usage(layout, image_id) is None
    layout.rootfs(image_id).mkdir(parents=True)
    (layout.rootfs(image_id) / "file").write_bytes(b"x" * 5000)
    (layout.rootfs(image_id) / "link").symlink_to("/etc")
    if damage == "folder":
        (layout.usage(image_id) / "x").mkdir(parents=True)
    elif damage == "noise":
        layout.usage(image_id).write_bytes(b"\xff[")
    found = read_usage(layout, image_id)
    assert found is not None
    assert (found.inodes, found.bytes >= 5000) == (3, True)
    assert layout.usage(image_id).is_file()
    assert read_usage(layout, image_id) == found
