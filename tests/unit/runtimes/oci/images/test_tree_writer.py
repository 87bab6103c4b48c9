import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimes.oci.images.audit import Refused
from runtimes.oci.images.layer_entries import FIFO, FOLDER, HARD_LINK, REGULAR, SYMBOLIC_LINK, Entry
from runtimes.oci.images.sparse import Sparse
from runtimes.oci.images.tree_writer import TreeWriter

WHEN = 1_700_000_000_123_456_789


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0)
    yield tmp_path
    os.umask(before)


def entry(name: str, kind: bytes = REGULAR, **more: Any) -> Entry:
    mode = more.pop("mode", 0o755 if kind == FOLDER else 0o644)
    owner = {"uid": os.getuid(), "gid": os.getgid(), "mtime_ns": WHEN}
    return Entry(kind=kind, parts=[os.fsencode(part) for part in name.split("/") if part], mode=mode, **owner | more)


def put(writer: TreeWriter, *entries: Entry, data: bytes = b"") -> None:
    for each in entries:
        writer.put(each, iter([memoryview(data)] if data else []))


def names(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))


def test_attributes_are_exact(tree: Path) -> None:
    """Modes whatever the umask of the folder above, times to the nanosecond, of folders too that were filled afterwards."""
    writer = TreeWriter()
    put(writer, entry("d", FOLDER, mode=0o2750), entry("d/su", mode=0o4711), data=b"x")
    put(writer, entry("d/pipe", FIFO, mode=0o1600), entry("d/sym", SYMBOLIC_LINK, target=b"nowhere"))
    writer.finish()
    found = {name: os.lstat(tree / "d" / name) for name in (".", "su", "pipe", "sym")}
    assert {name: (stat.filemode(each.st_mode), each.st_mtime_ns) for name, each in found.items()} == {
        ".": ("drwxr-s---", WHEN),
        "su": ("-rws--x--x", WHEN),
        "pipe": ("prw------T", WHEN),
        "sym": ("lrwxrwxrwx", WHEN),
    }


def test_folders_that_no_entry_makes(tree: Path) -> None:
    """What is missing above an entry is made, also where a symbolic link leads to that leads nowhere yet."""
    writer = TreeWriter()
    put(writer, entry("a/b/c"), entry("door", SYMBOLIC_LINK, target=b"far/away"), entry("door/e/f"))
    put(writer, entry("odd", SYMBOLIC_LINK, target=b"missing/../x"), entry("odd/g"))
    assert names(tree) == [
        *("a", "a/b", "a/b/c", "door", "far", "far/away", "far/away/e", "far/away/e/f"),
        *("missing", "odd", "x", "x/g"),
    ]


def test_what_is_replaced(tree: Path) -> None:
    """The last entry of a name counts: nothing is written through a link, and a folder stays with what is in it."""
    (tree / "victim").write_text("safe")
    writer = TreeWriter()
    put(writer, entry("one"), entry("sym", SYMBOLIC_LINK, target=b"victim"), entry("two", HARD_LINK, target=b"victim"))
    put(writer, entry("sym"), entry("two"), data=b"new")
    put(writer, entry("d/in"), entry("d", FOLDER, mode=0o700), entry("gone/in"), entry("gone"))
    put(writer, entry("one", FOLDER), entry("link", SYMBOLIC_LINK, target=b"d"), entry("link", FOLDER))
    assert (tree / "victim").read_text() == "safe"
    assert ((tree / "sym").read_text(), (tree / "two").read_text()) == ("new", "new")
    assert names(tree) == ["d", "d/in", "gone", "link", "one", "sym", "two", "victim"]
    assert not (tree / "link").is_symlink()


def test_a_file_is_no_folder(tree: Path) -> None:
    """An entry below a file cannot be made."""
    writer = TreeWriter()
    put(writer, entry("a"))
    with pytest.raises(NotADirectoryError):
        put(writer, entry("a/b"))


def test_links_that_lead_in_a_circle(tree: Path) -> None:
    """An entry below links without an end cannot be made."""
    writer = TreeWriter()
    put(writer, entry("a", SYMBOLIC_LINK, target=b"b"), entry("b", SYMBOLIC_LINK, target=b"a"))
    with pytest.raises((Refused, OSError)):
        put(writer, entry("a/c"))


def test_hard_links(tree: Path) -> None:
    """A hard link replaces what had its name; to itself it is nothing; to nothing, or a folder, it is refused."""
    writer = TreeWriter()
    put(writer, entry("a"), entry("b"), data=b"x")
    put(writer, entry("b", HARD_LINK, target=b"a"), entry("a", HARD_LINK, target=b"a"))
    assert os.lstat(tree / "a").st_nlink == 2
    put(writer, entry("d", FOLDER))
    for target in (b"absent", b"d"):
        with pytest.raises(Refused, match=r"hard link 'h' to '(absent|d)': "):
            put(writer, entry("h", HARD_LINK, target=target))


def test_a_hard_link_on_a_full_disk(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the machine's error, not the image's."""
    writer = TreeWriter()
    put(writer, entry("a"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        put(writer, entry("b", HARD_LINK, target=b"a"))


def test_times_of_folders_that_are_replaced(tree: Path) -> None:
    """What takes the name of a folder has a time of its own."""
    writer = TreeWriter()
    put(writer, *(entry(name, FOLDER) for name in ("a", "b", "c", "d")), entry("d/e", FOLDER))
    writer.next_layer()
    later = WHEN + 5 * 10**9
    put(writer, entry("a", mtime_ns=later), entry("b", SYMBOLIC_LINK, target=b"a", mtime_ns=later), entry(".wh.c"))
    put(writer, entry("d", mtime_ns=later))
    writer.finish()
    assert [os.lstat(tree / name).st_mtime_ns for name in ("a", "b", "d")] == [later] * 3
    assert names(tree) == ["a", "b", "d"]


def test_whiteouts_hide_what_is_below_only(tree: Path) -> None:
    """In whatever order they come in their layer, and by whatever way a folder is reached."""
    writer = TreeWriter()
    put(writer, *map(entry, (".wh.x", "x", "f/old", "f/sub/old", "o/old", "p/q/old", "whole/old")))
    put(writer, entry("alias", SYMBOLIC_LINK, target=b"o"))
    writer.next_layer()
    put(writer, *map(entry, ("f/sub/new", "f/new", ".wh.f", "alias/new", "o/.wh..wh..opq", ".wh.x")))
    put(writer, *map(entry, (".wh.whole", "absent/.wh.y", "absent/.wh..wh..opq", "p/q/.wh.old", "p/q/.wh.old")))
    assert names(tree) == ["alias", "f", "f/new", "f/sub", "f/sub/new", "o", "o/new", "p", "p/q"]
    writer.next_layer()
    put(writer, entry(".wh.f"))
    assert names(tree) == ["alias", "o", "o/new", "p", "p/q"]


def test_sparse_file(tree: Path) -> None:
    """Data lie where the map says, whatever pieces they come in; the rest is holes, to the very end."""
    holes = Sparse(pieces=((0, 3), (5_000_000, 4), (5_000_100, 0)), size=9_000_000)
    TreeWriter().put(entry("s", sparse=holes, size=7), iter([memoryview(b"ab"), memoryview(b"cdefg")]))
    data = (tree / "s").read_bytes()
    assert (len(data), data[:3], data[5_000_000:5_000_004], data.strip(b"\0")[3:-4].strip(b"\0")) == (
        *(9_000_000, b"abc", b"defg", b""),
    )
    assert (tree / "s").stat().st_blocks * 512 < 100_000
