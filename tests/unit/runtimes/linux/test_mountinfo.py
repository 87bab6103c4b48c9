"""The mount table, with names in it that somebody chose."""

from pathlib import Path

from runtimes.linux.mountinfo import MountEntry, mount_points, parse, read_mounts


def test_entry() -> None:
    """Escapes are undone; tags and options are lists."""
    line = "31 1 8:1 /a\\040c /mnt/a\\040b\\134 rw,relatime shared:5 master:1 - ext4 /dev/x\\040y rw,data=ordered\n"
    assert list(parse(line)) == [
        MountEntry(
            device="8:1",
            root="/a c",
            point="/mnt/a b\\",
            tags=("shared:5", "master:1"),
            fstype="ext4",
            source="/dev/x y",
            options=("rw", "data=ordered"),
        )
    ]


def test_names_of_strangers(tmp_path: Path) -> None:
    """What Python takes for ends of lines, letters beyond ASCII and bytes that are no text are parts of a name."""
    table = tmp_path / "mountinfo"
    names = ("/a\x0cb", "/a\u2028b", "/é", "/\udcff", "/-")
    text = "".join(f"1 2 0:5 / {name} rw - tmpfs tmpfs rw\n" for name in names)
    table.write_bytes(text.encode(errors="surrogateescape"))
    assert [entry.point for entry in read_mounts(table)] == list(names)
    assert mount_points(table) == list(names)


def test_mount_points(tmp_path: Path) -> None:
    """The places alone, escapes undone; a line that is none is passed over."""
    table = tmp_path / "mountinfo"
    table.write_text("31 1 8:1 / /mnt/a\\040b\\134 rw shared:5 - ext4 /dev/x rw\nx\n\n")
    assert mount_points(table) == ["/mnt/a b\\"]


def test_line_that_is_none() -> None:
    """It is passed over."""
    assert list(parse("\nx\n1 2 3 4 5 6 7\n")) == []
