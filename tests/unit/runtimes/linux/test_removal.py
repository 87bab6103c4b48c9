"""Trees are deleted whole, and nothing else is, whatever they are made of. (Mounts: tests/node/volumes/test_removal.py.)"""

import errno
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtimes.linux import tree_walk
from runtimes.linux.mounts import shown
from runtimes.linux.removal import remove_empty_tree, remove_tree
from runtimes.linux.tree_walk import Changed, until_settled

FEW_DESCRIPTORS = 40
DEEP = 1100  # deeper than Python recurses, and longer than a path may be


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """A limit that a walk with one open directory a level would run into."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + FEW_DESCRIPTORS, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def nest(top: Path, depth: int) -> None:
    """`depth` directories in each other, with a file in the innermost."""
    top.mkdir()
    inner = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deep", dir_fd=inner)
        child = os.open("deep", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = child
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=inner))
    os.close(inner)


def test_removing_a_tree_leaves_what_links_lead_to(tmp_path: Path) -> None:
    """Links are removed, their targets are not, whether they stand in the tree or in its place; nothing there is fine."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_text("x")
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    (tree / "d/up").symlink_to("..")
    (tree / "d/file").write_text("x")
    os.mkfifo(tree / "d/pipe")
    (tree / "shut").mkdir(mode=0)
    (tmp_path / "top").symlink_to(tmp_path / "elsewhere")
    for name in ("tree", "top", "none", "none/at/all", "elsewhere/file/below"):
        remove_tree(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["elsewhere", "file"]


def test_no_tree_is_too_deep(tmp_path: Path, few_descriptors: None) -> None:
    """A container may nest deeper than Python recurses, than a path may be long and than there are descriptors."""
    nest(tmp_path / "tree", DEEP)
    remove_tree(tmp_path / "tree")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", [b"a b", b"a\nb", b"a\\040b", b"\xff\xfe", b"--", "é\u2028".encode()])
def test_names_are_bytes(tmp_path: Path, name: bytes) -> None:
    """Spaces, line breaks, backslashes and bytes that are no text: above the tree, as its name, and in it."""
    above = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    for path in ((tree := above / os.fsdecode(name)), tree / os.fsdecode(name)):
        path.mkdir(parents=True)
    (tree / "file").write_text("x")
    (tree / "file2").symlink_to(os.fsdecode(name))
    remove_tree(tree)
    assert os.listdir(above) == []


def test_only_directories_are_removed_where_data_may_be(tmp_path: Path, few_descriptors: None) -> None:
    """The first thing that is no directory ends it, and is named; it and what is above it stay."""
    nest(tmp_path / "tree", DEEP)
    with pytest.raises(NotADirectoryError) as caught:
        remove_empty_tree(tmp_path / "tree")
    assert caught.value.strerror == "is not a directory: it is kept"
    for name in ("link", "dangling"):
        (tmp_path / "other" / "d").mkdir(parents=True, exist_ok=True)
        (tmp_path / "other" / name).symlink_to("d" if name == "link" else "none")
        with pytest.raises(NotADirectoryError) as caught:
            remove_empty_tree(tmp_path / "other")
        assert caught.value.filename == f"{tmp_path}/other/{name}"
        (tmp_path / "other" / name).unlink()
    remove_empty_tree(tmp_path / "other")
    remove_empty_tree(tmp_path / "other")
    assert os.listdir(tmp_path) == ["tree"]
    remove_tree(tmp_path / "tree")


def test_what_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the system's reason, and the place in a form that a line of a log can hold."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a\nb").write_text("x")

    def refuse(name: str, *, dir_fd: int) -> None:
        raise OSError(errno.EPERM if name != "tree" else errno.EISDIR, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError) as caught:
        remove_tree(tmp_path / "tree")
    assert (caught.value.strerror, caught.value.filename) == ("Operation not permitted", f"{tmp_path}/tree/a\\nb")


def test_a_directory_that_becomes_a_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchanged after it was looked at and before it is entered: the link is removed, and what it leads to stays."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").write_text("x")
    (tmp_path / "tree/d/inner").mkdir(parents=True)
    enter = tree_walk.TreeWalk.enter

    def exchanged(self: tree_walk.TreeWalk, name: str) -> None:
        if name == "d" and not (tmp_path / "tree/d").is_symlink():
            (tmp_path / "tree/d").rename(tmp_path / "taken")
            (tmp_path / "tree/d").symlink_to(tmp_path / "elsewhere")
        enter(self, name)

    monkeypatch.setattr(tree_walk.TreeWalk, "enter", exchanged)
    remove_tree(tmp_path / "tree")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["elsewhere", "inner", "precious", "taken"]


def test_a_directory_that_was_moved_away_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back must lead to where it came from: what lies around the new place is somebody else's."""
    (tmp_path / "tree/d/inner").mkdir(parents=True)
    (tmp_path / "tree/d/inner/file").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").write_text("x")
    enter = tree_walk.TreeWalk.enter

    def moving(self: tree_walk.TreeWalk, name: str) -> None:
        enter(self, name)
        if name == "inner":
            (tmp_path / "tree/d/inner").rename(tmp_path / "elsewhere/inner")

    monkeypatch.setattr(tree_walk.TreeWalk, "enter", moving)
    remove_tree(tmp_path / "tree")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "elsewhere",
        "elsewhere/inner",
        "elsewhere/precious",
    ]


def test_two_may_remove_the_same(tmp_path: Path) -> None:
    """Each takes what the other has not taken yet; neither fails, and nothing is left."""
    for number in range(20):
        tree = tmp_path / str(number)
        for folder in range(20):
            (tree / str(folder) / "inner/most").mkdir(parents=True)
            (tree / str(folder) / "inner/file").write_text("x")
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(remove_tree, [tree] * 4))
    assert os.listdir(tmp_path) == []


def test_who_never_stops_changing_things_is_told(tmp_path: Path) -> None:
    """A walk is begun again while what it walks through changes, and not for ever."""
    tries = []

    def changing() -> None:
        tries.append(1)
        raise Changed(errno.ENOTEMPTY, "is being filled meanwhile", "/x")

    with pytest.raises(Changed):
        until_settled(changing)
    assert len(tries) == 100
    until_settled(lambda: tries.clear())
    assert tries == []


@pytest.mark.parametrize(
    ("path", "text"), [("/a b/é", "/a b/é"), ("/a\nb\x1b[2J", "/a\\nb\\x1b[2J"), ("/\udcff\u2028", "/\\udcff\\u2028")]
)
def test_paths_in_messages(path: str, text: str) -> None:
    """A message is one line of text whatever a pod calls its files."""
    assert shown(Path(path)) == text
