"""Files that are whole whatever happens to their writer."""

import errno
import os
from pathlib import Path

import pytest

from runtimes.linux import files
from runtimes.linux.files import draft, replace_file, write_private


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole(tmp_path: Path, durable: bool) -> None:
    """Who has the old file open reads the old content to its end; who opens it now reads the new one. Nothing else is left."""
    path = tmp_path / "file"
    replace_file(path, b"one", durable=durable)
    with path.open("rb") as reader:
        replace_file(path, b"two", durable=durable)
        assert reader.read() == b"one"
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_a_full_disk_keeps_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The old content stays, the half is gone, and the error names the file that was to be."""
    path = tmp_path / "file"
    replace_file(path, b"one")

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(OSError, match="No space left") as caught:
        replace_file(path, b"two", mode=0o644)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


def test_an_error_of_who_writes_keeps_the_old(tmp_path: Path) -> None:
    """What is raised in the block is raised, with the path that it speaks of."""
    path = tmp_path / "file"
    replace_file(path, b"one")
    with pytest.raises(FileNotFoundError) as caught, draft(path) as file:
        file.write(b"half")
        (tmp_path / "source").read_bytes()
    assert str(caught.value.filename) == str(tmp_path / "source")
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_mode_is_exact(tmp_path: Path, umask: int) -> None:
    """Whatever the umask; and only the owner reads what is not finished."""
    path = tmp_path / "file"
    before = os.umask(umask)
    try:
        with draft(path, mode=0o644) as file:
            assert (
                mode_of(Path(str(file.name) if isinstance(file.name, str) else f"/proc/self/fd/{file.name}")) == 0o600
            )
        assert mode_of(path) == 0o644
        replace_file(path, b"")
        assert mode_of(path) == 0o600
        write_private(tmp_path / "other", b"")
        assert mode_of(tmp_path / "other") == 0o600
    finally:
        os.umask(before)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link at the file's place gives way to the file; what may not be replaced is not written through one."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"whole")
    link = tmp_path / "link"
    link.symlink_to(victim)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        write_private(link, b"x")
    replace_file(link, b"x")
    assert (victim.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"whole", b"x", False)


def test_the_half_lies_where_it_is_wanted(tmp_path: Path) -> None:
    """Folders whose every file means something see finished ones only."""
    work, home = tmp_path / "tmp", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    with draft(home / "file", beside=work) as file:
        file.write(b"x")
        assert (len(names(work)), names(home)) == (1, [])
    assert (names(work), names(home)) == ([], ["file"])


def test_content_and_name_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: the content, the rename, the folder. What need not be durable waits for no disk."""
    calls: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def record_fsync(fd: int) -> None:
        calls.append(f"fsync {'folder' if Path(f'/proc/self/fd/{fd}').resolve() == tmp_path else 'content'}")
        fsync(fd)

    def record_rename(old: Path, new: Path) -> Path:
        calls.append(f"rename to {new.name}")
        return rename(old, new)

    monkeypatch.setattr(files.os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "rename", record_rename)
    replace_file(tmp_path / "file", b"x")
    replace_file(tmp_path / "soon", b"x", durable=False)
    assert calls == ["fsync content", "rename to file", "fsync folder", "rename to soon"]
